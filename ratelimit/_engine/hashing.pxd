"""From keys to hashes. Equal bytes of different types hash apart: `1`, `"1"` and `b"1"` are three keys."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.long cimport PyLong_Check
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "_engine/siphash.h" nogil:
    uint64_t siphash13(const uint64_t* seed, const uint8_t* data, size_t size, uint8_t kind)
    uint64_t siphash13_word(const uint64_t* seed, uint64_t word, uint8_t kind)
    void siphash13_words(const uint64_t* seed, const uint64_t* words, size_t count, uint8_t kind, uint64_t* hashes)


cdef extern from "Python.h":
    bint PyUnicode_Check(object)
    int PyUnicode_KIND(object)
    void* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1


cdef enum Kind:
    # A str is one of 1, 2 and 4: the bytes that its widest character needs, which is how CPython stores it.
    BYTES = 8
    INT = 16
    WIDE_INT = 17


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
    """`hash_int` of each; that is all there is to 64-bit integers but for those of an unsigned array from 2**63."""
    siphash13_words(seed, values, count, INT, hashes)


cdef inline uint64_t hash_bytes(const uint64_t* seed, const uint8_t* data, size_t size) noexcept nogil:
    return siphash13(seed, data, size, BYTES)


cdef inline uint64_t hash_key(const uint64_t* seed, object key) except? 0:
    cdef int overflow = 0
    cdef int64_t value
    if PyUnicode_Check(key):
        return siphash13(
            seed,
            <uint8_t*>PyUnicode_DATA(key),
            PyUnicode_GET_LENGTH(key) * PyUnicode_KIND(key),
            PyUnicode_KIND(key),
        )
    if PyLong_Check(key):
        value = PyLong_AsLongLongAndOverflow(key, &overflow)
        if not overflow:
            return hash_int(seed, value)
        wide = key.to_bytes(key.bit_length() // 8 + 1, "little", signed=True)
        return siphash13(seed, <uint8_t*>PyBytes_AS_STRING(wide), PyBytes_GET_SIZE(wide), WIDE_INT)
    if PyBytes_Check(key):
        return hash_bytes(seed, <uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    return hash_key(seed, whole_number(key))


cdef inline object whole_number(object key):
    """Of an integer that is no int, as numpy's, the int."""
    try:
        return PyNumber_Index(key)
    except TypeError:
        raise TypeError(f"key must be a str, bytes or int, not {key!r} of type {type(key).__name__}") from None
