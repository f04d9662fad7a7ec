"""Decide by ratelimit's core in another package, without Python objects or the GIL."""

from array import array

from libc.stdint cimport uint64_t
from ratelimit._core cimport Limiter


def admitted(Limiter limiter not None, keys):
    """Return how many requests the limiter admits now, one for each key; each spends 1.

    Args:
        limiter: any of ratelimit's five, such as TokenBucket.
        keys: an iterable of str, bytes and int.
    """
    # Keys are Python objects, so they are hashed before the GIL is released.
    hashed = array("Q", [limiter.hash_of(key) for key in keys])
    cdef uint64_t[::1] hashes = hashed
    cdef uint64_t now = limiter.read_clock()
    cdef Py_ssize_t i, size = len(hashed), count = 0
    with nogil:
        for i in range(size):
            count += limiter.spend(hashes[i], 1, now)
    return count
