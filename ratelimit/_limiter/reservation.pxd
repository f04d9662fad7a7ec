from libc.stdint cimport uint64_t

from .._engine.request cimport Verb


cdef class Reservation:
    cdef list places  # tuples of limiter, hash of the key, and moment of the turn
    cdef readonly bint allowed
    cdef readonly uint64_t cost
    cdef uint64_t booked_at, delay_
    cdef uint64_t closed  # set by the first cancel or settle

    cdef int correct(self, Verb verb, uint64_t cost) except -1


cdef Reservation reservation_of(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay)
