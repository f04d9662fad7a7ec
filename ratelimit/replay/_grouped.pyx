"""Requests decided one client after the other: then a client's state is in a register, and no table is needed.

The algorithms are those of the engine. Only the sliding log has a ring of its own here, because the engine's ring
belongs to a table.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

import numpy as np

cimport cython

from .._engine.algorithm cimport admit
from .._engine.arrays cimport SIGNED, UNSIGNED, data_of, integers_of
from .._engine.atomics cimport u128
from .._engine.constants cimport SLIDING_LOG
from .._limiter.compiled_rule cimport CompiledRule


@cython.final
cdef class Refusals:
    """Count the requests that a rule refuses, by client.

    Args:
        parameters: of the rule, see _limiter/parameters.py.
        size: clients with ids from here on are counted together, as the last one.

    Attributes:
        counts: by id: int64.
        touched: clients, without the last one, that are refused anything.
    """

    cdef CompiledRule rule
    cdef readonly object counts
    cdef readonly Py_ssize_t touched
    cdef int64_t* counted
    cdef Py_ssize_t size
    cdef uint64_t client
    cdef bint begun
    cdef u128 state
    cdef object ring_
    cdef int64_t* ring  # of a sliding log: the times of the latest admitted requests
    cdef uint64_t admitted

    def __init__(self, parameters, size):
        self.rule, self.size = CompiledRule(parameters), size
        self.counts = np.zeros(size + 1, np.int64)
        self.counted = <int64_t*>data_of(self.counts)
        self.client = self.touched = 0
        self.begun = False
        self.ring_ = np.zeros(self.rule.rule.limit if self.rule.rule.algorithm == SLIDING_LOG else 0, np.int64)
        self.ring = <int64_t*>data_of(self.ring_)

    def add(self, keys, ids, times):
        """Decide requests. All those of one key follow one another, also over several calls, in order of time."""
        cdef Py_ssize_t i, size = len(keys)
        cdef const uint64_t* key = <const uint64_t*>integers_of(keys, "keys", UNSIGNED, sizeof(uint64_t), size)
        cdef const int32_t* client = <const int32_t*>integers_of(ids, "ids", SIGNED, sizeof(int32_t), size)
        cdef const int64_t* moment = <const int64_t*>integers_of(times, "times", SIGNED, sizeof(int64_t), size)
        cdef int32_t id
        with nogil:
            for i in range(size):
                if key[i] != self.client or not self.begun:
                    self.client, self.begun, self.state, self.admitted = key[i], True, 0, 0
                if not self.decide(moment[i]):
                    id = client[i] if client[i] < self.size else <int32_t>self.size
                    self.counted[id] += 1
                    self.touched += self.counted[id] == 1 and id < self.size

    cdef inline bint decide(self, int64_t now) noexcept nogil:
        cdef u128 after
        cdef uint64_t place
        if self.rule.rule.algorithm != SLIDING_LOG:
            if not admit(&self.rule.rule, <uint64_t>now, 1, self.state, NULL, &after):
                return False
            self.state = after
            return True
        place = self.admitted % self.rule.rule.limit
        if self.admitted >= self.rule.rule.limit and self.ring[place] > now - <int64_t>self.rule.rule.period:
            return False
        self.ring[place] = now
        self.admitted += 1
        return True
