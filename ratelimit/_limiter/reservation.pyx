"""A booked turn, which can be given back."""

cimport cython
from libc.stdint cimport uint64_t

from .._engine.algorithm cimport carried
from .._engine.atomics cimport first_to_set, u128
from .._engine.constants cimport NEVER, STATE_BITS
from .._engine.layout cimport storable
from .._engine.request cimport CANCEL, CHARGE, Outcome, Request
from .._engine.table cimport perform
from .._engine.verdict cimport seconds
from .arguments cimport checked_cost
from .attachment cimport Attachment
from .compiled_rule cimport CompiledRule

from ..errors import CorruptTable
from .parameters import read_parameters


@cython.final
cdef class Place:
    """A turn that was booked with one limiter."""

    cdef bint follow_changes(self, uint64_t* cost) except -1:
        """Carry the booking over the changes of the quota since, as the key's state was; False if it is forgotten.

        A change is remembered for the next fifteen. Beyond that nothing is given back.
        """
        cdef CompiledRule old, new
        cdef uint64_t revision = self.limiter.rule.revision
        cdef object metadata = self.limiter.metadata
        if self.revision == revision:
            return True
        changes = metadata.changes(self.revision, revision)
        if changes is None:
            return False
        try:
            rules = [CompiledRule(read_parameters(metadata, one)) for one in [self.revision, *changes]]
            restatements = [metadata.change(one) for one in changes]
        except CorruptTable:
            return False  # a change that came just now has taken the place of the first
        self.revision = revision
        old = rules[0]
        for new, (changed_ns, counts) in zip(rules[1:], restatements):
            if counts == "reset":
                return False
            self.found = storable(carried(&old.rule, &new.rule, changed_ns, counts == "scale", self.found))
            self.booked = storable(carried(&old.rule, &new.rule, changed_ns, counts == "scale", self.booked))
            if self.booked == (<u128>1 << STATE_BITS) - 1:
                return False  # a debt that no state can hold was truncated: what is left of it is not known
            if counts == "scale":
                self.rounded = True
                if old.rule.limit and new.rule.limit:
                    cost[0] = <uint64_t>(<u128>cost[0] * new.rule.limit // old.rule.limit)
            old = new
        return True


cdef class Reservation:
    """A turn that was booked; true if the booking succeeded.

    Attributes:
        allowed: whether the turn is booked.
        blocked: whether it is not, because the key is blocked; then nothing can be booked before `delay` is over.
        delay: seconds from the reservation until its turn. If it is not booked, the delay that it would have had, inf
            if no wait is long enough. Exact as `delay_ns`, an int or None.
        at_ns: the moment of the turn in nanoseconds since the epoch, or None.
        costs: the cost that was booked, for each limiter.
        cost: the largest of them; of a single limiter, the only one.

    Thread-safety: `cancel` and `settle` may be called from any thread. Only the first call has an effect. A later
    `cancel` does nothing, so that it may come in any case; a later `settle` raises an error.
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

    @property
    def cost(self) -> int:
        return max(self.costs)

    def cancel(self):
        """Give the turn back, except for what later bookings depend on."""
        if self._close():
            self.correct((0,) * len(self.costs))

    def settle(self, actual_cost=None, *, costs=None):
        """Correct the cost to the actual one: give back the difference, or spend it.

        Args:
            actual_cost: a whole number from 0, for every limiter.
            costs: instead, a whole number from 0 for each limiter.

        Raises:
            TypeError, ValueError: naming the argument; the reservation can still be settled.
            RuntimeError: nothing is booked, or it was settled or cancelled before. Nothing changes.
        """
        self.correct(self._close_at(actual_cost, costs))

    def _close(self):
        """Close the reservation; return whether it was open."""
        return bool(first_to_set(&self.closed))

    def _close_at(self, actual_cost, costs):
        """Close an open reservation; return the arguments of `settle` as a cost for each limiter."""
        actual = self._checked_costs(actual_cost, costs)
        if not self.allowed or not self._close():
            raise RuntimeError(f"settle: expected a booking that was neither settled nor cancelled yet, got {self!r}")
        return actual

    def _checked_costs(self, actual_cost, costs):
        """Return the arguments of `settle` as a cost for each limiter."""
        if costs is None:
            costs = (actual_cost,) * len(self.costs)
            name = "actual_cost"
        elif actual_cost is not None:
            raise TypeError(f"costs: expected without actual_cost, got {actual_cost!r} too")
        else:
            name = "costs"
        if not isinstance(costs, (tuple, list)):
            raise TypeError(f"costs: expected a list or tuple, one for each limiter, got {costs!r}")
        if len(costs) != len(self.costs):
            raise ValueError(f"costs: expected {len(self.costs)}, one for each limiter, got {len(costs)}")
        return tuple([checked_cost(cost, name, 0) for cost in costs])

    def _return(self):
        """Cancel a turn that is yet to come where it is the last in line; return whether no part of it is left.

        A turn on which later bookings depend stays booked, for another try. waiting.py calls this from one thread at a
        time.
        """
        if self.places and not self.closed:
            self.correct((0,) * len(self.costs), True)
        if not self.places:
            self.closed = 1
        return not self.places

    cdef int correct(self, tuple actual, bint last_only=False) except -1:
        """Cancel or charge the difference to the actual costs; keep the places that `last_only` leaves as they are."""
        cdef Request request
        cdef Outcome out
        cdef Place place
        cdef uint64_t booked, wanted
        cdef list kept = []
        for place in self.places:
            booked, wanted = self.costs[place.index], actual[place.index]
            if wanted == booked:
                continue
            place.limiter.prepare(&request, None)
            request.verb = CHARGE if wanted > booked else CANCEL
            request.cost = wanted - booked if wanted > booked else booked - wanted
            if request.verb == CANCEL and not place.follow_changes(&request.cost):
                continue  # what was booked is forgotten, or may be
            request.at = place.at
            request.whole = wanted == 0 and not place.rounded
            request.last_only = last_only
            request.found = place.found
            request.booked = place.booked
            out.at = 0
            perform(&place.limiter.attached, place.limiter.rule, &request, place.hashed, &out)
            if last_only and out.at >= NEVER:
                kept.append(place)
        self.places = kept
        return 0

    def __bool__(self):
        return self.allowed

    def __reduce__(self):
        raise TypeError("a Reservation cannot be pickled or copied, since it can be given back only once")

    def __repr__(self):
        return f"Reservation(allowed={self.allowed}, delay={self.delay}, cost={self.cost})"


cdef Place place_of(Attachment limiter, int index, uint64_t hashed, const Outcome* out):
    cdef Place place = Place.__new__(Place)
    place.index = index
    place.limiter = limiter
    place.hashed = hashed
    place.revision = limiter.rule.revision
    place.at = out.at
    place.found = out.before
    place.booked = out.after
    return place


cdef Reservation reservation_of(
    list places, bint allowed, tuple costs, uint64_t now, uint64_t delay, bint blocked=False
):
    cdef Reservation place = Reservation.__new__(Reservation)
    place.places = places if allowed else []
    place.allowed = allowed
    place.costs = costs
    place.booked_at = now
    place.delay_ = delay
    place.blocked = blocked
    return place
