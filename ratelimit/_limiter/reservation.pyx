"""A place in line that was booked, and can be given back."""

cimport cython
from libc.stdint cimport uint64_t

from .arguments cimport amount
from .._engine.atomics cimport first_come
from .._core cimport Limiter
from .._engine.rule cimport LEAKY_BUCKET, NEVER
from .._engine.table cimport CANCEL, CHARGE, Outcome, Request, Verb, perform
from .._engine.verdict cimport seconds


@cython.final
cdef class Reservation:
    """A place in line; true when there is one.

    Attributes:
        allowed: whether the place is booked.
        delay: seconds from the reservation until its turn; when none was booked, what it would have been
            (inf when no wait will do). Exact as `delay_ns`, an int or None.
        at_ns: the moment of its turn, nanoseconds since the epoch; or None.
        cost: what was booked.

    `cancel` and `settle` may each be called from any thread; once the cost is given back they do nothing.
    """

    @property
    def delay(self) -> float:
        return seconds(self.delay_)

    @property
    def delay_ns(self) -> int | None:
        return self.delay_ if self.delay_ < NEVER else None

    @property
    def at_ns(self) -> int | None:
        return self.began + self.delay_ if self.delay_ < NEVER else None

    def cancel(self):
        """Give the place back, as far as that is fair to those who came after."""
        if first_come(&self.closed):
            self.correct(CANCEL, self.cost)

    def settle(self, actual_cost):
        """Correct the cost to what it turned out to be, once: give the rest back, or spend the more."""
        cdef uint64_t actual = amount(actual_cost, "actual_cost", 0)
        if not first_come(&self.closed):
            return
        if actual < self.cost:
            self.correct(CANCEL, self.cost - actual)
        elif actual > self.cost:
            self.correct(CHARGE, actual - self.cost)

    cdef int correct(self, Verb verb, uint64_t cost) except -1:
        cdef Request request
        cdef Outcome out
        cdef Limiter limiter
        for limiter, hashed, at in self.places:
            limiter.start(&request, None)
            request.verb = verb
            request.cost = cost
            request.at = at
            if limiter.rule.algorithm == LEAKY_BUCKET:  # what goes back is the end of what was booked
                request.at += (self.cost - cost) * <uint64_t>limiter.rule.interval
            perform(&limiter.slots, limiter.rule, &request, hashed, &out)
        return 0

    def __bool__(self):
        return self.allowed

    def __reduce__(self):
        raise TypeError("a Reservation cannot be pickled or copied: it can be given back only once")

    def __repr__(self):
        return f"Reservation(allowed={self.allowed}, delay={self.delay}, cost={self.cost})"


cdef Reservation booking(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay):
    cdef Reservation place = Reservation.__new__(Reservation)
    place.places = places if allowed else []
    place.allowed = allowed
    place.cost = cost
    place.began = now
    place.delay_ = delay
    return place
