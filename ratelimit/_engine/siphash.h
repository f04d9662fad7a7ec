/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash, so that
   a client that does not know the seed cannot choose keys that collide. */
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

/* The same for the 8 bytes of an integer, without a branch. */
static inline uint64_t siphash13_word(const uint64_t seed[2], uint64_t word, uint8_t kind) {
    SipState s = sip_begin(seed);
    sip_absorb(&s, word);
    sip_absorb(&s, kind | (uint64_t)9 << 56);
    return sip_end(&s);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The same with AVX2: four integers in the lanes of a vector, and two vectors side by side, because in a round each
   step depends on the one before it. */
#define AVX2 __attribute__((target("avx2")))

typedef struct {
    __m256i v0, v1, v2, v3;
} SipLanes;

/* AVX2 has no rotation, but can shuffle bytes. */
AVX2 static inline __m256i lanes_rotate(__m256i x, int by) {
    const int64_t low = 0x0504030201000706, high = 0x0d0c0b0a09080f0e;
    if (by == 32)
        return _mm256_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1));
    if (by == 16)
        return _mm256_shuffle_epi8(x, _mm256_set_epi64x(high, low, high, low));
    return _mm256_slli_epi64(x, by) | _mm256_srli_epi64(x, 64 - by);
}

/* The intrinsic adds without a sign: a lane of __m256i is signed, and must not overflow. */
AVX2 static inline void lanes_round(SipLanes *s) {
    s->v0 = _mm256_add_epi64(s->v0, s->v1); s->v1 = lanes_rotate(s->v1, 13); s->v1 ^= s->v0; s->v0 = lanes_rotate(s->v0, 32);
    s->v2 = _mm256_add_epi64(s->v2, s->v3); s->v3 = lanes_rotate(s->v3, 16); s->v3 ^= s->v2;
    s->v0 = _mm256_add_epi64(s->v0, s->v3); s->v3 = lanes_rotate(s->v3, 21); s->v3 ^= s->v0;
    s->v2 = _mm256_add_epi64(s->v2, s->v1); s->v1 = lanes_rotate(s->v1, 17); s->v1 ^= s->v2; s->v2 = lanes_rotate(s->v2, 32);
}

AVX2 static inline void lanes_absorb(SipLanes s[2], __m256i first, __m256i second) {
    s[0].v3 ^= first;
    s[1].v3 ^= second;
    lanes_round(&s[0]);
    lanes_round(&s[1]);
    s[0].v0 ^= first;
    s[1].v0 ^= second;
}

AVX2 static void siphash13_words_avx2(
    const uint64_t seed[2], const uint64_t *words, size_t count, uint8_t kind, uint64_t *hashes) {
    const SipState begin = sip_begin(seed);
    const SipLanes fresh = {_mm256_set1_epi64x((int64_t)begin.v0), _mm256_set1_epi64x((int64_t)begin.v1),
                            _mm256_set1_epi64x((int64_t)begin.v2), _mm256_set1_epi64x((int64_t)begin.v3)};
    const __m256i last = _mm256_set1_epi64x((int64_t)(kind | (uint64_t)9 << 56));
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        SipLanes s[2] = {fresh, fresh};
        const __m256i *word = (const __m256i *)(words + i);
        lanes_absorb(s, _mm256_loadu_si256(word), _mm256_loadu_si256(word + 1));
        lanes_absorb(s, last, last);
        s[0].v2 ^= _mm256_set1_epi64x(0xff);
        s[1].v2 ^= _mm256_set1_epi64x(0xff);
        for (int round = 0; round < 3; round++) {
            lanes_round(&s[0]);
            lanes_round(&s[1]);
        }
        for (int k = 0; k < 2; k++)
            _mm256_storeu_si256((__m256i *)(hashes + i) + k, s[k].v0 ^ s[k].v1 ^ s[k].v2 ^ s[k].v3);
    }
    for (; i < count; i++)
        hashes[i] = siphash13_word(seed, words[i], kind);
}
#endif

static inline void siphash13_words(
    const uint64_t seed[2], const uint64_t *words, size_t count, uint8_t kind, uint64_t *hashes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        siphash13_words_avx2(seed, words, count, kind, hashes);
        return;
    }
#endif
    for (size_t i = 0; i < count; i++)
        hashes[i] = siphash13_word(seed, words[i], kind);
}

#endif
