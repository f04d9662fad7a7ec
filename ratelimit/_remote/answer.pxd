from libc.stdint cimport uint64_t

from .._engine.request cimport Outcome
from .._engine.verdict cimport Verdict
from .request cimport Asked


cdef class Answer:
    cdef readonly Asked asked
    cdef Outcome out
    cdef double now_us
    cdef double[12] numbers

    cdef uint64_t ready_ns(self) except? 0
    cdef int read(self) except -1
    cdef int fill_for_log(self, Verdict* verdict, uint64_t* more) except -1
