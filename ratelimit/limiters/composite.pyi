from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from .._core import Limiter, _Clock, _Integers, _Key, _Keys, _Seconds
from .._limiter.decision import Decision
from .._limiter.limited import Limited
from .._limiter.reservation import Reservation
from ..quota import Quota

MAX_LIMITS: int

@disjoint_base
class All(Limited):
    """Several limiters as one, as `a & b` makes them.

    A request is allowed if all limiters allow it, and is then spent from all of them; otherwise it is spent from none.
    Its Decision names the limiter that refused; if several refused, the one with the longest wait.

    Args:
        limiters: up to 16 limiters or other Alls, all with the same clock.

    It has the verbs of a limiter, except for quotas of single calls.

    Thread-safety: as for each limiter. Concurrent requests have the outcome of some order, except that a request which
    one limit is about to refuse may for that moment be counted by another.
    """

    _is_remote: ClassVar[bool]
    def __new__(cls, *limiters: Limiter | All) -> Self: ...
    @property
    def limiters(self) -> tuple[Limiter, ...]:
        """The limiters, in order."""
    @property
    def clock(self) -> _Clock | None:
        """The clock= that all limiters have, or None for ratelimit's own."""
    def allow(self, key: _Key, /) -> bool:
        """Spend 1 from all limiters if all admit it; return whether they did."""
    def hit(self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None) -> Decision:
        """Spend from all limiters if all admit it; return a Decision, as Limiter.hit does.

        Args:
            key, now: as for Limiter.hit.
            cost: the cost for every limiter.
            costs: instead, a cost for each of `limiters`, in their order: such as one request and its tokens.
        """
    def take(self, key: _Key, most: int, *, now: int | None = None) -> Decision:
        """Spend as much of `most` as all limiters admit now, and the same from each; as Limiter.take does."""
    def bind(self, keys: Sequence[_Key], *, quotas: Sequence[Quota | str | None] | None = None) -> Bound:
        """Prepare a request with a different key for each limiter, such as a user, an address and a service.

        Args:
            keys: one for each of `limiters`, in their order.
            quotas: one for each limiter, as for Limiter.hit; None for the limiter's own.

        Returns: a Bound, which can be hit any number of times.
        """
    def peek(self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None) -> Decision:
        """Return the Decision that `hit` would make, without changing anything."""
    def reserve(
        self,
        key: _Key,
        cost: int = 1,
        *,
        costs: Sequence[int] | None = None,
        max_delay: _Seconds | None = None,
    ) -> Reservation:
        """Book a turn with all limiters, for the moment at which the last of them is ready; return a Reservation.

        Args:
            key, cost, costs: as for `hit`.
            max_delay: seconds. Nothing is booked if the wait would be longer.
        """
    def refund(self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None) -> None:
        """Give a cost back to all limiters, at most what was spent: `cost`, or one of `costs` for each limiter."""
    def block(self, key: _Key, seconds: _Seconds) -> None:
        """Refuse all requests with this key for `seconds`, in each of the limiters, as Limiter.block does."""
    def unblock(self, key: _Key) -> None:
        """End a block now, in each of the limiters, as Limiter.unblock does."""
    async def allow_async(self, key: _Key, /) -> bool:
        """Do what `allow` does; for tables that are reached over a network."""
    async def hit_async(
        self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None
    ) -> Decision:
        """Do what `hit` does; for tables that are reached over a network."""
    async def take_async(self, key: _Key, most: int, *, now: int | None = None) -> Decision:
        """Do what `take` does; for tables that are reached over a network."""
    async def peek_async(
        self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None
    ) -> Decision:
        """Do what `peek` does; for tables that are reached over a network."""
    async def reserve_async(
        self,
        key: _Key,
        cost: int = 1,
        *,
        costs: Sequence[int] | None = None,
        max_delay: _Seconds | None = None,
    ) -> Reservation:
        """Do what `reserve` does; for tables that are reached over a network."""
    async def refund_async(self, key: _Key, cost: int = 1, *, costs: Sequence[int] | None = None) -> None:
        """Do what `refund` does; for tables that are reached over a network."""
    async def block_async(self, key: _Key, seconds: _Seconds) -> None:
        """Do what `block` does; for tables that are reached over a network."""
    async def unblock_async(self, key: _Key) -> None:
        """Do what `unblock` does; for tables that are reached over a network."""
    def reset(self, key: _Key) -> None:
        """Forget the key in all limiters."""
    def clear(self) -> None:
        """Forget all keys in all limiters."""
    def allow_many(
        self, keys: _Keys, costs: _Integers | None = None, *, now: _Integers | None = None
    ) -> npt.NDArray[np.bool_]:
        """Decide a batch in order, as Limiter.allow_many does."""
    def hit_many(
        self, keys: _Keys, costs: _Integers | None = None, *, now: _Integers | None = None
    ) -> npt.NDArray[np.void]:
        """Decide a batch in order and return all fields of the decisions, as Limiter.hit_many does.

        Args:
            keys, now: as for Limiter.hit_many.
            costs: n whole numbers from 1, or one for all; or an array of shape (n, k) with a cost for each of the k
                limiters.
        """
    def wait(
        self, key: _Key, cost: int = 1, timeout: _Seconds | None = None, *, costs: Sequence[int] | None = None
    ) -> None:
        """Block until the cost is spent from all limiters, as Limiter.wait does; `costs` as for `hit`."""
    def wait_async(
        self, key: _Key, cost: int = 1, timeout: _Seconds | None = None, *, costs: Sequence[int] | None = None
    ) -> Coroutine[Any, Any, None]:
        """Wait as `wait` does, without blocking the event loop."""
    def now_ns(self) -> int:
        """Return the time by the limiters' clock, in nanoseconds since the epoch."""
    def __and__(self, other: Limiter | All) -> All: ...

@final
class Bound:
    """An All with a key for each of its limiters, as `All.bind` makes it. Keys are hashed and quotas parsed once.

    Attributes:
        limits: the All.
        keys: one for each limiter.

    Thread-safety: as for All.
    """

    def __new__(cls, limits: All, keys: Sequence[_Key], quotas: Sequence[Quota | str | None] | None) -> Self: ...
    @property
    def limits(self) -> All:
        """The All."""
    @property
    def keys(self) -> tuple[_Key, ...]:
        """The keys, one for each limiter."""
    def hit(self, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None) -> Decision:
        """Spend from all limiters if all admit it, as All.hit does."""
    def hit_for(self, keys: Sequence[_Key]) -> Decision:
        """Spend 1 as `hit` does, with other keys for the same limiters and quotas; only keys that differ are hashed."""
    async def hit_async(self, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None) -> Decision:
        """Do what `hit` does; for tables that are reached over a network."""
    def peek(self, cost: int = 1, *, costs: Sequence[int] | None = None, now: int | None = None) -> Decision:
        """Return the Decision that `hit` would make, without changing anything."""

def costs_for(costs: Any, cost: Any, size: int) -> tuple[int, ...]:
    """Return a checked cost for each limiter."""
