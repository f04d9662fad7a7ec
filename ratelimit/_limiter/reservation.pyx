"""A booked turn, which can be given back."""

cimport cython
from libc.stdint cimport uint64_t

from .._engine.atomics cimport first_to_set
from .._engine.constants cimport LEAKY_BUCKET, NEVER
from .._engine.request cimport CANCEL, CHARGE, Outcome, Request, Verb
from .._engine.table cimport perform
from .._engine.verdict cimport seconds
from .arguments cimport checked_cost
from .attachment cimport Attachment


@cython.final
cdef class Reservation:
    """A turn that was booked; true if the booking succeeded.

    Attributes:
        allowed: whether the turn is booked.
        delay: seconds from the reservation until its turn. If it is not booked, the delay that it would have had, inf
            if no wait is long enough. Exact as `delay_ns`, an int or None.
        at_ns: the moment of the turn in nanoseconds since the epoch, or None.
        cost: the cost that was booked.

    Thread-safety: `cancel` and `settle` may be called from any thread. Only the first call has an effect.
    """

    @property
    def delay(self) -> float:
        """The seconds from the reservation until its turn; inf if no wait is long enough."""
        return seconds(self.delay_)

    @property
    def delay_ns(self) -> int | None:
        """`delay` in nanoseconds; None if no wait is long enough."""
        return self.delay_ if self.delay_ < NEVER else None

    @property
    def at_ns(self) -> int | None:
        """The moment of the turn in nanoseconds since the epoch; None if no wait is long enough."""
        return self.booked_at + self.delay_ if self.delay_ < NEVER else None

    def cancel(self):
        """Give the turn back, except for what later bookings depend on."""
        if first_to_set(&self.closed):
            self.correct(CANCEL, self.cost)

    def settle(self, actual_cost):
        """Correct the cost to the actual one: give back the difference, or spend it.

        Args:
            actual_cost: a whole number from 0.
        """
        cdef uint64_t actual = checked_cost(actual_cost, "actual_cost", 0)
        if not first_to_set(&self.closed):
            return
        if actual < self.cost:
            self.correct(CANCEL, self.cost - actual)
        elif actual > self.cost:
            self.correct(CHARGE, actual - self.cost)

    cdef int correct(self, Verb verb, uint64_t cost) except -1:
        cdef Request request
        cdef Outcome out
        cdef Attachment limiter
        for limiter, hashed, at in self.places:
            limiter.prepare(&request, None)
            request.verb = verb
            request.cost = cost
            request.at = at
            if limiter.rule.algorithm == LEAKY_BUCKET:  # the end of the booking is what is given back
                request.at += (self.cost - cost) * <uint64_t>limiter.rule.interval
            perform(&limiter.attached, limiter.rule, &request, hashed, &out)
        return 0

    def __bool__(self):
        return self.allowed

    def __reduce__(self):
        raise TypeError("a Reservation cannot be pickled or copied, since it can be given back only once")

    def __repr__(self):
        return f"Reservation(allowed={self.allowed}, delay={self.delay}, cost={self.cost})"


cdef Reservation reservation_of(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay):
    cdef Reservation place = Reservation.__new__(Reservation)
    place.places = places if allowed else []
    place.allowed = allowed
    place.cost = cost
    place.booked_at = now
    place.delay_ = delay
    return place
