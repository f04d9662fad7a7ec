from .._engine.rule cimport Rule


cdef class CompiledRule:
    cdef Rule rule
    cdef readonly object parameters
    cdef object starts  # the array that the rule points to
