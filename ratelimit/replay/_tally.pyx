"""What is kept key by key: dense numbers for keys, and how many were admitted in a sliding interval.

Both are bounded. Not thread-safe: a replay belongs to one thread.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

cimport cython

from .._atomics cimport prefetch

cdef enum:
    NONE = -1
    AHEAD = 8  # requests between asking for a cache line and using it


cdef packed struct Queue:  # of one key's moments, in the pool
    int32_t first
    int32_t last
    int32_t count
    int32_t unused  # four to a cache line


cdef packed struct Cell:
    int64_t moment
    int64_t following


QUEUE = np.dtype([("first", "i4"), ("last", "i4"), ("count", "i4"), ("unused", "i4")])
CELL = np.dtype([("moment", "i8"), ("following", "i8")])


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
        keys: how many keys are looked at; those with higher numbers are not.
        most: how many moments are kept at once for all keys together, 16 bytes each. When a replay needs more,
            what comes then is left out, and `left_out` counts it.

    Attributes:
        largest, number, at: the largest count, the number of the key that had it, and its last moment.
    """

    cdef readonly int64_t period, largest, at, left_out
    cdef readonly int32_t number
    cdef Py_ssize_t keys, most
    cdef object queues_, pool_
    cdef Queue[::1] queues  # by number
    cdef Cell[::1] pool
    cdef int32_t free       # the first of the cells that nobody uses
    cdef int64_t next_sweep

    def __init__(self, period, keys, most=2_000_000):
        self.period = period
        self.keys = keys
        self.most = most
        self.largest = self.at = self.left_out = self.next_sweep = 0
        self.number = self.free = NONE
        self.queues_ = np.zeros(1024, QUEUE)
        self.queues = self.queues_
        self.pool_ = np.empty(0, CELL)
        self.grow(min(most, 1024))

    def admit(self, const int32_t[::1] numbers, const int64_t[::1] moments, const uint8_t[::1] allowed):
        """Take note of the admitted among these requests."""
        cdef Py_ssize_t i, size = numbers.shape[0]
        cdef int64_t moment
        cdef Queue* queue
        if size:
            self.follow(min(<Py_ssize_t>np.max(numbers), self.keys - 1))
        for i in range(size):
            if i + 2 * AHEAD < size and numbers[i + 2 * AHEAD] < self.keys:
                prefetch(&self.queues[numbers[i + 2 * AHEAD]])
            if i + AHEAD < size and numbers[i + AHEAD] < self.keys:
                queue = &self.queues[numbers[i + AHEAD]]
                if queue.count:
                    prefetch(&self.pool[queue.first])
                    prefetch(&self.pool[queue.last])
            if not allowed[i] or numbers[i] >= self.keys:
                continue
            moment = moments[i]
            queue = &self.queues[numbers[i]]
            if queue.count:
                moment = max(moment, self.pool[queue.last].moment)  # a late one counts as the one before it
                self.forget(queue, moment)
            if self.free == NONE and not self.make_room(moment):
                self.left_out += 1
                continue
            self.append(queue, moment)
            if queue.count > self.largest:
                self.largest, self.number, self.at = queue.count, numbers[i], moment

    cdef void append(self, Queue* queue, int64_t moment) noexcept:
        cdef int32_t cell = self.free
        self.free = self.pool[cell].following
        self.pool[cell].moment = moment
        if queue.count:
            self.pool[queue.last].following = cell
        else:
            queue.first = cell
        queue.last = cell
        queue.count += 1

    cdef void forget(self, Queue* queue, int64_t now) noexcept:
        """Drop what is a period old."""
        cdef int32_t cell
        while queue.count and self.pool[queue.first].moment <= now - self.period:
            cell = queue.first
            queue.first = self.pool[cell].following
            self.pool[cell].following = self.free
            self.free = cell
            queue.count -= 1

    cdef bint make_room(self, int64_t now) except -1:
        """Drop what is a period old of all keys; if that frees little, grow, as far as allowed."""
        cdef Py_ssize_t size = self.pool.shape[0], kept = 0, number
        if now >= self.next_sweep or size < self.most:
            self.next_sweep = now + self.period // 16
            for number in range(self.queues.shape[0]):
                self.forget(&self.queues[number], now)
                kept += self.queues[number].count
            if 2 * kept > size and size < self.most:
                self.grow(min(self.most, 2 * size))
        return self.free != NONE

    cdef int grow(self, size) except -1:
        cdef int32_t cell
        cdef Py_ssize_t before = self.pool_.shape[0]
        self.pool_ = np.concatenate([self.pool_, np.empty(size - before, CELL)])
        self.pool = self.pool_
        for cell in range(before, self.pool.shape[0]):
            self.pool[cell].following = self.free
            self.free = cell
        return 0

    cdef int follow(self, Py_ssize_t number) except -1:
        """Have a queue for each key up to this number."""
        cdef Py_ssize_t size = self.queues.shape[0]
        if number >= size:
            more = min(max(2 * size, number + 1), max(self.keys, size)) - size
            self.queues_ = np.concatenate([self.queues_, np.zeros(more, QUEUE)])
            self.queues = self.queues_
        return 0
