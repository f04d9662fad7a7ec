/* The only place that knows compilers and processors: 128-bit words, loaded and swapped whole.

   A table slot is one 16-byte word, so that a key and its state change hands together. */
#ifndef RATELIMIT_ATOMICS_H
#define RATELIMIT_ATOMICS_H

#include <stdint.h>

#if !defined(__GNUC__) || !defined(__SIZEOF_INT128__)
#error "ratelimit needs gcc or clang on a 64-bit processor (128-bit integers and compare-and-swap)"
#endif

typedef unsigned __int128 u128;

/* Full barrier: a claim must be visible before the claimant looks for rivals (_table.pxd, settle). */
static inline int word_cas(u128 *word, u128 *expected, u128 desired) {
    u128 seen = __sync_val_compare_and_swap(word, *expected, desired);
    int swapped = seen == *expected;
    *expected = seen;
    return swapped;
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <emmintrin.h>

/* Both Intel and AMD guarantee that an aligned 16-byte SSE load is atomic where AVX exists. Elsewhere a
   compare-and-swap that changes nothing reads the word; it costs more and needs the cache line. */
static int word_load_is_atomic = 0;

static inline void word_setup(void) {
    __builtin_cpu_init();
    word_load_is_atomic = __builtin_cpu_supports("avx");
}

static inline u128 word_load(u128 *word) {
    if (__builtin_expect(word_load_is_atomic, 1)) {
        __m128i both;
        u128 value;
        __asm__ __volatile__("movdqa %1, %0" : "=x"(both) : "m"(*word) : "memory");
        __builtin_memcpy(&value, &both, sizeof value);
        return value;
    }
    return __sync_val_compare_and_swap(word, (u128)0, (u128)0);
}
#else
static inline void word_setup(void) {}

static inline u128 word_load(u128 *word) {
    return __sync_val_compare_and_swap(word, (u128)0, (u128)0);
}
#endif

/* Acquire: whoever misses a key has to see the horizon that was raised before the key's slot was taken. */
static inline uint64_t count_load(uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

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

/* Release: whoever sees the pointer sees the rule behind it. Its readers depend on the address, which orders them
   on every processor without a barrier. */
static inline void rule_publish(void *pointer, const void *rule) {
    __atomic_store_n((const void **)pointer, rule, __ATOMIC_RELEASE);
}

/* True for the first caller alone. The exchange is all that matters: nothing is read on the strength of it. */
static inline int first_come(uint64_t *gate) {
    return __atomic_exchange_n(gate, 1, __ATOMIC_RELAXED) == 0;
}

static inline void prefetch(const void *address) {
    __builtin_prefetch(address);
}

#endif
