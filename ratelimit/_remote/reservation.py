"""A booked turn on an engine."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from .._limiter.reservation import Reservation
from ..errors import TableUnreachable
from .answer import Answer, empty_reservation
from .asking import ask, ask_async
from .request import Asked, correction_of

NEVER = 1 << 62


class RemotePlace(NamedTuple):
    """A turn that was booked with one limiter."""

    limiter: Any
    name: bytes  # of the key
    revision: int
    booking: Any  # as an Answer has it
    number: int  # of its cost in the reservation's


class RemoteReservation(Reservation):
    """A Reservation whose turns are on an engine.

    A turn that was booked before the quota changed is not given back, since its state is another one now.

    Attributes:
        error: why nothing is booked, if the engine did not answer.
    """

    error: Exception | None = None
    _places: tuple[RemotePlace, ...] = ()

    def cancel(self) -> None:
        """Give the turn back, except for what later bookings depend on."""
        if self._close():
            self._correct_now((0,) * len(self.costs))

    async def cancel_async(self) -> None:
        """Do what `cancel` does, without blocking the event loop."""
        if self._close():
            await self._correct_soon((0,) * len(self.costs))

    def settle(self, actual_cost: Any = None, *, costs: Any = None) -> None:
        """Correct the cost to the actual one: give back the difference, or spend it."""
        self._correct_now(self._close_at(actual_cost, costs))

    async def settle_async(self, actual_cost: Any = None, *, costs: Any = None) -> None:
        """Do what `settle` does, without blocking the event loop."""
        await self._correct_soon(self._close_at(actual_cost, costs))

    def _return(self) -> bool:
        self.cancel()
        return True

    def _correct_now(self, actual: tuple[int, ...]) -> None:
        for storage, group in self._corrections(actual):
            try:
                ask(storage, [[one] for one in group])
            except TableUnreachable:
                if storage.options.unreachable == "raise":
                    raise

    async def _correct_soon(self, actual: tuple[int, ...]) -> None:
        for storage, group in self._corrections(actual):
            try:
                await ask_async(storage, [[one] for one in group])
            except TableUnreachable:
                if storage.options.unreachable == "raise":
                    raise

    def _corrections(self, actual: tuple[int, ...]) -> Iterable[tuple[Any, list[Asked]]]:
        """Return what to ask of each table's engine."""
        found: dict[int, tuple[Any, list[Asked]]] = {}
        for place in self._places:
            limiter, spent, wanted = place.limiter, self.costs[place.number], actual[place.number]
            limiter._refusals.forget(place.name)
            if wanted == spent:
                continue
            if wanted > spent:
                one = correction_of(limiter, place.name, wanted - spent, None, False, False)
            elif place.revision == limiter.table.remote.revision:
                one = correction_of(limiter, place.name, spent - wanted, place.booking, wanted == 0, False)
            else:
                continue
            found.setdefault(id(limiter.table.remote), (limiter.table.remote, []))[1].append(one)
        return found.values()


def booked(answers: list[Answer]) -> RemoteReservation:
    """Return the reservation of a group that books turns."""
    now = answers[0].now_ns
    allowed = all(answer.done for answer in answers)
    costs = tuple(answer.asked.cost for answer in answers)
    moments = [answer.at_ns for answer in answers if allowed or not answer.done]
    never = any(moment is None for moment in moments)
    delay = NEVER if never else max(moment for moment in moments if moment is not None) - now
    made: RemoteReservation = empty_reservation(RemoteReservation, allowed, costs, now, delay)
    if allowed:
        made._places = tuple(
            RemotePlace(answer.asked.limiter, answer.asked.name, answer.revision, answer.booking, i)
            for i, answer in reversed(list(enumerate(answers)))
        )
    return made


def not_booked(requests: list[Asked], allowed: bool, error: Exception) -> RemoteReservation:
    """Return the reservation in place of the engine's answer."""
    limiter = requests[0].limiter
    now = limiter.table.remote.clock_ns_or_zero()
    costs = tuple(request.cost for request in requests)
    made: RemoteReservation = empty_reservation(RemoteReservation, allowed, costs, now, 0 if allowed else 10**9)
    made.error = error
    return made
