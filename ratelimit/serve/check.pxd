"""The named limits."""

from .._limiter.decision cimport Decision
from .head cimport Head


cdef class Check:
    cdef readonly str name
    cdef readonly object limiter
    cdef object key, address, cost
    cdef str absent, refused, failed
    cdef object counting
    cdef bint asks
    cdef double logged

    cdef object answer(self, Head head, object style, int status)
    cdef str result_of(self, Decision decision)
    cdef tuple told(self, Head head, object style, int status, str result, Decision decision=*)
    cdef int report(self) except -1


cdef class Checks:
    cdef dict routes
    cdef object style

    cdef object answer(self, Head head)
