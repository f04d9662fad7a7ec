"""128-bit words and shared counters, as declared in `atomics.h`."""

from libc.stdint cimport uint64_t


cdef extern from "_engine/atomics.h" nogil:
    ctypedef unsigned long long u128  # unsigned __int128: C knows the true width

    u128 word_load(u128* word)
    bint word_cas(u128* word, u128* expected, u128 desired)
    int words_passed(u128* words, int shift, uint64_t top)
    bint words_above(u128* words, int shift, uint64_t top, u128 floor)

    uint64_t count_load(uint64_t* counter)
    uint64_t count_add(uint64_t* counter, uint64_t amount)
    void count_raise(uint64_t* counter, uint64_t floor)
    bint count_swap(uint64_t* counter, uint64_t seen, uint64_t desired)

    void rule_publish(void* pointer, const void* rule)
    bint first_to_set(uint64_t* flag)

    void prefetch(const void* address)
