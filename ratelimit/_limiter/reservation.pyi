from typing import final

@final
class Reservation:
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
    def allowed(self) -> bool:
        """Whether the turn is booked."""
    @property
    def cost(self) -> int:
        """The cost that was booked."""
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
    def settle(self, actual_cost: int) -> None:
        """Correct the cost to the actual one: give back the difference, or spend it.

        Args:
            actual_cost: a whole number from 0.
        """
    def _return(self) -> bool: ...
    def __bool__(self) -> bool: ...
