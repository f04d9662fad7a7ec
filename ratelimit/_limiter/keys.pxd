"""The hash of a key, a Python object.

CPython keeps the hash of each str and bytes in the object. It is SipHash too, under a secret of the process, so a table
in the process's own memory takes that (`quick`) and mixes it with its seed and the key's kind. Other tables outlive the
process or are shared with others.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.long cimport PyLong_Check
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t, uint64_t

from .._engine.hashing cimport BYTES, WIDE_INT, hash_bytes, hash_int, mixed, siphash13


cdef extern from "Python.h":
    bint PyUnicode_Check(object)
    int PyUnicode_KIND(object)
    void* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1

cdef extern from *:
    """
    /* Those of the base types, whatever a subclass defines. Neither fails. */
    #define hash_of_str(key) (PyUnicode_Type.tp_hash(key))
    #define hash_of_bytes(key) (PyBytes_Type.tp_hash(key))
    #if PY_VERSION_HEX >= 0x030E0000
    #define hash_of_buffer Py_HashBuffer
    #else
    #if PY_VERSION_HEX >= 0x030D0000
    PyAPI_FUNC(Py_hash_t) _Py_HashBytes(const void *, Py_ssize_t);
    #endif
    #define hash_of_buffer _Py_HashBytes
    #endif
    """
    Py_ssize_t hash_of_str(object)
    Py_ssize_t hash_of_bytes(object)
    Py_ssize_t hash_of_buffer(const void*, Py_ssize_t) nogil  # as of a bytes


cdef inline uint64_t hash_key(const uint64_t* seed, bint quick, object key) except? 0:
    cdef int overflow = 0
    cdef int64_t value
    if PyUnicode_Check(key):
        if quick:
            return mixed(seed, <uint64_t>hash_of_str(key), PyUnicode_KIND(key))
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
        wide = int.to_bytes(key, int.bit_length(key) // 8 + 1, "little", signed=True)  # a subclass may override both
        return siphash13(seed, <uint8_t*>PyBytes_AS_STRING(wide), PyBytes_GET_SIZE(wide), WIDE_INT)
    if PyBytes_Check(key):
        if quick:
            return mixed(seed, <uint64_t>hash_of_bytes(key), BYTES)
        return hash_bytes(seed, <uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    return hash_key(seed, quick, whole_number(key))


cdef inline object whole_number(object key):
    """Return the int of an integer of another type, such as numpy's."""
    try:
        return PyNumber_Index(key)
    except TypeError:
        raise TypeError(f"key: expected a str, bytes or int, got {key!r} of type {type(key).__name__}") from None
