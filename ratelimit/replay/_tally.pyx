"""What is kept key by key: dense numbers for keys, and how many were admitted in a sliding interval.

Both are bounded. Not thread-safe: a replay belongs to one thread.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

cimport cython

cdef enum:
    NONE = -1


@cython.overflowcheck(False)
cdef inline uint64_t scatter(uint64_t key) noexcept nogil:
    """Murmur3's finalizer (Appleby, 2011): each bit of the key reaches each bit of the result."""
    key ^= key >> 33
    key *= <uint64_t>0xff51afd7ed558ccd
    key ^= key >> 33
    key *= <uint64_t>0xc4ceb9fe1a85ec53
    return key ^ key >> 33


cdef class Numbers:
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
        """The numbers of these keys, int32 as many; new keys are given the next."""
        cdef Py_ssize_t i, size = keys.shape[0]
        cdef uint64_t slot
        cdef int32_t number
        result = np.empty(size, np.int32)
        cdef int32_t[::1] numbers = result
        for i in range(size):
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
        """The keys that have a number, by number: uint64."""
        return self.keys_[: self.size].copy()


cdef class Views:
    """For each key the moments that were admitted within the last period, and the most there ever were.

    Args:
        period: nanoseconds; the interval is (t - period, t].
        most: how many moments are kept at once for all keys together, 12 bytes each. When a replay needs more,
            what comes then is left out, and `left_out` counts it.

    Attributes:
        largest, number, at: the largest count, the number of the key that had it, and its last moment.
    """

    cdef readonly int64_t period, largest, at, left_out
    cdef readonly int32_t number
    cdef Py_ssize_t most
    cdef object first_, last_, count_, moments_, following_
    cdef int32_t[::1] first, last, count   # by number: a queue in the pool
    cdef int64_t[::1] moments              # the pool
    cdef int32_t[::1] following
    cdef int32_t free                      # the first of the cells that nobody uses
    cdef int64_t next_sweep

    def __init__(self, period, most=4_000_000):
        self.period = period
        self.most = most
        self.largest = self.at = self.left_out = self.next_sweep = 0
        self.number = self.free = NONE
        self.first_, self.last_, self.count_ = (np.empty(0, np.int32) for _ in range(3))
        self.moments_, self.following_ = np.empty(0, np.int64), np.empty(0, np.int32)
        self.follow_keys(1024)
        self.grow(min(most, 1024))

    def admit(self, const int32_t[::1] numbers, const int64_t[::1] moments, const uint8_t[::1] allowed):
        """Take note of the admitted among these requests."""
        cdef Py_ssize_t i
        cdef int32_t number
        cdef int64_t moment
        for i in range(numbers.shape[0]):
            if not allowed[i]:
                continue
            number = numbers[i]
            moment = moments[i]
            if number >= self.first.shape[0]:
                self.follow_keys(2 * number)
            if self.count[number]:
                moment = max(moment, self.moments[self.last[number]])  # a late one counts as the one before it
                self.forget(number, moment)
            if self.free == NONE and not self.make_room(moment):
                self.left_out += 1
                continue
            self.append(number, moment)
            if self.count[number] > self.largest:
                self.largest, self.number, self.at = self.count[number], number, moment

    cdef void append(self, int32_t number, int64_t moment) noexcept:
        cdef int32_t cell = self.free
        self.free = self.following[cell]
        self.moments[cell] = moment
        if self.count[number]:
            self.following[self.last[number]] = cell
        else:
            self.first[number] = cell
        self.last[number] = cell
        self.count[number] += 1

    cdef void forget(self, int32_t number, int64_t now) noexcept:
        """Drop what is a period old."""
        cdef int32_t cell
        while self.count[number] and self.moments[self.first[number]] <= now - self.period:
            cell = self.first[number]
            self.first[number] = self.following[cell]
            self.following[cell] = self.free
            self.free = cell
            self.count[number] -= 1

    cdef bint make_room(self, int64_t now) except -1:
        """Drop what is a period old of all keys; if that frees little, grow, as far as allowed."""
        cdef Py_ssize_t size = self.moments.shape[0]
        cdef Py_ssize_t kept = 0
        cdef int32_t number
        if now >= self.next_sweep or size < self.most:
            self.next_sweep = now + self.period // 16
            for number in range(self.first.shape[0]):
                self.forget(number, now)
                kept += self.count[number]
            if 2 * kept > size and size < self.most:
                self.grow(min(self.most, 2 * size))
        return self.free != NONE

    cdef int grow(self, size) except -1:
        cdef int32_t cell
        cdef Py_ssize_t before = self.moments.shape[0]
        self.moments_ = np.resize(self.moments_, size)
        self.following_ = np.resize(self.following_, size)
        self.moments, self.following = self.moments_, self.following_
        for cell in range(before, self.moments.shape[0]):
            self.following[cell] = self.free
            self.free = cell
        return 0

    cdef int follow_keys(self, size) except -1:
        before = len(self.count_)
        self.first_, self.last_, self.count_ = (
            np.concatenate([array, np.zeros(size - before, np.int32)])
            for array in (self.first_, self.last_, self.count_)
        )
        self.first, self.last, self.count = self.first_, self.last_, self.count_
        return 0
