from libc.stdint cimport uint8_t, uint64_t

from .._engine.arrays cimport Row
from .._engine.rule cimport Rule
from .._engine.verdict cimport Verdict
from .attachment cimport Attachment


cdef class Batch:
    cdef Attachment limiter
    cdef tuple arrays  # they own the memory of the next three
    cdef const uint64_t* hashes
    cdef Row costs, moments
    cdef Py_ssize_t size
    cdef bint now_given

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1
    cdef Py_ssize_t hit_each(self, const Rule* rule, uint8_t* allowed, Verdict* verdicts) noexcept nogil
    cdef Py_ssize_t allow_each(self, const Rule* shared, uint8_t* allowed) noexcept nogil
