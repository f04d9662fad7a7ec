"""Arguments of callers, checked and converted: moments, costs and keys, one or an array of them."""

import os
import sys

import numpy as np

from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t, uint64_t

from .._engine.arrays cimport data_of
from .._engine.constants cimport NEVER
from .._engine.hashing cimport BYTES, hash_bytes, hash_ints, hash_uint, mixed
from .keys cimport PyLong_AsLongLongAndOverflow, hash_key, hash_of_buffer


cdef int64_t small_int(object value) except? -1:
    """Return the value of an int from 0 to 2**63 - 1, as nearly all arguments are; -1 for anything else."""
    cdef int overflow = 0
    cdef int64_t number
    if not PyLong_CheckExact(value):
        return -1
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    return number if number >= 0 and overflow == 0 else -1


cdef uint64_t checked_moment(object value, str name) except? 0:
    return checked_uint(value, name, 0, NEVER - 2, "nanoseconds since the epoch")


cdef uint64_t checked_cost(object value, str name, uint64_t least=1) except? 0:
    """Return a cost. One that exceeds 64 bits exceeds every limit too, and is refused in the same way."""
    cdef int64_t small = small_int(value)
    if small >= <int64_t>least:
        return min(<uint64_t>small, NEVER)
    number = index_of(value, name, "a number of requests")
    return NEVER if number >= NEVER else checked_uint(value, name, least, NEVER, "a number of requests")


cdef uint64_t checked_uint(object value, str name, uint64_t least, uint64_t largest, str meaning) except? 0:
    cdef int64_t small = small_int(value)
    if small >= 0 and least <= <uint64_t>small <= largest:
        return <uint64_t>small
    number = index_of(value, name, meaning)
    if not least <= number <= largest:
        raise ValueError(f"{name}: expected {meaning}, an int from {least} to {largest}, got {value!r}")
    return number


cdef object index_of(object value, str name, str meaning):
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{name}: expected {meaning}, an int, got {value!r} of type {type(value).__name__}") from None


cdef object checked_integers(values, str name, Py_ssize_t size, least, largest=None):
    """Return an array of `size` 64-bit integers; one number is repeated. Without `largest`, cut to 64 bits."""
    cdef int64_t small = small_int(values)
    if small >= least and (largest is None or small <= largest):
        return np.ndarray((size,), np.uint64, np.array([small], np.uint64), strides=(0,))
    expected = f"{name}: expected one number, or one for each of the {size} keys"
    try:
        array = np.array(values)  # a copy: another thread may change the array after it is checked
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{expected} ({error})") from None
    if array.dtype.kind not in "iu" and array.size:
        numbers = np.array(values, object)  # Python's integers, which are not limited to 64 bits
        if array.dtype.kind not in "Of" or any([
            isinstance(number, bool) or not isinstance(number, (int, np.integer)) for number in numbers.flat
        ]):
            raise TypeError(f"{name}: expected whole numbers, got an array of {array.dtype}")
        array = numbers
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ValueError(f"{expected}, got shape {array.shape}")
    wrong = np.flatnonzero(array < least if largest is None else (array < least) | (array > largest))
    if len(wrong):
        accepted = f"from {least}" if largest is None else f"from {least} to {largest}"
        raise ValueError(f"{name}: expected whole numbers {accepted}, got {array.flat[wrong[0]]} (at index {wrong[0]})")
    if array.dtype.kind == "O":
        array = np.minimum(array, 2**64 - 1)
    return np.broadcast_to(np.asarray(array).astype(np.uint64, copy=False), (size,))


def _python_hash_is_secret():
    """Return whether the hash of a str is one that clients of this process cannot know or choose."""
    drawn = os.environ.get("PYTHONHASHSEED", "random") in ("", "random")  # the flag is 1 for a known seed, too
    return sys.hash_info.algorithm.startswith("siphash") and sys.flags.hash_randomization == 1 and drawn


PYTHON_HASH_IS_SECRET = _python_hash_is_secret()


cdef object hashes_of(const uint64_t* seed, bint quick, keys):
    """Return the hashes of a batch of keys: uint64."""
    expected = (
        "keys: expected a one-dimensional array of integers, bytes or text (dtype i, u, S, U or StringDType), "
        "or a list or object array of str, bytes and int"
    )
    if not isinstance(keys, (np.ndarray, list, tuple)):
        raise TypeError(f"{expected}, got {type(keys).__name__}")
    if isinstance(keys, np.ndarray) and keys.ndim != 1:
        raise ValueError(f"{expected}, got an array of shape {keys.shape}")
    if not isinstance(keys, np.ndarray) or keys.dtype.kind in "OUT":
        return hashes_of_objects(seed, quick, tuple(keys))  # a copy: another thread may change the list meanwhile
    if keys.dtype.kind in "iu":
        signed = keys.dtype.kind == "i"
        words = np.ascontiguousarray(keys, np.int64 if signed else np.uint64).view(np.uint64)
        return hashes_of_integers(seed, signed, words)
    if keys.dtype.kind == "S":
        return hashes_of_bytes(seed, quick, np.ascontiguousarray(keys))
    if len(keys):
        raise TypeError(f"{expected}, got an array of {keys.dtype}")
    return np.empty(0, np.uint64)  # an empty list becomes an array of any type


cdef object hashes_of_objects(const uint64_t* seed, bint quick, tuple keys):
    cdef Py_ssize_t i
    result = np.empty(len(keys), np.uint64)
    cdef uint64_t* hashes = <uint64_t*>data_of(result)
    for i, key in enumerate(keys):
        hashes[i] = hash_key(seed, quick, key)
    return result


cdef object hashes_of_integers(const uint64_t* seed, bint signed, words):
    """Return the hashes of 64-bit integers, of which the unsigned ones from 2**63 need more than 64 bits."""
    cdef Py_ssize_t i, size = len(words)
    cdef const uint64_t* numbers = <const uint64_t*>data_of(words)
    result = np.empty(size, np.uint64)
    cdef uint64_t* hashes = <uint64_t*>data_of(result)
    with nogil:
        hash_ints(seed, numbers, size, hashes)
    if not signed:
        for i in np.flatnonzero(words >= 2**63):
            hashes[i] = hash_uint(seed, numbers[i])
    return result


cdef object hashes_of_bytes(const uint64_t* seed, bint quick, texts):
    cdef Py_ssize_t i, length, size = len(texts), width = texts.dtype.itemsize
    cdef const uint8_t* text = <const uint8_t*>data_of(texts)
    result = np.empty(size, np.uint64)
    cdef uint64_t* hashes = <uint64_t*>data_of(result)
    with nogil:
        for i in range(size):
            length = width
            while length and text[length - 1] == 0:  # numpy pads with zeros
                length -= 1
            if quick:
                hashes[i] = mixed(seed, <uint64_t>hash_of_buffer(text, length), BYTES)
            else:
                hashes[i] = hash_bytes(seed, text, length)
            text += width
    return result


def costs_for(costs, cost, int size):
    """Return a checked cost for each limiter."""
    if cost != 1:
        raise TypeError(f"costs: expected without cost=, got cost={cost!r} too")
    return tuple([checked_cost(own, "costs") for own in one_for_each(costs, "costs", size)])


cdef object cost_rows(object costs, Py_ssize_t size, int limits):
    """Return the costs of a batch, a row for each limiter."""
    if getattr(costs, "ndim", 1) != 2:
        return np.broadcast_to(checked_integers(costs, "costs", size, 1), (limits, size))
    if costs.shape != (size, limits):
        raise ValueError(f"costs: expected the shape {(size, limits)}, got {costs.shape}")
    return np.array([checked_integers(costs[:, i], "costs", size, 1) for i in range(limits)])


cdef tuple one_for_each(object given, str name, int size):
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"{name}: expected a list or tuple, one for each limiter, got {given!r}")
    if len(given) != size:
        raise ValueError(f"{name}: expected {size}, one for each limiter, got {len(given)}")
    return tuple(given)
