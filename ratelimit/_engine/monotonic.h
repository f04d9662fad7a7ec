/* CLOCK_MONOTONIC in nanoseconds, at half the cost.

   On x86 the kernel derives CLOCK_MONOTONIC from the processor's time stamp counter, and makes each reading wait for
   all instructions before it, which is most of the cost. Here each thread asks the kernel once a millisecond, and in
   between advances the answer by the counter, at the rate on which the last two answers agree. A reading is then
   within a microsecond of the kernel's. The readings of two threads were never ordered more strictly than that: a
   thread may be preempted between reading the clock and deciding.

   This is done only if the kernel itself uses the counter. It does not use it if the counters of several processors
   disagree or do not run evenly. */
#ifndef RATELIMIT_MONOTONIC_H
#define RATELIMIT_MONOTONIC_H

#include <stdint.h>
#include <time.h>

static inline uint64_t kernel_monotonic_ns(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (uint64_t)moment.tv_sec * 1000000000 + (uint64_t)moment.tv_nsec;
}

#if defined(__x86_64__) && defined(__GLIBC__)
#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#define ANSWER_GOOD_NS 1000000
#define ANSWER_OLD_NS 1000000000
#define ANSWER_QUICK 1024 /* ticks; an answer that took longer was interrupted */

typedef struct {
    uint64_t ticks, ns; /* the counter and the kernel's clock at the same moment */
    uint64_t rate;      /* nanoseconds per tick since the answer before, times 2**32 */
    uint64_t good;      /* the number of ticks for which it is valid */
} Answer;

/* Initial-exec: otherwise each access to a thread-local variable is a function call. */
static __thread Answer answer __attribute__((tls_model("initial-exec")));

static int counter_is_clock = 0;

static __attribute__((constructor)) void monotonic_setup(void) {
    char name[8] = "";
    FILE *source = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (source == NULL)
        return;
    counter_is_clock = fgets(name, sizeof name, source) != NULL && strcmp(name, "tsc\n") == 0;
    fclose(source);
}

static __attribute__((noinline, cold)) uint64_t ask_kernel(void) {
    uint64_t before = __rdtsc(), ns = kernel_monotonic_ns();
    Answer last = answer, now = {.ticks = __rdtsc(), .ns = ns}; /* the counter is read last: a reading is late rather than early */
    uint64_t since = now.ns - last.ns, ticks = now.ticks - last.ticks;
    if (!counter_is_clock || now.ticks - before > ANSWER_QUICK || since < ANSWER_GOOD_NS)
        return ns;
    if (since < ANSWER_OLD_NS && ticks > since / 16 && ticks < since * 16) {
        now.rate = (since << 32) / ticks;
        if (now.rate - last.rate + (last.rate >> 10) <= last.rate >> 9) /* the same rate twice: nothing stopped or jumped */
            now.good = ((uint64_t)ANSWER_GOOD_NS << 32) / now.rate;
    }
    answer = now;
    return ns;
}

static inline uint64_t monotonic_ns(void) {
    uint64_t ticks = __rdtsc() - answer.ticks;
    if (__builtin_expect(ticks < answer.good, 1))
        return answer.ns + (ticks * answer.rate >> 32);
    return ask_kernel();
}
#else
static inline uint64_t monotonic_ns(void) {
    return kernel_monotonic_ns();
}
#endif

#endif
