/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash, so that
   who does not know the seed cannot choose keys that collide. */
#ifndef RATELIMIT_SIPHASH_H
#define RATELIMIT_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t v0, v1, v2, v3;
} SipState;

static inline uint64_t sip_rotate(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

static inline void sip_round(SipState *s) {
    s->v0 += s->v1; s->v1 = sip_rotate(s->v1, 13); s->v1 ^= s->v0; s->v0 = sip_rotate(s->v0, 32);
    s->v2 += s->v3; s->v3 = sip_rotate(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = sip_rotate(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = sip_rotate(s->v1, 17); s->v1 ^= s->v2; s->v2 = sip_rotate(s->v2, 32);
}

static inline void sip_absorb(SipState *s, uint64_t block) {
    s->v3 ^= block;
    sip_round(s);
    s->v0 ^= block;
}

/* The hash of `size` bytes followed by one byte `kind`, which keeps equal bytes of different types apart. */
static inline uint64_t siphash13(const uint64_t seed[2], const uint8_t *data, size_t size, uint8_t kind) {
    SipState s = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                  seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t block, last = (uint64_t)(size + 1) << 56;
    size_t whole = size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&block, data + i, 8);
        sip_absorb(&s, block);
    }
    block = 0;
    for (size_t i = size & 7; i > 0; i--)
        block = block << 8 | data[whole + i - 1];
    if ((size & 7) == 7) {
        sip_absorb(&s, block | (uint64_t)kind << 56);
        sip_absorb(&s, last);
    } else {
        sip_absorb(&s, block | (uint64_t)kind << 8 * (size & 7) | last);
    }
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
