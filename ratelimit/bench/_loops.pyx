"""The best that threads can reach: C loops over words, without the GIL and without decisions."""

from libc.stdint cimport int64_t, uint64_t

from .._engine.atomics cimport count_add, u128, word_cas, word_load


def swap_words(uint64_t[:, ::1] pairs, const int64_t[::1] places):
    """Load and swap words of 128 bits, as an admitted request does with its slot.

    Args:
        pairs: n words as an array of n x 2, at an address that 16 divides.
        places: indices of words, in the order of their updates.
    """
    cdef u128* words = <u128*>&pairs[0, 0]
    cdef u128 seen
    cdef Py_ssize_t i
    with nogil:
        for i in range(places.shape[0]):
            seen = word_load(words + places[i])
            word_cas(words + places[i], &seen, seen + 1)


def fetch_and_add(uint64_t[::1] counter, Py_ssize_t times):
    """Increment the first number of an array; several threads may do so at once."""
    cdef Py_ssize_t _i
    with nogil:
        for _i in range(times):
            count_add(&counter[0], 1)
