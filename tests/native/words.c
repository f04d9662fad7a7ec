/* Check eight words at once, and compare with a loop: words of which none, one or several are unused or have the top
   that is searched for, and the others nearly have it; words above, at or below a floor, by either half. Print
   how often an answer was wrong, and how often each was that all can be skipped. */
#include "atomics.h"

#include <stdio.h>
#include <stdlib.h>

#define TURNS 200000
#define SHIFT 79

#if defined(__SSE2__)
#define VECTORS word_load_is_atomic
#else
#define VECTORS 0
#endif

static uint64_t drawn(void) {
    static uint64_t state = 1; /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static u128 words[8];
static long wrong, passing, above;

static void ask_how_many_pass(uint64_t top) {
    int pass = 0, all = 1;
    for (int i = 0; i < 8; i++) {
        uint64_t its = drawn() % 32 ? top ^ (uint64_t)1 << drawn() % (128 - SHIFT) : drawn() % 2 ? top : 0;
        words[i] = (u128)its << SHIFT | ((u128)drawn() << 64 | drawn()) >> (128 - SHIFT);
        all &= its != top && its != 0;
        pass += all;
    }
    wrong += words_passed(words, SHIFT, top) != pass;
    passing += all;
}

/* The bit below `SHIFT + 1` is the claim's, here as in table.pxd. */
static void ask_whether_they_are_above(uint64_t top) {
    u128 below = ((u128)1 << SHIFT) - 1, floor = ((u128)drawn() << 64 | drawn()) & below >> drawn() % SHIFT;
    int all = 1;
    top = top >> 1 | 2;
    for (int i = 0; i < 8; i++) {
        u128 step = (u128)(1 + drawn() % 3) << (drawn() % 2 ? 0 : drawn() % SHIFT);
        u128 state = drawn() % 16 ? floor + step : floor - drawn() % 2 * step;
        uint64_t its = drawn() % 32 ? top ^ (uint64_t)1 << drawn() % (127 - SHIFT) : drawn() % 2 ? top : drawn() % 2;
        uint64_t claim = drawn() % 32 == 0;
        words[i] = (u128)its << (SHIFT + 1) | (u128)claim << SHIFT | (state & below);
        all &= its != top && its > 1 && !claim && (state & below) > floor;
    }
    int said = words_above(words, SHIFT + 1, top, floor);
    wrong += said > all || (VECTORS && said != all); /* a negative result is inconclusive */
    above += said;
}

int main(void) {
    for (long turn = 0; turn < TURNS; turn++) {
        uint64_t top = drawn() >> (SHIFT - 64);
        ask_how_many_pass(top);
        ask_whether_they_are_above(top);
    }
    printf("wrong %ld passing %ld above %ld\n", wrong, passing, above);
    return 0;
}
