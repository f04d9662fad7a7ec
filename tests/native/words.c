/* word_among beside the same by a loop: eight words of which none, one or several have the top that is looked for, and
   the others nearly have it. Prints how often it was wrong, of how many. */
#include "_atomics.h"

#include <stdio.h>
#include <stdlib.h>

#define TURNS 200000
#define SHIFT 79

static uint64_t drawn(void) {
    static uint64_t state = 1; /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int main(void) {
    static u128 words[8];
    long wrong = 0, found = 0;
    for (long turn = 0; turn < TURNS; turn++) {
        uint64_t top = drawn() >> (SHIFT - 64);
        int first = 8;
        for (int i = 7; i >= 0; i--) {
            uint64_t other = turn % 2 ? drawn() >> (SHIFT - 64) : top ^ (uint64_t)1 << drawn() % (128 - SHIFT);
            uint64_t its = drawn() % 8 == 0 ? top : other;
            words[i] = (u128)its << SHIFT | ((u128)drawn() << 64 | drawn()) >> (128 - SHIFT);
            first = its == top ? i : first;
        }
        wrong += word_among(words, SHIFT, top) != first;
        found += first < 8;
    }
    printf("wrong %ld found %ld\n", wrong, found);
    return 0;
}
