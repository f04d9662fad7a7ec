"""A quota's sizes, as Python has them, become the rule in C."""

cimport cython
from libc.stdint cimport uint64_t

from .._engine.atomics cimport u128
from .._engine.rule cimport Rule


@cython.final
cdef class Terms:
    """A quota as the rule that decisions are made by."""

    def __cinit__(self, sizes, uint64_t revision=0):
        self.sizes = sizes
        fill(&self.rule, sizes)
        self.rule.revision = revision


cdef int fill(Rule* rule, object sizes) except -1:
    rule.algorithm = sizes.algorithm
    rule.limit = sizes.limit
    rule.period = sizes.period
    rule.unit = sizes.unit
    rule.interval = wide(sizes.interval)
    rule.tolerance = wide(sizes.tolerance)
    rule.count_bits = sizes.count_bits
    rule.capacity = sizes.capacity
    return 0


cdef u128 wide(object number) except? 0:
    return <u128><uint64_t>(number >> 64) << 64 | <uint64_t>(number & (2**64 - 1))
