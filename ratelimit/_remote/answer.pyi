from typing import Any, final

from .._limiter.decision import Decision
from .request import Asked, _Booking

@final
class Answer:
    """The engine's reply to one request."""

    asked: Asked
    @property
    def done(self) -> bool:
        """Whether it was carried out; of one that only looks, whether it would be."""
    @property
    def now_ns(self) -> int:
        """The engine's moment."""
    @property
    def at_ns(self) -> int | None:
        """The moment of the turn, or None for never."""
    @property
    def granted(self) -> int:
        """How much was taken in advance."""
    @property
    def window_end_ns(self) -> int | None:
        """The end of the window in which a fixed window has decided; None of other algorithms."""
    @property
    def revision(self) -> int:
        """The revision of the quota that decided."""
    @property
    def booking(self) -> _Booking:
        """The moment of the turn and the states before and after, as the engine has them, to cancel it."""
    def older_by(self, request: Asked, seconds: float) -> Answer | None:
        """Return the answer to a request if this refusal still refuses it after so many seconds, otherwise None."""
    def decision(self, source: str = "engine", cost: int | None = None) -> Decision:
        """Return the Decision, by the functions that decide locally.

        Args:
            cost: of a refused request, the cost that was refused, if it is not the request's own.
        """

def decision_without_engine(limiter: Any, allowed: bool, retry_after_ns: int, source: str = "fallback") -> Decision:
    """Return the decision for a request that the engine did not decide."""

def relabelled(local: Decision, limiter: Any) -> Decision:
    """Return the decision of a local substitute as one of the limiter."""

def read_all(requests: list[Asked], reply: bytes) -> list[Answer] | None:
    """Return the answers to a group, or None if the engine has other revisions: then ask again.

    Raises:
        CorruptTable: a key has a value that this library did not write.
    """

def read_one(one: Asked, reply: bytes) -> Answer | None:
    """Return the answer to a request that is a group by itself, or None: as `read_all` does."""

def delayed(decision: Decision, delay_ns: int) -> Decision:
    """Return the decision with another delay until the turn."""

def refused_until(decision: Decision, wait: int) -> Decision:
    """Return the refusal with a wait of at least so many nanoseconds."""

def empty_reservation(cls: Any, allowed: bool, costs: tuple[int, ...], now: int, delay: int) -> Any:
    """Return a reservation of this class without places on this host."""
