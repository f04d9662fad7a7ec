"""State for each key: dense numbers for keys, and the requests admitted in a sliding interval.

Both are bounded. Not thread-safe: a replay belongs to one thread.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

cimport cython

from .._engine.atomics cimport prefetch

cdef enum:
    NONE = -1
    AHEAD = 8  # requests between asking for a cache line and using it


@cython.overflowcheck(False)
cdef inline uint64_t scatter(uint64_t key) noexcept nogil:
    """Murmur3's finalizer (Appleby, 2011): each bit of the key reaches each bit of the result."""
    key ^= key >> 33
    key *= <uint64_t>0xff51afd7ed558ccd
    key ^= key >> 33
    key *= <uint64_t>0xc4ceb9fe1a85ec53
    return key ^ key >> 33


cdef class KeyIds:
    """The number of each key, from 0, in the order of their first appearance.

    Args:
        most: how many keys get a number of their own. All others share the number `most`.
    """

    cdef readonly Py_ssize_t most, size
    cdef object keys_, slots_
    cdef uint64_t[::1] keys    # by number
    cdef int32_t[::1] slots    # numbers, open addressing
    cdef uint64_t mask

    def __init__(self, most=1_000_000):
        self.most = most
        self.size = 0
        self.keys_ = np.empty(1024, np.uint64)
        self.keys = self.keys_
        self.rehash(2048)

    def of(self, const uint64_t[::1] keys):
        """Return the numbers of these keys as int32; a new key gets the next number."""
        cdef Py_ssize_t i, size = keys.shape[0]
        cdef uint64_t slot
        cdef int32_t number
        result = np.empty(size, np.int32)
        cdef int32_t[::1] numbers = result
        for i in range(size):
            if i + 2 * AHEAD < size:
                prefetch(&self.slots[scatter(keys[i + 2 * AHEAD]) & self.mask])
            if i + AHEAD < size:
                number = self.slots[scatter(keys[i + AHEAD]) & self.mask]
                if number != NONE:
                    prefetch(&self.keys[number])
            slot = scatter(keys[i]) & self.mask
            while True:
                number = self.slots[slot]
                if number == NONE:
                    number = self.add(keys[i], slot)
                    break
                if self.keys[number] == keys[i]:
                    break
                slot = (slot + 1) & self.mask
            numbers[i] = number
        return result

    cdef int32_t add(self, uint64_t key, uint64_t slot) except -2:
        cdef int32_t number = self.size
        if number == self.most:
            return number
        if number == self.keys.shape[0]:
            self.keys_ = np.resize(self.keys_, 2 * number)
            self.keys = self.keys_
        self.keys[number] = key
        self.slots[slot] = number
        self.size += 1
        if 2 * self.size > <Py_ssize_t>self.mask:
            self.rehash(2 * (self.mask + 1))
        return number

    cdef int rehash(self, size) except -1:
        cdef Py_ssize_t i
        cdef uint64_t slot
        self.slots_ = np.full(size, NONE, np.int32)
        self.slots = self.slots_
        self.mask = size - 1
        for i in range(self.size):
            slot = scatter(self.keys[i]) & self.mask
            while self.slots[slot] != NONE:
                slot = (slot + 1) & self.mask
            self.slots[slot] = i
        return 0

    def known(self):
        """Return the keys that have a number, in the order of their numbers: uint64."""
        return self.keys_[: self.size].copy()


cdef class SlidingCounts:
    """For each key how many requests were admitted within the last period, and the most there ever were.

    All that were admitted within the last period stand in a ring, oldest first, so each goes when its time has come.

    Args:
        period: nanoseconds; the interval is (t - period, t].
        keys: how many keys are looked at; those with higher numbers are not.
        most: how many requests are kept at once for all keys together, 12 bytes each. When a replay needs more,
            what comes then is left out, and `left_out` counts it.

    Attributes:
        largest, number, at: the largest count, the number of the key that had it, and its last moment.
    """

    cdef readonly int64_t period, largest, at, left_out
    cdef readonly int32_t number
    cdef Py_ssize_t keys, most
    cdef object counts_, moments_, numbers_
    cdef int32_t[::1] counts    # by number
    cdef int64_t[::1] moments   # the ring
    cdef int32_t[::1] numbers   # beside it, whose they are
    cdef Py_ssize_t first, held
    cdef int64_t latest

    def __init__(self, period, keys, most=2_000_000):
        self.period = period
        self.keys = keys
        self.most = most
        self.largest = self.at = self.left_out = self.first = self.held = self.latest = 0
        self.number = NONE
        self.counts_ = np.zeros(1024, np.int32)
        self.counts = self.counts_
        self.moments_ = np.empty(min(most, 1024), np.int64)
        self.moments = self.moments_
        self.numbers_ = np.empty(min(most, 1024), np.int32)
        self.numbers = self.numbers_

    def admit(self, const int32_t[::1] numbers, const int64_t[::1] moments, const uint8_t[::1] allowed):
        """Take note of the admitted among these requests, none of them before those that came before."""
        cdef Py_ssize_t i, place, size = numbers.shape[0]
        cdef int32_t number
        if size:
            self.follow(min(<Py_ssize_t>np.max(numbers), self.keys - 1))
        for i in range(size):
            if i + AHEAD < size and numbers[i + AHEAD] < self.keys:
                prefetch(&self.counts[numbers[i + AHEAD]])
            number = numbers[i]
            if not allowed[i] or number >= self.keys:
                continue
            self.latest = max(self.latest, moments[i])
            self.forget()
            if self.held == self.moments.shape[0] and not self.grow():
                self.left_out += 1
                continue
            place = self.place(self.held)
            self.moments[place] = self.latest
            self.numbers[place] = number
            self.held += 1
            self.counts[number] += 1
            if self.counts[number] > self.largest:
                self.largest, self.number, self.at = self.counts[number], number, self.latest

    cdef inline Py_ssize_t place(self, Py_ssize_t after) noexcept:
        """Return the place in the ring of the request that is `after` places behind the oldest."""
        cdef Py_ssize_t place = self.first + after
        return place if place < self.moments.shape[0] else place - self.moments.shape[0]

    cdef inline void forget(self) noexcept:
        """Drop the requests that are a period old."""
        while self.held and self.moments[self.first] <= self.latest - self.period:
            if self.held > AHEAD:
                prefetch(&self.counts[self.numbers[self.place(AHEAD)]])
            self.counts[self.numbers[self.first]] -= 1
            self.first = self.place(1)
            self.held -= 1

    cdef bint grow(self) except -1:
        """Double the room up to the maximum; return False if it cannot grow."""
        cdef Py_ssize_t size = min(self.most, 2 * self.held)
        if size == self.held:
            return False
        rest = np.empty(size - self.held, np.int64)
        self.moments_ = np.concatenate([self.moments_[self.first:], self.moments_[:self.first], rest])
        self.moments = self.moments_
        self.numbers_ = np.concatenate([self.numbers_[self.first:], self.numbers_[:self.first], rest.astype(np.int32)])
        self.numbers = self.numbers_
        self.first = 0
        return True

    cdef int follow(self, Py_ssize_t number) except -1:
        """Have a count for each key up to this number."""
        cdef Py_ssize_t size = self.counts.shape[0]
        if number >= size:
            more = min(max(2 * size, number + 1), max(self.keys, size)) - size
            self.counts_ = np.concatenate([self.counts_, np.zeros(more, np.int32)])
            self.counts = self.counts_
        return 0
