"""The head of an HTTP/1 request."""

from libc.stdint cimport uint8_t


cdef enum:
    LONGEST_NAME = 64  # of a header field that may be wanted


cdef class Head:
    cdef readonly bytes method, target
    cdef public bytes query
    cdef public str peer
    cdef readonly dict fields
    cdef readonly Py_ssize_t end, length
    cdef readonly bint keep, expects, http_1_1


cdef class HeadReader:
    cdef frozenset wanted
    cdef bint[LONGEST_NAME + 1] lengths  # whether a wanted name has this length
    cdef Py_ssize_t max_head

    cdef Head next(self, bytes data, Py_ssize_t begin)
    cdef Head incomplete(self, bytes data, Py_ssize_t begin)
    cdef Py_ssize_t field(
        self, Head head, bytes data, const uint8_t* text, Py_ssize_t at, Py_ssize_t size, bint* host
    ) except -2
