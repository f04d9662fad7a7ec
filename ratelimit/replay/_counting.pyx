"""State for each key: a small number as its id, and the requests that it was admitted lately.

Both are bounded. Not thread-safe: a replay belongs to one thread.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

cimport cython

from .._engine.arrays cimport SIGNED, UNSIGNED, data_of, integers_of
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


@cython.final
cdef class KeyIds:
    """Ids for keys: ids from 0, in the order of their first appearance.

    Args:
        maximum: how many keys get an id of their own. All others share the id `maximum`.

    Attributes:
        size: how many keys have an id of their own.
    """

    cdef readonly Py_ssize_t maximum, size
    cdef object keys_, slots_
    cdef uint64_t* keys    # by id
    cdef Py_ssize_t room  # for keys
    cdef int32_t* slots    # ids, open addressing
    cdef uint64_t mask

    def __init__(self, maximum=1_000_000):
        self.maximum = maximum
        self.size = 0
        self.keep_keys(np.empty(1024, np.uint64))
        self.rehash(2048)

    cdef int keep_keys(self, keys) except -1:
        self.keys_, self.room = keys, len(keys)
        self.keys = <uint64_t*>data_of(keys)
        return 0

    def of(self, keys):
        """Return the ids of these keys as int32; a new key gets the next one."""
        cdef Py_ssize_t i, size = len(keys)
        cdef const uint64_t* key = <const uint64_t*>integers_of(keys, "keys", UNSIGNED, sizeof(uint64_t), size)
        cdef uint64_t slot
        cdef int32_t id
        result = np.empty(size, np.int32)
        cdef int32_t* ids = <int32_t*>data_of(result)
        for i in range(size):
            if i + 2 * AHEAD < size:
                prefetch(&self.slots[scatter(key[i + 2 * AHEAD]) & self.mask])
            if i + AHEAD < size:
                id = self.slots[scatter(key[i + AHEAD]) & self.mask]
                if id != NONE:
                    prefetch(&self.keys[id])
            slot = scatter(key[i]) & self.mask
            while True:
                id = self.slots[slot]
                if id == NONE:
                    id = self.add(key[i], slot)
                    break
                if self.keys[id] == key[i]:
                    break
                slot = (slot + 1) & self.mask
            ids[i] = id
        return result

    cdef int32_t add(self, uint64_t key, uint64_t slot) except -2:
        cdef int32_t id = self.size
        if id == self.maximum:
            return id
        if id == self.room:
            self.keep_keys(np.resize(self.keys_, 2 * id))
        self.keys[id] = key
        self.slots[slot] = id
        self.size += 1
        if 2 * self.size > <Py_ssize_t>self.mask:
            self.rehash(2 * (self.mask + 1))
        return id

    cdef int rehash(self, size) except -1:
        cdef Py_ssize_t i
        cdef uint64_t slot
        self.slots_ = np.full(size, NONE, np.int32)
        self.slots = <int32_t*>data_of(self.slots_)
        self.mask = size - 1
        for i in range(self.size):
            slot = scatter(self.keys[i]) & self.mask
            while self.slots[slot] != NONE:
                slot = (slot + 1) & self.mask
            self.slots[slot] = i
        return 0

    def known(self):
        """Return the keys that have an id, by id: uint64."""
        return self.keys_[: self.size].copy()


@cython.final
cdef class SlidingCounts:
    """For each key how many requests were admitted within the last period, and the largest such number.

    The requests of the last period are in a ring, oldest first, so each is forgotten when its time has come.

    Args:
        period: nanoseconds; the interval is (t - period, t].
        keys: how many keys are counted; those with higher ids are not.
        max_times: how many requests are kept at once for all keys together, 12 bytes each. When there are more, the
            newest are left out, and `left_out` counts them.
        each: whether the largest number is kept for each key, in `peaks`.

    Attributes:
        largest, id, at: the largest number, the id of the key that had it, and its last time.
        peaks: the largest number of each key, by id: int32.
    """

    cdef readonly int64_t period, largest, at, left_out
    cdef readonly int32_t id
    cdef bint each
    cdef Py_ssize_t keys, max_times
    cdef object counts_, times_, ids_
    cdef int32_t* counts    # by id
    cdef object peaks_
    cdef int32_t* peaks_of   # by id
    cdef Py_ssize_t counted  # how many ids have a count
    cdef int64_t* times   # the ring
    cdef int32_t* ids   # beside it, whose they are
    cdef Py_ssize_t room, first, held
    cdef int64_t latest

    def __init__(self, period, keys, max_times=2_000_000, each=False):
        self.period = period
        self.keys = keys
        self.max_times = max_times
        self.each = each
        self.largest = self.at = self.left_out = self.first = self.held = self.latest = 0
        self.id = NONE
        self.keep_counts(np.zeros(1024, np.int32), np.zeros(1024, np.int32))
        self.keep_times(np.empty(min(max_times, 1024), np.int64), np.empty(min(max_times, 1024), np.int32))

    cdef int keep_counts(self, counts, peaks) except -1:
        self.counts_, self.peaks_, self.counted = counts, peaks, len(counts)
        self.counts, self.peaks_of = <int32_t*>data_of(counts), <int32_t*>data_of(peaks)
        return 0

    cdef int keep_times(self, times, ids) except -1:
        self.times_, self.ids_, self.room = times, ids, len(times)
        self.times, self.ids = <int64_t*>data_of(times), <int32_t*>data_of(ids)
        return 0

    def admit(self, ids, times, allowed):
        """Count the admitted ones among these requests, which are not earlier than those counted before."""
        cdef Py_ssize_t i, place, size = len(ids)
        cdef const int32_t* whose = <const int32_t*>integers_of(ids, "ids", SIGNED, sizeof(int32_t), size)
        cdef const int64_t* when = <const int64_t*>integers_of(times, "times", SIGNED, sizeof(int64_t), size)
        cdef const uint8_t* admitted = <const uint8_t*>integers_of(allowed, "allowed", UNSIGNED, 1, size)
        cdef int32_t id
        if size:
            self.follow(min(<Py_ssize_t>np.max(ids), self.keys - 1))
        for i in range(size):
            if i + AHEAD < size and whose[i + AHEAD] < self.keys:
                prefetch(&self.counts[whose[i + AHEAD]])
            id = whose[i]
            if not admitted[i] or id >= self.keys:
                continue
            self.latest = max(self.latest, when[i])
            self.forget()
            if self.held == self.room and not self.grow():
                self.left_out += 1
                continue
            place = self.place(self.held)
            self.times[place] = self.latest
            self.ids[place] = id
            self.held += 1
            self.counts[id] += 1
            if self.each and self.counts[id] > self.peaks_of[id]:
                self.peaks_of[id] = self.counts[id]
            if self.counts[id] > self.largest:
                self.largest, self.id, self.at = self.counts[id], id, self.latest

    cdef inline Py_ssize_t place(self, Py_ssize_t after) noexcept:
        """Return the place in the ring of the request that is `after` places behind the oldest."""
        cdef Py_ssize_t place = self.first + after
        return place if place < self.room else place - self.room

    cdef inline void forget(self) noexcept:
        """Forget the requests that are a period old."""
        while self.held and self.times[self.first] <= self.latest - self.period:
            if self.held > AHEAD:
                prefetch(&self.counts[self.ids[self.place(AHEAD)]])
            self.counts[self.ids[self.first]] -= 1
            self.first = self.place(1)
            self.held -= 1

    cdef bint grow(self) except -1:
        """Double the room, as far as allowed; False when it cannot grow."""
        cdef Py_ssize_t size = min(self.max_times, 2 * self.held)
        if size == self.held:
            return False
        rest = np.empty(size - self.held, np.int64)
        self.keep_times(
            np.concatenate([self.times_[self.first:], self.times_[:self.first], rest]),
            np.concatenate([self.ids_[self.first:], self.ids_[:self.first], rest.astype(np.int32)]),
        )
        self.first = 0
        return True

    cdef int follow(self, Py_ssize_t id) except -1:
        """Make room for a count of each key up to this id."""
        cdef Py_ssize_t size = self.counted
        if id >= size:
            more = min(max(2 * size, id + 1), max(self.keys, size)) - size
            zeros = np.zeros(more, np.int32)
            peaks = np.concatenate([self.peaks_, zeros]) if self.each else self.peaks_
            self.keep_counts(np.concatenate([self.counts_, zeros]), peaks)
        return 0

    @property
    def peaks(self):
        return self.peaks_.copy()
