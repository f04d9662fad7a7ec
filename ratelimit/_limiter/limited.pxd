cdef class Limited:
    pass
