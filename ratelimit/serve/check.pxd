"""The named limits."""

from .head cimport Head


cdef class Check:
    cdef readonly str name
    cdef readonly object limiter
    cdef object key, address, cost
    cdef str absent, refused, failed
    cdef object counting
    cdef double logged

    cdef tuple answer(self, Head head, object style, int status)
    cdef int report(self) except -1


cdef class Checks:
    cdef dict routes
    cdef object style

    cdef tuple answer(self, Head head)
