from libc.stdint cimport uint64_t

from .._engine.atomics cimport u128
from .._engine.request cimport Outcome
from .attachment cimport Attachment


cdef class Place:
    cdef Attachment limiter
    cdef int index           # of its cost in the reservation's
    cdef uint64_t hashed     # the key
    cdef uint64_t revision   # of the quota that the place was booked under
    cdef uint64_t at         # the moment of the turn
    cdef u128 found, booked  # the key's state before and after the booking
    cdef bint rounded        # by a change of the limit, so that another state may look like the one that was booked

    cdef bint follow_changes(self, uint64_t* cost) except -1


cdef class Reservation:
    cdef list places
    cdef readonly bint allowed, blocked
    cdef readonly tuple costs
    cdef uint64_t booked_at, delay_
    cdef uint64_t closed  # set by the first cancel or settle

    cdef int correct(self, tuple actual, bint last_only=*) except -1


cdef Place place_of(Attachment limiter, int index, uint64_t hashed, const Outcome* out)
cdef Reservation reservation_of(
    list places, bint allowed, tuple costs, uint64_t now, uint64_t delay, bint blocked=*
)
