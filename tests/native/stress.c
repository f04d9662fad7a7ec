/* Drives the core (core.pyx) from native threads, and checks what was admitted against each promise.

   stress SECONDS: every scenario is repeated until it has seen what it is there for, for at most that long each.
   A line of output for each; the exit code is 1 when a promise was broken, 2 when nothing was put to the test. */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core.h"

enum { TOKEN_BUCKET, LEAKY_BUCKET, FIXED_WINDOW, FIRST_WINDOW, SLIDING_WINDOW, SLIDING_LOG, ALGORITHMS };
enum { HIT, RESERVE, CHARGE, REFUND, CANCEL };
enum { REFUSED, DONE, FULL };
enum { THREADS = 4, LIMIT = 8, PERIOD = 8000, KEYS = 56, SLOTS = 28, ROUNDS = 400, MOST = 1 << 16 };

#define START UINT64_C(1700000000000000000) /* a multiple of PERIOD */

static const char *NAMES[] = {"token bucket", "leaky bucket", "fixed window", "first window", "sliding window",
                              "sliding log"};

static uint64_t hash_of(uint64_t key) { /* splitmix64 */
    key = (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
    key = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ key >> 27) * UINT64_C(0x94d049bb133111eb);
    return key ^ key >> 31;
}

struct grant {
    uint64_t key, moment;
};

struct worker {
    void *core;
    int algorithm;
    uint64_t id, random, granted, returned, late;
    struct grant *grants;
};

static uint64_t clock_now, waiting; /* shared by the threads of a scenario */

static uint64_t draw(struct worker *me, uint64_t below) {
    me->random = me->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (me->random >> 33) % below;
}

static void meet(uint64_t round) { /* all threads go on together, so that they meet in the table */
    __atomic_fetch_add(&waiting, 1, __ATOMIC_ACQ_REL);
    for (int i = 0; __atomic_load_n(&waiting, __ATOMIC_ACQUIRE) < THREADS * (round + 1); i++)
        if (i % 256 == 255) /* those that run together leave together; the others need a processor too */
            sched_yield();
}

static void granted(struct worker *me, uint64_t key, uint64_t moment) {
    if (me->granted < MOST)
        me->grants[me->granted] = (struct grant){key, moment};
    me->granted++;
}

static int hit(struct worker *me, uint64_t key, uint64_t now, int given) {
    uint64_t decided;
    if (core_perform(me->core, HIT, hash_of(key), 1, now, 0, given, &decided) != DONE)
        return 0;
    me->late += decided > now;
    granted(me, key, decided);
    return 1;
}

static void take(struct worker *me, uint64_t key, uint64_t now) { /* as `allow` does, at a given moment */
    if (core_take(me->core, hash_of(key), now))
        granted(me, key, now);
}

/* --- the scenarios: what a thread does ------------------------------------------------------------------- */

static void spend(struct worker *me, uint64_t key, uint64_t now) { /* half of the threads do it as `hit`, half as `allow` */
    if (me->id % 2)
        hit(me, key, now, 1);
    else
        take(me, key, now);
}

static void *hot_key(void *argument) {
    struct worker *me = argument;
    meet(0);
    for (int i = 0; i < ROUNDS; i++)
        spend(me, 0, START + i / 8 * (PERIOD / 16));
    return NULL;
}

static void *fresh_keys(void *argument) { /* each round brings a new key to all threads at once */
    struct worker *me = argument;
    for (int round = 0; round < ROUNDS; round++) {
        meet(round);
        for (int i = 0; i < LIMIT; i++)
            spend(me, round, START);
    }
    return NULL;
}

static void *flood(void *argument) { /* twice as many keys as slots, and a clock that makes them fresh again */
    struct worker *me = argument;
    meet(0);
    for (int i = 0; i < 8 * ROUNDS; i++) {
        uint64_t now = __atomic_fetch_add(&clock_now, draw(me, PERIOD / 40), __ATOMIC_RELAXED);
        if (draw(me, 16) == 0)
            sched_yield(); /* the reading grows old */
        hit(me, draw(me, KEYS), now, 0);
    }
    return NULL;
}

/* Nothing leaves before the end. The times of a log differ all the same, as with a running clock: it distinguishes its
   cells by number and time, and numbers repeat after two laps. */
static void *refunds(void *argument) {
    struct worker *me = argument;
    int log = me->algorithm == SLIDING_LOG;
    uint64_t ignored;
    meet(0);
    for (int i = 0; i < ROUNDS; i++) {
        if (!hit(me, 0, log ? __atomic_fetch_add(&clock_now, 1, __ATOMIC_RELAXED) : START, 1))
            continue;
        if (draw(me, 4) || i + 1 == ROUNDS) {
            core_perform(me->core, REFUND, hash_of(0), 1, log ? START + PERIOD / 2 : START, 0, 1, &ignored);
            me->returned++;
        }
    }
    return NULL;
}

static void *resets(void *argument) { /* `returned` counts the resets: each forgives one limit at most */
    struct worker *me = argument;
    meet(0);
    for (int i = 0; i < ROUNDS; i++) {
        hit(me, draw(me, 2), START, 1);
        if (draw(me, 32) == 0) {
            core_reset(me->core, hash_of(draw(me, 2)));
            me->returned++;
        }
        if (draw(me, 128) == 0) {
            core_clear(me->core);
            me->returned += 2;
        }
    }
    return NULL;
}

/* --- the promises ---------------------------------------------------------------------------------------- */

static int by_key_and_moment(const void *a, const void *b) {
    const struct grant *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->moment < y->moment ? -1 : x->moment > y->moment;
}

/* How many requests more than the promise, in the worst interval. */
static uint64_t excess(int algorithm, struct grant *grants, uint64_t count) {
    uint64_t worst = 0;
    qsort(grants, count, sizeof *grants, by_key_and_moment);
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t j = i; j < count && grants[j].key == grants[i].key; j++) {
            uint64_t apart = grants[j].moment - grants[i].moment, most = LIMIT, admitted = j - i + 1;
            if (algorithm == TOKEN_BUCKET || algorithm == LEAKY_BUCKET)
                most += apart / (PERIOD / LIMIT);
            else if (algorithm == FIXED_WINDOW && grants[j].moment / PERIOD != grants[i].moment / PERIOD)
                break;
            else if (apart >= PERIOD)
                break;
            else if (algorithm == FIRST_WINDOW || algorithm == SLIDING_WINDOW)
                most = 2 * LIMIT; /* what any interval of a period may have at most */
            if (admitted > most && admitted - most > worst)
                worst = admitted - most;
        }
    }
    return worst;
}

struct scenario {
    const char *name;
    void *(*work)(void *);
    uint64_t slots;
};

static const struct scenario SCENARIOS[] = {
    {"hot key", hot_key, SLOTS},        {"fresh keys", fresh_keys, ROUNDS + THREADS}, {"flood", flood, SLOTS},
    {"refunds", refunds, SLOTS},        {"resets", resets, SLOTS},
};

struct seen {
    uint64_t runs, granted, collisions, late, wrong, grown;
};

static void run(const struct scenario *scenario, int algorithm, struct grant *grants, struct seen *seen) {
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    void *core = core_new(algorithm, LIMIT, PERIOD, scenario->slots, scenario->slots / 4);
    uint64_t granted = 0, returned = 0, kept = 0, i;
    clock_now = START;
    waiting = 0;
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){core, algorithm, i, seen->runs * THREADS + i, 0, 0, 0, grants + i * MOST};
        pthread_create(&threads[i], NULL, scenario->work, &workers[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        granted += workers[i].granted;
        returned += workers[i].returned;
        seen->late += workers[i].late;
        for (uint64_t j = 0; j < workers[i].granted; j++)
            grants[kept++] = workers[i].grants[j]; /* close up */
    }
    if (scenario->work == hot_key || scenario->work == flood)
        seen->wrong += excess(algorithm, grants, kept);
    else if (scenario->work == fresh_keys)
        seen->wrong += granted != ROUNDS * LIMIT;
    else if (scenario->work == refunds)
        seen->wrong += core_remaining(core, hash_of(0), START) != LIMIT - (granted - returned);
    else
        seen->wrong += granted > LIMIT * (returned + 2);
    seen->runs++;
    seen->granted += granted;
    seen->collisions += core_collisions(core);
    seen->grown += core_levels(core) > 1;
    core_delete(core);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
    const int scenarios = sizeof SCENARIOS / sizeof *SCENARIOS;
    double patience = count > 1 ? atof(arguments[1]) : 60;             /* seconds for each scenario, at most */
    uint64_t wanted = count > 2 ? strtoull(arguments[2], 0, 10) : 100; /* collisions in each */
    struct grant *grants = malloc(sizeof *grants * THREADS * MOST);
    int broken = 0, idle = 0;
    for (int i = 0; i < scenarios; i++) {
        for (int algorithm = 0; algorithm < ALGORITHMS; algorithm++) {
            struct seen seen = {0};
            double began = seconds();
            do
                run(&SCENARIOS[i], algorithm, grants, &seen);
            while (!seen.wrong && seconds() - began < patience &&
                   (seen.collisions < wanted || (SCENARIOS[i].work == flood && seen.late < wanted)));
            printf("%s, %s: %lu runs, in %lu of them the table grew, %lu admitted, %lu collisions, %lu reclaimed under way, "
                   "%lu wrong\n",
                   SCENARIOS[i].name, NAMES[algorithm], seen.runs, seen.grown, seen.granted, seen.collisions, seen.late,
                   seen.wrong);
            fflush(stdout);
            broken |= seen.wrong != 0;
            idle |= seen.collisions < wanted || (SCENARIOS[i].work == flood && seen.late < wanted);
            idle |= seen.grown != seen.runs && (SCENARIOS[i].work == flood || SCENARIOS[i].work == fresh_keys);
        }
    }
    free(grants);
    return broken ? 1 : idle ? 2 : 0;
}
