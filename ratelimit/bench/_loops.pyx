"""The best that threads can reach: C loops over words, without the GIL and without decisions."""

from cpython.buffer cimport PyBUF_WRITABLE
from libc.stdint cimport int64_t, uint64_t

from .._engine.arrays cimport SIGNED, data_of, integers_of
from .._engine.atomics cimport count_add, u128, word_cas, word_load


def swap_words(pairs, places):
    """Load and swap words of 128 bits, as an admitted request does with its slot.

    Args:
        pairs: n words as an array of n x 2, at an address that 16 divides.
        places: indices of words, in the order of their updates: int64.
    """
    cdef u128* words = <u128*>data_of(pairs, PyBUF_WRITABLE)
    cdef Py_ssize_t i, size = len(places)
    cdef const int64_t* order = <const int64_t*>integers_of(places, "places", SIGNED, sizeof(int64_t), size)
    cdef u128 seen
    with nogil:
        for i in range(size):
            seen = word_load(words + order[i])
            word_cas(words + order[i], &seen, seen + 1)


def fetch_and_add(counter, Py_ssize_t times):
    """Increment the first number of an array of uint64; several threads may do so at once."""
    cdef uint64_t* first = <uint64_t*>data_of(counter, PyBUF_WRITABLE)
    cdef Py_ssize_t _i
    with nogil:
        for _i in range(times):
            count_add(first, 1)
