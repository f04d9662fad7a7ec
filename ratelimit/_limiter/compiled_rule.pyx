"""The parameters of a rule, compiled to C integers."""

cimport cython
from libc.stdint cimport uint64_t

from .._engine.arrays cimport data_of
from .._engine.atomics cimport u128
from .._engine.rule cimport Rule


@cython.final
cdef class CompiledRule:
    """A `Rule`, and the RuleParameters that it was compiled from. Immutable.

    Args:
        born: see `Rule`.
    """

    def __cinit__(self, parameters, uint64_t revision=0, uint64_t born=0):
        self.parameters = parameters
        fill(&self.rule, parameters)
        if parameters.calendar:
            from .._calendar import starts_of  # few limits follow a calendar
            self.starts = starts_of(parameters.calendar)
            self.rule.starts = <const uint64_t*>data_of(self.starts)
            self.rule.windows = len(self.starts) - 1
        self.rule.revision = revision
        self.rule.born = born


cdef int fill(Rule* rule, object parameters) except -1:
    rule.algorithm = parameters.algorithm
    rule.limit = parameters.limit
    rule.unlimited = parameters.unlimited
    rule.period = parameters.period
    rule.unit = parameters.unit
    rule.interval = wide(parameters.interval)
    rule.tolerance = wide(parameters.tolerance)
    rule.count_bits = parameters.count_bits
    rule.capacity = parameters.capacity
    return 0


cdef u128 wide(object number) except? 0:
    """Return a Python int of up to 128 bits."""
    return <u128><uint64_t>(number >> 64) << 64 | <uint64_t>(number & (2**64 - 1))
