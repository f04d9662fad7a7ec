/* The slot protocol of ratelimit/_engine as a model for spin: every interleaving of THREADS requests on two
   keys. Names and order are those of the code; each atomic step holds one access to shared memory, and what
   a thread computes for itself after it.

   In one file: spin reads one.

   The algorithm is a fixed window of one tick with a limit of LIMIT: a state is (window, count), so that a key
   becomes fresh, gets reclaimed and comes back within a few steps. Every thread draws its key, verb and clock
   reading; readings may be late. The table starts in any state that it could have been left in.

   A process killed between two instructions is one that never runs again. For everything that must not happen
   an interleaving in which it pauses for ever is the same thing. The search for
   cycles (-DNP) shows that no process blocks another: nothing here repeats, so in an infinite run no thread finishes.
   With -DCRASH the process also really ends, at any step, and the remaining threads must find the counts exact.

   With -DGROUPS find, claim and settle first look at all slots as at a group: one after another, but in another order
   than the search's, as the words of a group are of different moments. find and settle pass the slots before the first
   one that has to be looked at again; claim passes all or none, and what is behind the slot that it has chosen.

   With -DOLD_REACH the header may be older than the slots, as after a power cut. Keys may then be missed, but every
   request ends.

   With -DLEVELS=2 the table grows: its lowest level has BASE slots, and the second one, with the others, is opened by a
   claim. find begins in any level, a claim is made in any, and a key that became fresh may be moved: whatever a program
   prefers, it is among these.

   -DWRONG_... are seeded errors, which the search must find; see tests/protocol/test_model.py. */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef HOMES
#define HOMES 1 /* how far apart the keys' home slots are */
#endif

#ifndef UNUSED_WITHIN
#define UNUSED_WITHIN SLOTS /* so near to home, a slot that was never used is preferred to that of a fresh key */
#endif

#ifndef LEVELS
#define LEVELS 1
#define BASE SLOTS
#endif

#define LEVEL_OF(slot) ((slot) < BASE -> 0 : 1)
#define START(level) ((level) * BASE)
#define SIZE(level) ((level) == 0 -> BASE : SLOTS - BASE)
#define WINDOW SIZE(level)
#define NONE SLOTS

/* A word: tag (2 bits) | claim (1 bit) | state (5 bits). Keys have the tags 2 and 3. */
#define CLAIM_BIT 32
#define WORD(tag, state) (((tag) << 6) | (state))
#define TAG(word) ((word) >> 6)
#define STATE(word) ((word) & 31)
#define IS_CLAIM(word) (((word) & CLAIM_BIT) != 0)
#define IS_KEY(word) (TAG(word) > 1 && !IS_CLAIM(word))
#define FREE WORD(1, 0)
#define HOME(tag, level) (START(level) + ((tag) - 2) * HOMES % SIZE(level))
#define FOLLOWING(slot, level) (START(level) + ((slot) - START(level) + 1) % SIZE(level))
#define VISITS_TO(tag, slot, level) (((slot) + SIZE(level) - HOME(tag, level)) % SIZE(level) + 1)

#ifdef WRONG_DECIDES_FROM_CLAIM
#define HOLDS(word, tag) (TAG(word) == (tag))
#else
#define HOLDS(word, tag) (TAG(word) == (tag) && !IS_CLAIM(word))
#endif

/* The algorithm: window (2 bits) | count (3 bits). */
#define PACK(index, count) (((index) << 3) | (count))
#define INDEX(state) ((state) >> 3)
#define COUNT(state) ((state) & 7)
#define FRESH(now, state) ((now) > INDEX(state) || ((now) == INDEX(state) && COUNT(state) == 0))
#define LATER(a, b) ((a) > (b) -> (a) : (b))

#define MOMENTS 2

#ifdef OLD_REACH
#define PROMISES(condition) true
#else
#define PROMISES(condition) (condition)
#endif

#define HIT 0
#define REFUND 1
#define RESET 2

short slots[SLOTS];
byte horizon, tickets, reach[LEVELS];
byte top; /* the highest open level */

/* The requests that were really admitted, to compare with. */
byte admitted[4 * MOMENTS];
#define ADMITTED(tag, index) admitted[(tag) * MOMENTS + (index)]
byte crashed;

/* The slot of a key counts its admitted requests, and no second slot has the key. */
inline check_key(tag, state) {
    assert(PROMISES(COUNT(state) == ADMITTED(tag, INDEX(state))));
    assert(PROMISES(COUNT(state) <= LIMIT));
}

/* A variable that is no longer read makes another state unless it is cleared. */
inline drop() {
    seen = 0; expected = 0; leftover = 0; rival = 0; chosen = 0; abandoned = 0; left = 0; far = 0; passed = false
}

proctype request(byte me; byte tag; byte verb; byte now; bool given) {
    short word, seen, expected, leftover;
    byte slot, rival, chosen, abandoned, left, far, level, others, i;
    byte since, before, after;
    bool passed, robbed;

    {
    skip;
commit: /* from the start, and from the start again whenever another thread was faster */
    atomic {
        drop(); word = 0; since = 0; before = 0; after = 0; slot = 0; level = 0; others = 0;
#if LEVELS > 1
        others = top;
        if
        :: level = 0
        :: others > 0 -> level = 1
        fi
    }
within: /* find, in one level */
    atomic {
#endif
        slot = HOME(tag, level); left = reach[level];
        if
        :: left == 0 -> goto elsewhere
        :: else
        fi
    }
#ifdef GROUPS
    atomic { /* others */
        if
        :: left < SIZE(level) -> goto find
        :: else -> i = SIZE(level); far = i
        fi
    }
    do
    :: atomic { i--; word = slots[START(level) + (HOME(tag, level) - START(level) + i) % SIZE(level)];
        if
        :: HOLDS(word, tag) || word == 0 -> far = i
        :: else
        fi;
        if
        :: i == 0 -> break
        :: else
        fi }
    od;
    atomic { word = 0;
        slot = START(level) + (HOME(tag, level) - START(level) + far) % SIZE(level); left = left - far; far = 0;
        if
        :: left == 0 -> goto elsewhere
        :: else
        fi
    }
find:
#endif
    do
    :: atomic { word = slots[slot];
        if
        :: HOLDS(word, tag) -> before = STATE(word); check_key(tag, before); goto found
        :: word == 0 -> goto elsewhere
        :: else -> slot = FOLLOWING(slot, level); left--
        fi;
        if
        :: left == 0 -> goto elsewhere
        :: else
        fi }
    od;

elsewhere:
#if LEVELS > 1
    if
    :: atomic { others > 0 -> level = 1 - level; others = 0 }; goto within
    :: atomic { others == 0 -> skip }
    fi;
#endif
    atomic {
        since = horizon;
        if
        :: !given -> now = LATER(now, since)
        :: else
        fi;
        before = (now >= since -> 0 : PACK(since, 0)); /* unknown */
        slot = NONE;
        if
        :: verb != HIT -> goto done /* nothing to give back or to forget */
        :: else
        fi;
    }

found:
#if LEVELS > 1
    if /* move */
    :: atomic { slot != NONE && FRESH(now, before) ->
#ifndef WRONG_MOVES_UNSEEN
        horizon = LATER(horizon, now)
#endif
        };
        atomic { /* word_cas(slot, &word, free_word()) */
            if
            :: slots[slot] == word -> slots[slot] = FREE
            :: else
            fi;
            goto commit }
    :: true
    fi;
#endif
    atomic { /* decide; for a reset, forget */
        if
        :: verb == RESET
        :: verb == REFUND ->
            if
            :: now > INDEX(before) || COUNT(before) == 0 -> goto done
            :: else -> after = before - 1
            fi
        :: verb == HIT && FRESH(now, before) -> after = PACK(now, 1)
        :: verb == HIT && !FRESH(now, before) ->
            if
            :: now < INDEX(before) || COUNT(before) == LIMIT -> goto done /* refused */
            :: else -> after = before + 1
            fi
        fi;
        if
        :: slot != NONE -> goto write
        :: else
        fi
    }

claim:
#if LEVELS > 1
    atomic { drop();
        if
        :: level = 0
        :: top > 0 -> level = 1
        :: top == 0 -> level = 1;
#ifndef WRONG_TOP_RAISED_LATE
            top = 1
#endif
        fi };
#endif
    atomic { chosen = NONE; abandoned = NONE; slot = HOME(tag, level); left = WINDOW; far = WINDOW - reach[level] }
#ifdef GROUPS
    atomic { i = SIZE(level) }
    do
    :: atomic { i--; seen = slots[START(level) + (HOME(tag, level) - START(level) + i) % SIZE(level)]; /* live */
        if
        :: TAG(seen) == tag || !IS_KEY(seen) || FRESH(now, STATE(seen)) -> i = 0; break
        :: else
        fi;
        if
        :: i == 0 -> goto done /* full */
        :: else
        fi }
    od;
#endif
    do
    :: atomic { seen = slots[slot];
#ifndef WRONG_OLD_REACH_STAYS
        if
        :: TAG(seen) == tag -> reach[level] = LATER(reach[level], WINDOW - left + 1)
        :: else
        fi;
#endif
        if
        :: TAG(seen) == tag && IS_CLAIM(seen) -> word = seen; goto settle
        :: TAG(seen) == tag && !IS_CLAIM(seen) -> goto commit
        :: TAG(seen) != tag && IS_CLAIM(seen) ->
            if
            :: abandoned == NONE -> abandoned = slot; leftover = seen
            :: else
            fi
        :: TAG(seen) != tag && !IS_CLAIM(seen) ->
            if
            :: chosen == NONE && (!IS_KEY(seen) || FRESH(now, STATE(seen))) -> chosen = slot; expected = seen
            :: chosen != NONE && seen == 0 && WINDOW - left < UNUSED_WITHIN -> chosen = slot; expected = 0
            :: else
            fi
        fi;
        slot = FOLLOWING(slot, level); left--;
        if
        :: seen == 0 || left == 0 || (chosen != NONE && left <= far && WINDOW - left >= UNUSED_WITHIN) -> break
#ifdef GROUPS
        :: chosen != NONE -> break /* the rest was read before, and showed neither the key nor an unused slot */
#endif
        :: else
        fi }
    od;
    atomic {
        if
        :: chosen == NONE && !robbed -> chosen = abandoned; expected = leftover
        :: else
        fi;
        if
        :: chosen == NONE -> goto done /* full */
        :: else
        fi
    }
#ifndef WRONG_REACH_NOT_RAISED
#ifndef WRONG_REACH_RAISED_LATE
    atomic { reach[level] = LATER(reach[level], VISITS_TO(tag, chosen, level)) };
#endif
#endif
#ifndef WRONG_HORIZON_NOT_RAISED
#ifndef WRONG_HORIZON_RAISED_LATE
    if
    :: atomic { IS_KEY(expected) -> horizon = LATER(horizon, now) }
    :: else
    fi;
#endif
#endif
    atomic { /* word_cas(chosen, &expected, mine) */
        if
        :: slots[chosen] == expected ->
#ifndef WRONG_TICKETS_REUSED
            tickets++;
            assert(tickets < 32);
#endif
            word = WORD(tag, CLAIM_BIT | tickets);
            slots[chosen] = word;
#ifndef WRONG_ROBS_FOR_EVER
            robbed = robbed || IS_CLAIM(expected);
#endif
            slot = chosen
        :: else -> goto claim
        fi
    }
#ifdef WRONG_HORIZON_RAISED_LATE
    if
    :: atomic { IS_KEY(expected) -> horizon = LATER(horizon, now) }
    :: else
    fi;
#endif

settle:
#ifndef WRONG_NOT_SETTLED
#ifdef WRONG_REACH_READ_EARLY
    atomic { i = WINDOW - far; drop(); rival = HOME(tag, level); left = i; i = 0;
#else
#if LEVELS > 1
    atomic { drop();
#ifdef WRONG_OWN_LEVEL_FIRST
        others = 1
#else
        level = 0
#endif
        };
rivals: /* settle, in one level */
#else
    atomic { drop() };
#endif
    atomic { rival = HOME(tag, level); left = reach[level];
#endif
        if
        :: left == 0 -> goto next
        :: else
        fi }
#ifdef GROUPS
#ifdef WRONG_PASSES_CLAIMS
#define RIVALS(word, tag) HOLDS(word, tag)
#else
#define RIVALS(word, tag) (TAG(word) == (tag))
#endif
    atomic { /* others */
        if
        :: left < SIZE(level) -> goto each
        :: else -> i = SIZE(level); far = i
        fi
    }
    do
    :: atomic { i--; seen = slots[START(level) + (HOME(tag, level) - START(level) + i) % SIZE(level)];
        if
        :: RIVALS(seen, tag) || seen == 0 -> far = i
        :: else
        fi;
        if
        :: i == 0 -> break
        :: else
        fi }
    od;
    atomic { seen = 0;
        rival = START(level) + (HOME(tag, level) - START(level) + far) % SIZE(level); left = left - far; far = 0;
        if
        :: left == 0 -> goto next
        :: else
        fi
    }
each:
#endif
    do
    :: atomic { seen = slots[rival];
        if
        :: rival == slot -> passed = true; rival = FOLLOWING(rival, level); left--
        :: rival != slot && seen == 0 -> break
        :: rival != slot && seen != 0 && TAG(seen) != tag -> rival = FOLLOWING(rival, level); left--
        :: rival != slot && TAG(seen) == tag ->
            if
            :: passed && IS_CLAIM(seen) ->
#ifdef WRONG_LATER_CLAIMS_STAY
                rival = FOLLOWING(rival, level); left--
#else
                goto evict
#endif
            :: else -> goto give_way
            fi
        fi;
        if
        :: left == 0 -> break
        :: else
        fi }
    :: false ->
evict:
#ifndef WRONG_EVICTS_AFTER_LOSS
        if
        :: atomic { slots[slot] != word -> goto settled } /* lost */
        :: atomic { slots[slot] == word -> skip }
        fi;
#endif
        atomic { /* word_cas(rival, &seen, free_word()) */
            if
            :: slots[rival] == seen -> slots[rival] = FREE
            :: else
            fi }
    :: false ->
give_way:
        atomic { /* word_cas(slot, word, free_word()) */
            if
            :: slots[slot] == word -> slots[slot] = FREE
            :: else
            fi;
            word = seen;
            if
            :: !IS_CLAIM(seen) -> goto commit
            :: else -> slot = rival; goto settle
            fi }
    od;
next:
#if LEVELS > 1
    if
#ifdef WRONG_OWN_LEVEL_FIRST
    :: atomic { others > 0 && top > 0 -> level = 1 - level; others = 0 }; goto rivals
    :: atomic { others == 0 || top == 0 -> skip }
#else
    :: atomic { level < top -> level++ }; goto rivals
    :: atomic { level >= top -> skip }
#endif
    fi;
#endif
#endif

settled:
#if LEVELS > 1
    atomic { level = LEVEL_OF(slot);
#ifdef WRONG_TOP_RAISED_LATE
        top = LATER(top, level)
#endif
        };
#endif
#ifdef WRONG_REACH_RAISED_LATE
    atomic { reach[level] = LATER(reach[level], VISITS_TO(tag, slot, level)) };
#endif
    atomic { drop() };
#ifndef WRONG_HORIZON_NOT_ASKED_AGAIN
    if
    :: atomic { horizon > LATER(since, now) -> skip };
        atomic { /* word_cas(slot, &word, free_word()) */
            if
            :: slots[slot] == word -> slots[slot] = FREE
            :: else
            fi;
            goto commit }
    :: atomic { horizon <= LATER(since, now) -> skip }
    fi;
#endif

write:
    atomic { /* word_cas(slot, &word, slot_word(tag, after)) */
        if
        :: slots[slot] != word -> goto commit
        :: slots[slot] == word && verb == RESET ->
            ADMITTED(tag, 0) = 0; ADMITTED(tag, 1) = 0;
#ifdef WRONG_FREED_AS_NEVER_USED
            slots[slot] = 0
#else
            slots[slot] = FREE
#endif
        :: slots[slot] == word && verb == REFUND ->
            ADMITTED(tag, INDEX(after))--;
            slots[slot] = WORD(tag, after)
        :: slots[slot] == word && verb == HIT ->
            ADMITTED(tag, now)++;
            slots[slot] = WORD(tag, after);
            check_key(tag, after)
        fi;
        i = 0;
        do
        :: i < SLOTS -> assert(PROMISES(i == slot || TAG(slots[i]) != tag || IS_CLAIM(slots[i]))); i++
        :: else -> break
        od;
        i = 0
    }
    goto done
    } unless { crashed == me + 1 };
done:
    atomic { drop(); word = 0; since = 0; before = 0; after = 0; slot = 0; level = 0; others = 0; robbed = false; tag = 0; verb = 0; now = 0; given = false }
}

/* Any table that requests, resets and crashes could have left behind: in each slot nothing yet, a free word, a
   key that spent its limit in window 0, or a claim whose owner is dead. */
inline fill() {
    i = 0;
#if LEVELS > 1
    if
    :: top = 0
    :: top = 1
    fi;
#endif
    do
    :: i < (top == 0 -> BASE : SLOTS) ->
        now = LEVEL_OF(i);
        if
        :: i = START(now) + SIZE(now) - 1 /* never used, and so is all that follows */
        :: slots[i] = FREE
        :: ADMITTED(2, 0) == 0 && (HOME(2, now) <= i) ->
            slots[i] = WORD(2, PACK(0, LIMIT)); ADMITTED(2, 0) = LIMIT;
            reach[now] = LATER(reach[now], VISITS_TO(2, i, now))
        :: ADMITTED(3, 0) == 0 && (HOME(3, now) <= i) ->
            slots[i] = WORD(3, PACK(0, LIMIT)); ADMITTED(3, 0) = LIMIT;
            reach[now] = LATER(reach[now], VISITS_TO(3, i, now))
        :: tickets == 0 ->
            tickets++; slots[i] = WORD(2, CLAIM_BIT | tickets); reach[now] = LATER(reach[now], VISITS_TO(2, i, now))
        fi;
        i++
    :: else -> break
    od;
    now = 0
}

/* Threads are alike, so the requests are drawn in order: it does not matter which thread brings which. */
init {
    byte i, tag, now, order, before;
    byte verb;
    bool given;
    atomic {
        fill();
#ifdef OLD_REACH
        if
        :: reach[0] = 0
        :: reach[0] = 1
        :: skip
        fi;
#endif
        i = 0;
        do
        :: i < THREADS ->
            if
            :: tag = 2
            :: tag = 3
            fi;
            if
            :: now = 0
            :: now = 1
            fi;
            if
            :: verb = HIT
#ifdef REFUNDS
            :: verb = REFUND
#endif
#ifdef RESETS
            :: verb = RESET
#endif
            fi;
            given = false;
#ifdef GIVEN
            if
            :: verb == HIT -> given = true
            :: skip
            fi;
#endif
            order = ((tag * 4 + verb) * 2 + now) * 2 + given;
            if
            :: order >= before -> before = order; run request(i, tag, verb, now, given); i++
            :: order < before ->
end_unordered: false
            fi
        :: else -> break
        od;
        i = 0; tag = 0; now = 0; order = 0; before = 0; verb = 0; given = false
    }
#ifdef CRASH
    if
    :: crashed = 1
    :: crashed = 2
    :: crashed = 3
    fi
#endif
}
