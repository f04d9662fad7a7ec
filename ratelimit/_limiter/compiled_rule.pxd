from .._engine.rule cimport Rule


cdef class Terms:
    cdef Rule rule
    cdef readonly object sizes
