from typing import Any, final

from .._limiter.decision import Decision

_Booking = tuple[tuple[float, float], tuple[float, float, float], tuple[float, float, float]]

def engine_key(prefix: bytes, key: str | bytes | int) -> bytes:
    """Return the name of a key. All limits of a key are in one slot of a cluster, because the key is in braces."""

@final
class Asked:
    """A request of one limiter, for one key."""

    limiter: Any
    key: Any
    name: bytes
    quota: Any
    looks: bool
    more: int
    @property
    def cost(self) -> int:
        """The cost of the request."""

def request_of(
    limiter: Any,
    key: Any,
    cost: Any = 1,
    *,
    quota: Any = None,
    verb: int = ...,
    brief: bool = False,
    looks: bool = False,
    max_delay: Any = None,
    more: int = 0,
) -> Asked:
    """Put a request together, under the quota that is in force now.

    Args:
        verb: HIT, RESERVE, CHARGE, REFUND, BLOCK or UNBLOCK.
        brief: only whether it is carried out matters.
        looks: ask what would happen, without carrying it out.
        max_delay: of a RESERVE, in seconds; the length of a BLOCK.
        more: of a HIT, what is taken in advance at most.
    """

def hits_of(limiter: Any, keys: list[Any], costs: list[Any], brief: bool) -> list[Asked]:
    """Put a batch of hits together, under the quota that is in force now."""

def correction_of(limiter: Any, name: bytes, cost: int, booked: _Booking | None, whole: bool, last_only: bool) -> Asked:
    """Put together what takes `cost` of a booking back or, without a booking, what charges it."""

def return_of(limiter: Any, name: bytes, cost: int, revision: int, granted_us: int, held_us: int) -> Asked | None:
    """Put together what gives back that was taken in advance; None if the quota has changed since.

    Args:
        revision, granted_us: the revision and the engine's moment of the answer with which it was taken.
        held_us: microseconds that have passed since, or fewer.
    """

def forget_keys(limiter: Any) -> None:
    """Forget all keys of the limiter's table: a change to the same quota, which resets what keys have spent."""

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

def pack_all(requests: list[Asked]) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and the packed requests of a group."""

def read_all(requests: list[Asked], reply: bytes) -> list[Answer] | None:
    """Return the answers to a group, or None if the engine has other revisions: then ask again.

    Raises:
        CorruptTable: a key has a value that this library did not write.
    """

def delayed(decision: Decision, delay_ns: int) -> Decision:
    """Return the decision with another delay until the turn."""

def refused_until(decision: Decision, wait: int) -> Decision:
    """Return the refusal with a wait of at least so many nanoseconds."""

def empty_reservation(cls: Any, allowed: bool, costs: tuple[int, ...], now: int, delay: int) -> Any:
    """Return a reservation of this class without places on this host."""

def leased_rule(parameters: Any, lease_us: int) -> Any:
    """Return the compiled rule by which the engine decides beside leases of this length, in microseconds."""

def current_parameters(limiter: Any) -> Any:
    """Return the RuleParameters that are in force now."""
