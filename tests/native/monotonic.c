/* monotonic.h beside the kernel's own clock, read just before and just after it. Prints how often the counter
   answered, how often the kernel was asked, and by how much a reading was ever too late or too early, in ns. */
#include "monotonic.h"

#include <inttypes.h>
#include <stdio.h>

#define READINGS 5000000

int main(void) {
    int64_t late = 0, early = 0;
    long counted = 0, asked = 0;
    for (long i = 0; i < READINGS; i++) {
        uint64_t before = kernel_monotonic_ns();
#ifdef ANSWER_GOOD_NS
        int counts = counter_is_clock && __rdtsc() - answer.ticks < answer.good;
#else
        int counts = 0;
#endif
        uint64_t reading = monotonic_ns(), after = kernel_monotonic_ns();
        *(counts ? &counted : &asked) += 1;
        if ((int64_t)(before - reading) > late)
            late = (int64_t)(before - reading);
        if ((int64_t)(reading - after) > early)
            early = (int64_t)(reading - after);
    }
    printf("counted %ld asked %ld late %" PRId64 " early %" PRId64 "\n", counted, asked, late, early);
    return 0;
}
