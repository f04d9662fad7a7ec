"""What callers give, as what decisions are made of: moments, costs and keys, one or an array of them."""

import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t, uint64_t

from .._engine.hashing cimport PyLong_AsLongLongAndOverflow, hash_bytes, hash_ints, hash_key, hash_uint
from .._engine.rule cimport NEVER


cdef int64_t usual_int(object value) except? -1:
    """What nearly every number is, an int from 0 to 2**63 - 1; or -1 for what has to be looked at closely."""
    cdef int overflow = 0
    cdef int64_t number
    if not PyLong_CheckExact(value):
        return -1
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    return number if number >= 0 and overflow == 0 else -1


cdef uint64_t moment(object value, str name) except? 0:
    return whole(value, name, 0, NEVER - 2, "nanoseconds since the epoch")


cdef uint64_t amount(object value, str name, uint64_t least=1) except? 0:
    """A cost. What exceeds 64 bits exceeds every limit as well, and is refused as such a cost is."""
    cdef int64_t usual = usual_int(value)
    if usual >= <int64_t>least:
        return min(<uint64_t>usual, NEVER)
    number = index_of(value, name, "a number of requests")
    return NEVER if number >= NEVER else whole(value, name, least, NEVER, "a number of requests")


cdef uint64_t whole(object value, str name, uint64_t least, uint64_t most, str what) except? 0:
    cdef int64_t usual = usual_int(value)
    if usual >= 0 and least <= <uint64_t>usual <= most:
        return <uint64_t>usual
    number = index_of(value, name, what)
    if not least <= number <= most:
        raise ValueError(f"{name} must be {what}, an int from {least} to {most}, not {value!r}")
    return number


cdef object index_of(object value, str name, str what):
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, {what}, not {value!r} of type {type(value).__name__}") from None


cdef object integers(values, str name, Py_ssize_t size, least, most=None):
    """An array of `size` 64-bit integers; one number stands for all. Without `most`, what is more is cut."""
    cdef int64_t usual = usual_int(values)
    if usual >= least and (most is None or usual <= most):
        return np.ndarray((size,), np.uint64, np.array([usual], np.uint64), strides=(0,))
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be one number or as many as there are keys, {size}: {error}") from None
    if array.dtype.kind not in "iu" and array.size:
        numbers = np.asarray(values, object)  # as Python has them, whose integers know no bounds
        if array.dtype.kind not in "Of" or any(
            isinstance(number, bool) or not isinstance(number, (int, np.integer)) for number in numbers.flat
        ):
            raise TypeError(f"{name} must be whole numbers, not an array of {array.dtype}")
        array = numbers
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ValueError(f"{name} must be one number or as many as there are keys, {size}, not of shape {array.shape}")
    wrong = np.flatnonzero(array < least if most is None else (array < least) | (array > most))
    if len(wrong):
        accepted = f"from {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be whole numbers {accepted}, not {array.flat[wrong[0]]} (at index {wrong[0]})")
    if array.dtype.kind == "O":
        array = np.minimum(array, 2**64 - 1)
    return np.broadcast_to(np.asarray(array).astype(np.uint64, copy=False), (size,))


cdef object hashes_of(const uint64_t* seed, keys):
    """The hashes of a batch of keys."""
    cdef uint64_t[::1] hashes
    cdef const uint64_t[::1] words
    cdef const uint8_t[:, ::1] rows
    cdef Py_ssize_t i, size, length
    accepted = (
        "keys must be a one-dimensional array of integers, bytes or text (dtype i, u, S or U), or a list or object "
        "array of str, bytes and int"
    )
    if not isinstance(keys, (np.ndarray, list, tuple)):
        raise TypeError(f"{accepted}, not {type(keys).__name__}")
    if isinstance(keys, np.ndarray) and keys.ndim != 1:
        raise ValueError(f"{accepted}, not an array of shape {keys.shape}")
    size = len(keys)
    result = np.empty(size, np.uint64)
    if size == 0:
        return result  # of whatever type numpy took it to be
    hashes = result
    if not isinstance(keys, np.ndarray) or keys.dtype.kind in "OU":
        for i, key in enumerate(tuple(keys)):  # a list may change under us
            hashes[i] = hash_key(seed, key)
        return result
    if keys.dtype.kind in "iu":
        words = np.ascontiguousarray(keys, np.int64 if keys.dtype.kind == "i" else np.uint64).view(np.uint64)
        with nogil:
            hash_ints(seed, &words[0], size, &hashes[0])
        if keys.dtype.kind == "u":
            for i in np.flatnonzero(keys >= 2**63):
                hashes[i] = hash_uint(seed, words[i])
    elif keys.dtype.kind == "S":
        rows = np.ascontiguousarray(keys).view(np.uint8).reshape(size, keys.dtype.itemsize)
        with nogil:
            for i in range(size):
                length = rows.shape[1]
                while length and rows[i, length - 1] == 0:  # numpy pads with zeros
                    length -= 1
                hashes[i] = hash_bytes(seed, &rows[i, 0], length)
    else:
        raise TypeError(f"{accepted}, not an array of {keys.dtype}")
    return result


cdef char* address(object array) except NULL:
    """Where the array's memory is; it stays there for as long as somebody holds the array."""
    cdef Py_buffer memory
    PyObject_GetBuffer(array, &memory, PyBUF_SIMPLE)
    PyBuffer_Release(&memory)
    return <char*>memory.buf
