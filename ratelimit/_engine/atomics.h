/* 128-bit words that are loaded and swapped whole: the only file that depends on compilers and processors.

   A table slot is one 16-byte word, so that a key and its state change together. */
#ifndef RATELIMIT_ATOMICS_H
#define RATELIMIT_ATOMICS_H

#include <stdint.h>

#if !defined(__GNUC__) || !defined(__SIZEOF_INT128__)
#error "ratelimit needs gcc or clang on a 64-bit processor (128-bit integers and compare-and-swap)"
#endif

typedef unsigned __int128 u128;

#if defined(__aarch64__) && !defined(__SANITIZE_THREAD__)
/* Without LSE2, what ldaxp reads is one word only if the stlxp after it succeeds (Arm ARM, B2.2.1). So the word is
   written back even where it is not the expected one: libgcc's outline function does not, and may return halves
   of two words, and gcc 12 fails on its own casp. ldaxp and stlxp order what surrounds them; dmb makes of them the
   full barrier that __sync is. */
static inline u128 word_swap(u128 *word, u128 expected, u128 desired) {
    uint64_t low, high, new_low, new_high;
    uint32_t failed;
    __asm__ __volatile__("0: ldaxp %[low], %[high], %[word]\n\t"
                         "cmp %[low], %[expected_low]\n\t"
                         "ccmp %[high], %[expected_high], #0, eq\n\t"
                         "csel %[new_low], %[desired_low], %[low], eq\n\t"
                         "csel %[new_high], %[desired_high], %[high], eq\n\t"
                         "stlxp %w[failed], %[new_low], %[new_high], %[word]\n\t"
                         "cbnz %w[failed], 0b\n\t"
                         "dmb ish"
                         : [low] "=&r"(low), [high] "=&r"(high), [new_low] "=&r"(new_low), [new_high] "=&r"(new_high),
                           [failed] "=&r"(failed), [word] "+Q"(*word)
                         : [expected_low] "r"((uint64_t)expected), [expected_high] "r"((uint64_t)(expected >> 64)),
                           [desired_low] "r"((uint64_t)desired), [desired_high] "r"((uint64_t)(desired >> 64))
                         : "cc", "memory");
    return (u128)high << 64 | low;
}
#else
static inline u128 word_swap(u128 *word, u128 expected, u128 desired) {
    return __sync_val_compare_and_swap(word, expected, desired);
}
#endif

/* Full barrier: a claim must be visible before the claimant looks for rivals (claim.pxd, settle). */
static inline int word_cas(u128 *word, u128 *expected, u128 desired) {
    u128 seen = word_swap(word, *expected, desired);
    int swapped = seen == *expected;
    *expected = seen;
    return swapped;
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <emmintrin.h>

/* Both Intel and AMD guarantee that an aligned 16-byte SSE load is atomic where AVX exists. Elsewhere a
   compare-and-swap that changes nothing reads the word; it costs more, needs the cache line, and is a write to
   the processor: read-only mappings cannot be read this way.

   The load needs no barrier of its own: x86 keeps loads in order, and none of them passes the locked
   compare-and-swap before it. "memory" keeps the compiler from moving it. */
static int word_load_is_atomic = 0;

/* Each module that includes this file has its own copy, which is set when the module is loaded. */
static __attribute__((constructor)) void word_setup(void) {
    __builtin_cpu_init();
    word_load_is_atomic = __builtin_cpu_supports("avx");
}

static inline u128 word_load(u128 *word) {
    if (__builtin_expect(word_load_is_atomic, 1)) {
        __m128i both;
        uint64_t low, high;
        __asm__ __volatile__("movdqa %[word], %[both]\n\t"
                             "movq %[both], %[low]\n\t"
                             "punpckhqdq %[both], %[both]\n\t"
                             "movq %[both], %[high]"
                             : [both] "=x"(both), [low] "=r"(low), [high] "=r"(high)
                             : [word] "m"(*word)
                             : "memory");
        return (u128)high << 64 | low;
    }
    return word_swap(word, 0, 0);
}
#else
static inline u128 word_load(u128 *word) {
    return word_swap(word, 0, 0);
}
#endif

/* The next two examine eight words for a search that may skip some or all of them. That a word is skipped is a
   conclusion: it was true of the word at some moment since the call, as if the words had been loaded one by one. The
   fence keeps later reads after them, as word_load does. The sign of x - 1 shows whether x, which has less than 64 bits,
   is 0. */

#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
typedef uint64_t __attribute__((vector_size(16))) lanes;
#endif

/* How many of eight words, from the first on, have bits from `shift` up, more than 64, that are neither `top` nor 0. All
   are compared without a branch, which would often be mispredicted. Halves of two different words do no harm: only the
   high halves matter, and each is read whole. */
static inline int words_passed(u128 *words, int shift, uint64_t top) {
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const volatile __m128i *word = (const volatile __m128i *)words;
    int met = 1 << 8;
    for (int i = 0; i < 8; i += 2) {
        lanes tops = (lanes)_mm_unpackhi_epi64(word[i], word[i + 1]) >> (shift - 64);
        met |= _mm_movemask_pd((__m128d)((tops - 1) | ((tops ^ top) - 1))) << i;
    }
#else
    typedef uint64_t __attribute__((may_alias)) half;
    int met = 1 << 8;
    for (int i = 0; i < 8; i++) {
        uint64_t its = __atomic_load_n((half *)(words + i) + 1, __ATOMIC_RELAXED) >> (shift - 64);
        met |= (int)(((its - 1) | ((its ^ top) - 1)) >> 63) << i;
    }
#endif
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __builtin_ctz(met);
}

/* Whether in each of eight words the bits from `shift` up, more than 64, are neither `top` nor 0 nor 1, the bit below
   them is clear, and what is below that is more than `floor`. Here both halves matter, so the answer is 0 unless
   a vector load reads a word whole (see word_load); volatile keeps the compiler from loading halves. */
static inline int words_above(u128 *words, int shift, uint64_t top, u128 floor) {
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const volatile __m128i *word = (const volatile __m128i *)words;
    const uint64_t low_floor = (uint64_t)floor, high_floor = (uint64_t)(floor >> 64);
    lanes above = {~(uint64_t)0, ~(uint64_t)0};
    if (!word_load_is_atomic)
        return 0;
    for (int i = 0; i < 8; i += 2) {
        __m128i one = word[i], two = word[i + 1];
        lanes low = (lanes)_mm_unpacklo_epi64(one, two), high = (lanes)_mm_unpackhi_epi64(one, two);
        lanes tops = high >> (shift - 64), rest = high << (128 - shift);
        lanes borrow = ((~low_floor & low) | (~(low_floor ^ low) & (low_floor - low))) >> 63;
        above &= high_floor - (rest >> (128 - shift)) - borrow; /* the sign of floor - word */
        above &= ~(rest | (tops - 2) | ((tops ^ top) - 1));
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return _mm_movemask_pd((__m128d)above) == 3;
#else
    return 0;
#endif
}

/* Acquire: a thread that misses a key must see the horizon that was raised before the key's slot was taken. */
static inline uint64_t count_load(uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* Relaxed: a ticket must be unique, a statistic must add up, and both need only the addition. */
static inline uint64_t count_add(uint64_t *counter, uint64_t amount) {
    return __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* Release pairs with count_load; the loop ends because the counter only grows. */
static inline void count_raise(uint64_t *counter, uint64_t floor) {
    uint64_t seen = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (seen < floor &&
           !__atomic_compare_exchange_n(counter, &seen, floor, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
}

/* Release: a thread that sees the pointer sees the rule behind it. Its readers depend on the address, which orders
   them on every processor without a barrier. */
static inline void rule_publish(void *pointer, const void *rule) {
    __atomic_store_n((const void **)pointer, rule, __ATOMIC_RELEASE);
}

/* True if the counter held `seen` and now holds `desired`. */
static inline int count_swap(uint64_t *counter, uint64_t seen, uint64_t desired) {
    return __atomic_compare_exchange_n(counter, &seen, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* True for the first caller only. Relaxed: no other memory depends on the flag. */
static inline int first_to_set(uint64_t *flag) {
    return __atomic_exchange_n(flag, 1, __ATOMIC_RELAXED) == 0;
}

static inline void prefetch(const void *address) {
    __builtin_prefetch(address);
}

#endif
