from typing import Any, final

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

def pack_all(requests: list[Asked]) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and the packed requests of a group."""

def leased_rule(parameters: Any, lease_us: int) -> Any:
    """Return the compiled rule by which the engine decides beside leases of this length, in microseconds."""

def current_parameters(limiter: Any) -> Any:
    """Return the RuleParameters that are in force now."""
