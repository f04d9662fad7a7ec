from libc.stdint cimport uint8_t

from ._core cimport Limiter
from ._verdict cimport Verdict


cdef class Batch:
    cdef Limiter limiter
    cdef object hashes, costs, moments
    cdef Py_ssize_t size
    cdef bint now_given

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1
