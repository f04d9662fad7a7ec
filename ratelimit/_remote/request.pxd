from libc.stdint cimport uint64_t

from .._core cimport Limiter
from .._engine.request cimport Request
from .._limiter.compiled_rule cimport CompiledRule

cdef uint64_t MOST  # the largest amount that an engine counts exactly, see 1_arithmetic.lua


cdef class Asked:
    cdef readonly Limiter limiter
    cdef readonly object key          # as the caller gave it
    cdef readonly bytes name          # the key in the engine
    cdef readonly object quota
    cdef CompiledRule compiled
    cdef Request request
    cdef readonly bint looks          # a hit that is not carried out
    cdef bint brief                   # only the status matters
    cdef uint64_t revision            # of the limiter's quota
    cdef object booked                # of a CANCEL: (at, found, left), as in an Answer
    cdef uint64_t reach               # of a calendar: the last window that the engine named
    cdef uint64_t around              # and its moment, in nanoseconds
    cdef object restated              # (revision, state, new state), when the engine had an older state
    cdef public uint64_t more         # what a hit takes in advance at most, see 6_leases.lua
    cdef object granted               # of what gives that back: (moment, microseconds since), otherwise None

    cdef object packed(self)
    cdef object numbers(self)
    cdef tuple starts(self)


cdef list changes_since(Limiter limiter, uint64_t number)
cdef CompiledRule rule_in_engine(Limiter limiter, CompiledRule compiled)
cdef CompiledRule rule_of(Limiter limiter, uint64_t revision)
