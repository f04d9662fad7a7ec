from libc.stdint cimport uint64_t

from .._engine.table cimport Verb


cdef class Reservation:
    cdef list places  # of (limiter, hash of the key, moment of the turn)
    cdef readonly bint allowed
    cdef readonly uint64_t cost
    cdef uint64_t began, delay_
    cdef uint64_t closed  # by the first of cancel and settle

    cdef int correct(self, Verb verb, uint64_t cost) except -1


cdef Reservation booking(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay)
