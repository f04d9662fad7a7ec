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

static inline SipState sip_begin(const uint64_t seed[2]) {
    SipState s = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                  seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    return s;
}

static inline uint64_t sip_end(SipState *s) {
    s->v2 ^= 0xff;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* The hash of `size` bytes followed by one byte `kind`, which keeps equal bytes of different types apart. */
static inline uint64_t siphash13(const uint64_t seed[2], const uint8_t *data, size_t size, uint8_t kind) {
    SipState s = sip_begin(seed);
    uint64_t block, last = (uint64_t)(size + 1) << 56;
    size_t rest = size & 7, whole = size - rest;
    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&block, data + i, 8);
        sip_absorb(&s, block);
    }
    block = kind;
    for (size_t i = rest; i > 0; i--)
        block = block << 8 | data[whole + i - 1];
    if (rest == 7) {
        sip_absorb(&s, block);
        sip_absorb(&s, last);
    } else {
        sip_absorb(&s, block | last);
    }
    return sip_end(&s);
}

/* The same for the 8 bytes of an integer, without a branch: an array of them is hashed four at a time where the
   processor can. */
static inline uint64_t siphash13_word(const uint64_t seed[2], uint64_t word, uint8_t kind) {
    SipState s = sip_begin(seed);
    sip_absorb(&s, word);
    sip_absorb(&s, kind | (uint64_t)9 << 56);
    return sip_end(&s);
}

#define SIPHASH13_WORDS                                                                                      \
    for (size_t i = 0; i < count; i++)                                                                       \
        hashes[i] = siphash13_word(seed, words[i], kind);

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void siphash13_words_avx2(
    const uint64_t seed[2], const uint64_t *restrict words, size_t count, uint8_t kind, uint64_t *restrict hashes) {
    SIPHASH13_WORDS
}
#endif

static inline void siphash13_words(
    const uint64_t seed[2], const uint64_t *restrict words, size_t count, uint8_t kind, uint64_t *restrict hashes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        siphash13_words_avx2(seed, words, count, kind, hashes);
        return;
    }
#endif
    SIPHASH13_WORDS
}

#endif
