from collections.abc import Sequence
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Reservation:
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
    def allowed(self) -> bool:
        """Whether the turn is booked."""
    @property
    def blocked(self) -> bool:
        """Whether nothing was booked because the key is blocked."""
    @property
    def costs(self) -> tuple[int, ...]:
        """The cost that was booked, for each limiter."""
    @property
    def cost(self) -> int:
        """The largest of `costs`; of a single limiter, the only one."""
    @property
    def delay(self) -> float:
        """The seconds from the reservation until its turn; inf if no wait is long enough."""
    @property
    def delay_ns(self) -> int | None:
        """`delay` in nanoseconds; None if no wait is long enough."""
    @property
    def at_ns(self) -> int | None:
        """The moment of the turn in nanoseconds since the epoch; None if no wait is long enough."""
    def cancel(self) -> None:
        """Give the turn back, except for what later bookings depend on."""
    def settle(self, actual_cost: int | None = None, *, costs: Sequence[int] | None = None) -> None:
        """Correct the cost to the actual one: give back the difference, or spend it.

        Args:
            actual_cost: a whole number from 0, for every limiter.
            costs: instead, a whole number from 0 for each limiter.

        Raises:
            TypeError, ValueError: naming the argument; the reservation can still be settled.
            RuntimeError: nothing is booked, or it was settled or cancelled before. Nothing changes.
        """
    def _close(self) -> bool:
        """Close the reservation; return whether it was open."""
    def _close_at(self, actual_cost: Any, costs: Any) -> tuple[int, ...]:
        """Close an open reservation; return the arguments of `settle` as a cost for each limiter."""
    def _checked_costs(self, actual_cost: Any, costs: Any) -> tuple[int, ...]:
        """Return the arguments of `settle` as a cost for each limiter."""
    def _return(self) -> bool: ...
    def __bool__(self) -> bool: ...
