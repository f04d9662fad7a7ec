/* The memory orders of ratelimit/_engine/atomics.h, explored by relacy: not only every interleaving but every value that
   C11 lets a load return. Names and order are those of the code. A word is one atomic object here, as it is for
   the processor.

   orders SUITE: runs one of the four; the exit code is 0 if it held. */
#include <cstring>

#include <relacy/relacy.hpp>

#ifndef CAS /* word_cas: a full barrier */
#define CAS rl::mo_seq_cst
#endif
#ifndef LOAD /* word_load: kept in order behind the full barriers */
#define LOAD rl::mo_seq_cst
#endif
#ifndef CAS_FAILED /* what it then read counts as loaded */
#define CAS_FAILED rl::mo_seq_cst
#endif
#ifndef COUNT_LOAD
#define COUNT_LOAD rl::mo_acquire
#endif
#ifndef COUNT_RAISE
#define COUNT_RAISE rl::mo_acq_rel
#endif
#ifndef DIRECTORY /* how it is loaded */
#define DIRECTORY rl::mo_acquire
#endif
#ifndef BARRIER /* word_cas of a claim, for the load of the directory behind it: in C11, a fence */
#define BARRIER rl::mo_seq_cst
#endif

typedef unsigned word_t; /* tag (16 bits) | claim (1 bit) | state (15 bits): window (8) | count (7) */

#ifdef OPENED_LATE /* the seeded error: a level is shown after a claim in it was settled */
#define OPEN(slot) ((slot) < SLOTS)
#else
#define OPEN(slot) open_next((slot) - 1)
#endif

enum { K = 2, J = 3, SLOTS = 2, LIMIT = 1 };
enum : word_t { CLAIM_BIT = 1 << 15, FREE = 1 << 16 };

static word_t slot_word(word_t tag, word_t state) { return tag << 16 | state; }
static word_t tag_of(word_t word) { return word >> 16; }
static word_t state_of(word_t word) { return word & (CLAIM_BIT - 1); }
static bool is_claim(word_t word) { return word & CLAIM_BIT; }
static bool is_key(word_t word) { return tag_of(word) > 1 && !is_claim(word); }
static word_t pack(word_t window, word_t count) { return window << 7 | count; }
static bool fresh(word_t now, word_t state) { return now > state >> 7 || state == pack(now, 0); }

struct Table {
    rl::atomic<word_t> slots[SLOTS];
    rl::atomic<word_t> horizon, tickets, directory; /* the highest open level, of which each has one slot */
    bool grows;

    void set(word_t first, word_t second, int top = SLOTS - 1) {
        grows = top < SLOTS - 1;
        directory($).store(top, rl::mo_seq_cst);
        slots[0]($).store(first, rl::mo_seq_cst);
        slots[1]($).store(second, rl::mo_seq_cst);
        horizon($).store(0, rl::mo_seq_cst);
        tickets($).store(0, rl::mo_seq_cst);
    }

    word_t load(int slot) { return slots[slot]($).load(LOAD); }

    /* The slots of open levels. In a table that cannot grow they are all. */
    int open() { return grows ? directory($).load(DIRECTORY) + 1 : SLOTS; }

    bool open_next(word_t top) {
        if (top + 1 >= SLOTS)
            return false;
        directory($).compare_exchange_strong(top, top + 1, COUNT_RAISE, rl::mo_relaxed);
        return true;
    }

#ifdef GROUPS
    /* Whether a search for the tag may pass all slots, as it passes a group (words_pass, words_above): the key's are
       not among them and, with `only_live`, nothing that can be claimed at `now`. Relaxed loads, and then a fence. */
    bool pass(word_t tag, bool only_live, word_t now) {
        bool all = true;
        for (int slot = SLOTS; all && slot--;) {
            word_t seen = slots[slot]($).load(rl::mo_relaxed);
            if (only_live)
                all = tag_of(seen) != tag && is_key(seen) && !fresh(now, state_of(seen));
            else
                all = seen != 0 && (tag_of(seen) != tag || is_claim(seen));
        }
        rl::atomic_thread_fence(rl::mo_acquire, $);
        return all;
    }
#else
    bool pass(word_t, bool, word_t) { return false; }
#endif

    bool cas(int slot, word_t &expected, word_t desired) {
        return slots[slot]($).compare_exchange_strong(expected, desired, CAS, CAS_FAILED);
    }

    void raise(word_t floor) {
        word_t seen = horizon($).load(rl::mo_relaxed);
        while (seen < floor && !horizon($).compare_exchange_weak(seen, floor, COUNT_RAISE, rl::mo_relaxed))
            ;
    }

    /* `slot` becomes the key's one slot; whether `word` is a claim that has been settled */
    void settle(word_t tag, int &slot, word_t &word) {
        bool passed = false;
        for (int rival = 0; rival < open();) {
            word_t seen = load(rival);
            if (rival == slot) {
                passed = true;
            } else if (seen != 0 && tag_of(seen) == tag) {
                if (passed && is_claim(seen)) {
                    if (load(slot) != word)
                        break;
                    cas(rival, seen, FREE);
                    continue;
                }
                cas(slot, word, FREE);
                word = seen;
                slot = rival;
                if (!is_claim(seen))
                    return;
                rival = 0;
                passed = false;
                continue;
            }
            rival++;
        }
    }

    bool claim(word_t tag, word_t now, int &slot, word_t &word) {
        for (;;) {
            int chosen = -1;
            word_t expected = 0;
            if (!grows && pass(tag, true, now))
                return false;
            int end = open();
            for (slot = 0; slot < end || (grows && chosen < 0 && OPEN(slot)); slot++) {
                word_t seen = load(slot);
                if (tag_of(seen) == tag) {
                    word = seen;
                    if (is_claim(seen))
                        settle(tag, slot, word);
                    return true;
                }
                if (chosen < 0 && !is_claim(seen) && (!is_key(seen) || fresh(now, state_of(seen)))) {
                    chosen = slot;
                    expected = seen;
                }
            }
            if (chosen < 0)
                return false;
            if (is_key(expected))
                raise(now);
            word_t mine = slot_word(tag, CLAIM_BIT | tickets($).fetch_add(1, rl::mo_relaxed));
            if (cas(chosen, expected, mine)) {
                if (grows)
                    rl::atomic_thread_fence(BARRIER, $);
                word = mine;
                slot = chosen;
                settle(tag, slot, word);
#ifdef OPENED_LATE
                open_next(chosen - 1);
#endif
                return true;
            }
        }
    }

    /* A hit with a clock reading that is taken as it is. */
    bool hit(word_t tag, word_t now) {
        for (;;) {
            word_t word = 0, before = 0, since = 0;
            int slot = 0;
            bool found = false;
            bool passed = !grows && pass(tag, false, now);
            for (int end = open(); slot < end && !found && !passed; slot++) {
                word = load(slot);
                if (tag_of(word) == tag && !is_claim(word))
                    found = true;
            }
            slot -= found;
            if (found) {
                before = state_of(word);
            } else {
                since = horizon($).load(COUNT_LOAD);
                before = now >= since ? 0 : pack(since, 0);
            }
            word_t after = pack(now, 1);
            if (!fresh(now, before)) {
                if (now < before >> 7 || (before & 127) == LIMIT)
                    return false;
                after = before + 1;
            }
            if (!found) {
                if (!claim(tag, now, slot, word))
                    return false;
                if (!is_claim(word))
                    continue;
                if (horizon($).load(COUNT_LOAD) > (since > now ? since : now)) {
                    cas(slot, word, FREE);
                    continue;
                }
            }
            if (cas(slot, word, slot_word(tag, after)))
                return true;
        }
    }
};

/* Two first requests for K at once, while the slot before them becomes free: each sees another slot to claim. */
template <typename Suite, int TOP> struct two_requests : rl::test_suite<Suite, 3> {
    Table table;
    rl::var<int> admitted[2];

    void before() { table.set(slot_word(J, pack(5, 1)), 0, TOP); }

    void thread(unsigned me) {
        if (me == 2) {
            word_t word = slot_word(J, pack(5, 1));
            table.cas(0, word, FREE); /* forget */
        } else {
            admitted[me]($) = table.hit(K, 0);
        }
    }

    void after() { RL_ASSERT(admitted[0]($) + admitted[1]($) == LIMIT); }
};

struct first_requests : two_requests<first_requests, SLOTS - 1> {};

/* The same while the table grows: one request takes the slot of the lower level, the other opens the upper one. */
struct growth : two_requests<growth, 0> {};

/* K has spent its limit in window 0; J takes its slot in window 1, and a late request for K comes. */
struct late_request : rl::test_suite<late_request, 2> {
    Table table;

    void before() { table.set(slot_word(K, pack(0, LIMIT)), FREE); }

    void thread(unsigned me) {
        if (me)
            RL_ASSERT(!table.hit(K, 0));
        else
            table.hit(J, 1);
    }
};

/* A sliding log with room for two: a thread that sees the newest request in the slot sees the one before it in the ring. */
struct ring : rl::test_suite<ring, 3> {
    rl::atomic<word_t> slot, cells[2];
    rl::var<int> admitted[3];

    void before() { /* word: moment | number; number 4 is the newest, all are of a moment that has left */
        slot($).store(1 << 8 | 4, rl::mo_seq_cst);
        cells[0]($).store(1 << 8 | 2, rl::mo_seq_cst);
        cells[1]($).store(1 << 8 | 3, rl::mo_seq_cst);
    }

    bool hit(word_t now) {
        for (;;) {
            word_t word = slot($).load(LOAD), number = word & 255;
            word_t oldest = cells[(number - 1) % 2]($).load(LOAD);
            if (oldest >> 8 == now) {
                if (slot($).load(LOAD) != word)
                    continue;
                return false;
            }
            word_t seen = cells[number % 2]($).load(LOAD); /* retire */
            if (seen != word) {
                if (slot($).load(LOAD) != word)
                    continue;
                if (!cells[number % 2]($).compare_exchange_strong(seen, word, CAS, CAS_FAILED) && seen != word)
                    continue;
            }
            if (slot($).compare_exchange_strong(word, now << 8 | (number + 1), CAS, CAS_FAILED))
                return true;
        }
    }

    void thread(unsigned me) { admitted[me]($) = hit(2); }

    void after() { RL_ASSERT(admitted[0]($) + admitted[1]($) + admitted[2]($) == 2); }
};

template <typename suite> static int explore(unsigned iterations) {
    rl::test_params params;
    params.search_type = rl::sched_random;
    params.iteration_count = iterations;
    params.execution_depth_limit = 4000;
    bool held = rl::simulate<suite>(params);
    return held ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count != 3)
        return 2;
    unsigned iterations = std::atoi(arguments[2]);
    if (!std::strcmp(arguments[1], "first_requests"))
        return explore<first_requests>(iterations);
    if (!std::strcmp(arguments[1], "growth"))
        return explore<growth>(iterations);
    if (!std::strcmp(arguments[1], "late_request"))
        return explore<late_request>(iterations);
    if (!std::strcmp(arguments[1], "ring"))
        return explore<ring>(iterations);
    return 2;
}
