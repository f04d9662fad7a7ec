from ._rule cimport Rule


cdef class Terms:
    cdef Rule rule
    cdef readonly object sizes
