/* The ring of a sliding log as a model for spin: THREADS threads that hit one key and give back, OPS times each.
   Names and order are those of commit, retire and log_forgive in ratelimit/_engine; each atomic step holds one
   access to shared memory. The log has room for LIMIT = 2 requests, each of which counts for one moment. As in
   table.pml, a killed process is one that never runs again, and -DNP searches for runs that never end.

   -DWRONG_... are seeded errors. */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#define LIMIT 2
#define MOMENTS 3

/* A word: stamp (the moment plus one; zero was given back) | number (3 bits). */
#define WORD(stamp, number) (((stamp) << 3) | (number))
#define STAMP(word) ((word) >> 3)
#define NUMBER(word) ((word) & 7)
#define NEXT(number) ((number) + 1 == 3 * LIMIT -> LIMIT : (number) + 1)
#define CELL(number) ((number) % LIMIT)
#define LEAVES(stamp) (stamp) /* the stamp less one, plus the period of one */
#define LATER(a, b) ((a) > (b) -> (a) : (b))

byte slot;
byte ring[LIMIT];
byte admitted[MOMENTS + 2]; /* by stamp: what really happened */

proctype thread() {
    byte word, seen, cell, oldest, now, ops, after;
    bool hit;
next:
    atomic {
        word = 0; seen = 0; cell = 0; oldest = 0; after = 0;
        if
        :: ops == OPS -> now = 0; hit = false; goto done
        :: ops < OPS && ops > 0 -> hit = true
        :: ops < OPS -> hit = true
#ifdef REFUNDS
        :: ops < OPS -> hit = false
#endif
        fi;
        ops++;
        if
        :: now < 1 -> now = 0
        :: now <= 1 -> now = 1
        :: now = 2
        fi
    }
again:
    atomic {
        word = slot; seen = 0; oldest = 0;
        cell = CELL(NUMBER(word) + 1); /* of the one before the newest, LIMIT - 1 = 1 back */
        if
        :: !hit && (LEAVES(STAMP(word)) <= now || STAMP(word) > now + 1) -> goto next /* nothing to give back */
        :: else
        fi
    }
    if
    :: atomic { NUMBER(word) > 1 -> oldest = ring[cell] }
    :: atomic { NUMBER(word) <= 1 -> skip }
    fi;
    if
    :: atomic { !hit -> goto forgive }
    :: atomic { hit && LEAVES(STAMP(oldest)) <= now -> skip }
    :: atomic { hit && LEAVES(STAMP(oldest)) > now -> /* refused, if the ring has not moved on */
        if
        :: slot != word -> goto again
        :: else -> goto next
        fi }
    fi;

    /* retire */
    atomic {
        after = WORD(LATER(now + 1, STAMP(word)), NEXT(NUMBER(word)));
        cell = CELL(NUMBER(word));
        seen = ring[cell];
        if
        :: seen == word -> goto write
        :: else
        fi
    }
#ifndef WRONG_RETIRES_UNSEEN
    if
    :: atomic { slot != word -> goto again }
    :: atomic { slot == word -> skip }
    fi;
#endif
    atomic {
        if
        :: ring[cell] == seen -> ring[cell] = word
        :: ring[cell] != seen && ring[cell] != word -> goto again
        :: else
        fi
    }
write:
#ifdef WRONG_NOT_RETIRED
    if
    :: atomic { ring[cell] == word && seen != word -> ring[cell] = seen }
    :: else
    fi;
#endif
    atomic {
        if
        :: slot != word -> goto again
        :: else -> slot = after
        fi;
        admitted[STAMP(after)]++;
        assert(admitted[STAMP(after)] <= LIMIT)
    }
    goto next;

forgive:
    if
    :: atomic { LEAVES(STAMP(oldest)) <= now ->
        if
        :: slot == word -> slot = WORD(0, NUMBER(word)); admitted[STAMP(word)]--; goto next
#ifdef WRONG_REFUND_LOST
        :: slot != word -> assert(false)
#else
        :: slot != word -> goto again
#endif
        fi }
    :: atomic { LEAVES(STAMP(oldest)) > now -> seen = ring[cell] }
    fi;
    atomic {
        if
#ifndef WRONG_FORGIVES_NOTHING
        :: LEAVES(STAMP(seen)) <= now || slot != word -> goto again
#else
        :: slot != word -> goto again
#endif
        :: else
        fi
    }
    atomic {
        if
        :: ring[cell] == seen ->
            assert(STAMP(seen) != 0); /* it was given back before */
            ring[cell] = WORD(0, NUMBER(seen));
            if
            :: admitted[STAMP(seen)] > 0 -> admitted[STAMP(seen)]--
            :: else
            fi
        :: else -> goto again
        fi
    }
    goto next;
done:
    skip
}

init {
    byte i;
    atomic {
        do
        :: i < THREADS -> run thread(); i++
        :: else -> break
        od;
        i = 0
    }
}
