"""Hashes of keys. Each is computed with the kind of the key: `1`, `"1"` and `b"1"` are three different keys."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from .atomics cimport u128


cdef extern from "_engine/siphash.h" nogil:
    uint64_t siphash13(const uint64_t* seed, const uint8_t* data, size_t size, uint8_t kind)
    uint64_t siphash13_word(const uint64_t* seed, uint64_t word, uint8_t kind)
    void siphash13_words(const uint64_t* seed, const uint64_t* words, size_t count, uint8_t kind, uint64_t* hashes)


cdef enum Kind:
    # A str is of kind 1, 2 or 4: the bytes that its widest character needs, which is how CPython stores it.
    BYTES = 8
    INT = 16
    WIDE_INT = 17


cdef inline uint64_t folded(uint64_t x, uint64_t by) noexcept nogil:
    cdef u128 product = <u128>x * by
    return <uint64_t>product ^ <uint64_t>(product >> 64)


cdef inline uint64_t mixed(const uint64_t* seed, uint64_t hashed, uint64_t kind) noexcept nogil:
    """Return the hash of a key that has a secret hash already, which is the same for keys of another kind."""
    return folded(folded(hashed ^ seed[0], seed[1] | 1) ^ kind * <uint64_t>0x9E3779B97F4A7C15, seed[0] | 1)


cdef inline uint64_t hash_int(const uint64_t* seed, int64_t value) noexcept nogil:
    return siphash13_word(seed, <uint64_t>value, INT)


cdef inline uint64_t hash_uint(const uint64_t* seed, uint64_t value) noexcept nogil:
    cdef uint8_t[9] wide
    cdef int i
    if value < <uint64_t>1 << 63:
        return hash_int(seed, <int64_t>value)
    for i in range(8):
        wide[i] = <uint8_t>(value >> 8 * i)
    wide[8] = 0
    return siphash13(seed, wide, 9, WIDE_INT)


cdef inline void hash_ints(const uint64_t* seed, const uint64_t* values, size_t count, uint64_t* hashes) noexcept nogil:
    """`hash_int` of each value; unsigned values from 2**63 on need `hash_uint`."""
    siphash13_words(seed, values, count, INT, hashes)


cdef inline uint64_t hash_bytes(const uint64_t* seed, const uint8_t* data, size_t size) noexcept nogil:
    return siphash13(seed, data, size, BYTES)
