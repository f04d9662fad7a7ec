/* Searches of random tables: small ones, so that most meet the table's end, with windows and reaches of any length, and
   most slots live, so that groups are passed. Prints for each table the results of find, opening and claim, and the
   table afterwards. The same program built to look at the slots one by one must print the same. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "_engine/atomics.h"
#include "core.h"

enum { TURNS = 60000, ALGORITHMS = 6, LOG = 5, LIMIT = 8, PERIOD = 8000, MOST = 70, BEYOND = 8, CLAIM = 1 << 15 };

#define START UINT64_C(1700000000000000000) /* a multiple of PERIOD */

static uint64_t drawn(uint64_t below) {
    static uint64_t state = 1; /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

static u128 key(uint64_t tag, u128 state) { return (u128)tag << 80 | state; }

/* `odd` of a hundred slots do not belong to a live key; `tag` is in some of them. */
static u128 word_of(void *core, int algorithm, uint64_t now, uint64_t tag, uint64_t odd) {
    uint64_t other = tag ^ (uint64_t)1 << (4 + drawn(40)), low, high;
    uint64_t spread = drawn(4) ? PERIOD / 2 : 3 * PERIOD, at = now + drawn(spread);
    u128 claim = 0;
    if (drawn(100) < odd) {
        switch (drawn(6)) {
        case 0: return 0;
        case 1: return key(1, 0);
        case 2: claim = (u128)CLAIM << 64; break;
        case 3: claim = (u128)(drawn(2) ? CLAIM : 0) << 64; other = tag; break;
        default: at = now - drawn(3 * PERIOD);
        }
    }
    core_spent(core, at, 1 + drawn(3), &low, &high);
    u128 state = (u128)high << 64 | low;
    if (algorithm != LOG && drawn(4) == 0)
        state ^= drawn(4); /* what was given back */
    return key(other, claim | state);
}

int main(void) {
    static u128 words[MOST + BEYOND];
    for (long turn = 0; turn < TURNS; turn++) {
        int algorithm = turn % ALGORITHMS;
        uint64_t size = 1 + drawn(MOST), window = drawn(2) ? size : 1 + drawn(size), reach = drawn(window + 1);
        uint64_t unit = drawn(2) ? 1 : 55440, now = START + drawn(2 * PERIOD), odd = drawn(4) ? drawn(3) : 50;
        uint64_t hashed = drawn(UINT64_MAX), tag = hashed & ((UINT64_C(1) << 48) - 1), checksum = 0;
        void *core = core_searched(algorithm, LIMIT, PERIOD, unit, size, window, drawn(2) ? window : reach, BEYOND);
        for (uint64_t i = 0; i < size + BEYOND; i++) /* what lies beyond the table would be passed */
            words[i] = word_of(core, algorithm, now, tag, i < size ? odd : 0);
        memcpy(core_slots(core), words, (size + BEYOND) * sizeof *words);
        long found = core_find(core, hashed);
        uint64_t opens = core_first_free_at(core, hashed, now);
        long claimed = core_claim(core, hashed, now);
        memcpy(words, core_slots(core), size * sizeof *words);
        for (uint64_t i = 0; i < size; i++)
            checksum = (checksum ^ (uint64_t)words[i] ^ (uint64_t)(words[i] >> 64)) * 0x94d049bb133111eb;
        printf("%d %lu/%lu: found %ld, opens %lu, claimed %ld, %lx\n", algorithm, window, size, found, opens - now,
               claimed, checksum);
        core_delete(core);
    }
    return 0;
}
