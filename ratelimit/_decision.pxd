from ._verdict cimport Verdict


cdef class Decision:
    cdef Verdict verdict
    cdef readonly object limiter
