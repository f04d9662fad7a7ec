from collections.abc import Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ._limiter.attachment import Attachment
from ._limiter.decision import Decision
from ._limiter.reservation import Reservation
from .limiters.composite import All
from .quota import Quota
from .table import Table

class _Clock(Protocol):
    def now_ns(self) -> int: ...

_Key: TypeAlias = str | bytes | int
_Keys: TypeAlias = (
    npt.NDArray[np.integer[Any]]
    | npt.NDArray[np.bytes_]
    | npt.NDArray[np.str_]
    | npt.NDArray[np.object_]
    | list[str]
    | list[bytes]
    | list[int]
    | list[_Key]
    | tuple[_Key, ...]
)
_Integers: TypeAlias = int | np.integer[Any] | npt.NDArray[np.integer[Any]] | list[int] | tuple[int, ...]
_Seconds: TypeAlias = float | Fraction | Decimal | timedelta
_Function = TypeVar("_Function", bound=Callable[..., Any])
_OnFull: TypeAlias = Literal["deny", "allow", "raise"]

_Counts: TypeAlias = Literal["keep", "scale", "reset"]

CLASSES: dict[int, type[Limiter]]

class Limiter(Attachment):
    """The base of all algorithms. Use one of their classes, which describe the arguments.

    Thread-safety: every method may be called from any thread and, if the table is shared, in any process.
    """

    _is_remote: ClassVar[bool]
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @classmethod
    def of(cls, table: Table) -> Self:
        """Return the limiter that an existing table serves, with the algorithm and quota that the table has.

        Raises:
            FileNotFoundError: the table does not exist.
            CorruptTable: it is not a table, or is damaged.
            ValueError: it is in this process's memory, has a clock that was given as clock=, or is of another class.
        """
    @property
    def quota(self) -> Quota:
        """The quota that is in force now."""
    @property
    def clock(self) -> _Clock | None:
        """The clock that was given, or None for ratelimit's own."""
    @property
    def on_full(self) -> _OnFull:
        """The result for a new key if every slot is live."""
    @property
    def max_keys(self) -> int:
        """How many keys may be live at once."""
    @property
    def table(self) -> Table:
        """The Table in which the keys are kept."""
    def allow(self, key: _Key, /) -> bool:
        """Spend 1 if the quota admits it; return whether it did.

        Args:
            key: str, bytes or int.
        """
    def hit(self, key: _Key, cost: int = 1, *, quota: Quota | str | None = None, now: int | None = None) -> Decision:
        """Spend all of `cost` if the quota admits it, otherwise nothing; return a Decision.

        Args:
            key: str, bytes or int.
            cost: a whole number from 1. A cost above the limit is always refused, with `retry_after = inf`.
            quota: a quota for this call instead of the limiter's; for windows with the same period.
            now: integer nanoseconds since the epoch, instead of the clock's time.
        """
    def take(self, key: _Key, most: int, *, quota: Quota | str | None = None, now: int | None = None) -> Decision:
        """Spend as much of `most` as the quota admits now; return a Decision, whose `spent` is how much that is.

        Args:
            key, quota, now: as for `hit`.
            most: a whole number from 1. If not even 1 is admitted, the decision is a refusal, as of `hit`.
        """
    def peek(self, key: _Key, cost: int = 1, *, quota: Quota | str | None = None, now: int | None = None) -> Decision:
        """Return the Decision that `hit` would make, without changing anything."""
    def reserve(self, key: _Key, cost: int = 1, *, max_delay: _Seconds | None = None) -> Reservation:
        """Book a turn now, for a request that waits until then; return a Reservation, true if it is booked.

        Args:
            key, cost: as for `hit`.
            max_delay: seconds. Nothing is booked if the wait would be longer.
        """
    def refund(self, key: _Key, cost: int = 1, *, quota: Quota | str | None = None) -> None:
        """Give `cost` back, at most what was spent.

        Args:
            quota: that of the call that spent it, as for `hit`.
        """
    def block(self, key: _Key, seconds: _Seconds, *, quota: Quota | str | None = None) -> None:
        """Refuse all requests with this key for `seconds`; for a ban, or for the time that a server asks to wait.

        Args:
            key: str, bytes or int.
            seconds: from 0. A block that ends later is not shortened. The refusals have the rest as `retry_after`, or
                more if the limit itself would refuse for longer.
            quota: that of the calls with this key, as for `hit`.

        At the end the key has what it would have without the block, in whole requests. Meanwhile nothing is given back
        by `refund`, `cancel` and `settle`, and nothing can be reserved. Those that wait in this process wait on, and
        keep their order.

        Raises:
            TableFull: the key has no slot and cannot get one, whatever `on_full` is.
        """
    def unblock(self, key: _Key) -> None:
        """End a block now; without a block, nothing happens.

        The key has what it had when the block began, or less: never more than it would have without the block. If it
        was booked ahead by reservations in a window, it stays blocked until that window.
        """
    async def allow_async(self, key: _Key, /) -> bool:
        """Do what `allow` does; for tables that are reached over a network."""
    async def hit_async(
        self, key: _Key, cost: int = 1, *, quota: Quota | str | None = None, now: int | None = None
    ) -> Decision:
        """Do what `hit` does; for tables that are reached over a network."""
    async def take_async(
        self, key: _Key, most: int, *, quota: Quota | str | None = None, now: int | None = None
    ) -> Decision:
        """Do what `take` does; for tables that are reached over a network."""
    async def peek_async(
        self, key: _Key, cost: int = 1, *, quota: Quota | str | None = None, now: int | None = None
    ) -> Decision:
        """Do what `peek` does; for tables that are reached over a network."""
    async def reserve_async(self, key: _Key, cost: int = 1, *, max_delay: _Seconds | None = None) -> Reservation:
        """Do what `reserve` does; for tables that are reached over a network."""
    async def refund_async(self, key: _Key, cost: int = 1) -> None:
        """Do what `refund` does; for tables that are reached over a network."""
    async def block_async(self, key: _Key, seconds: _Seconds, *, quota: Quota | str | None = None) -> None:
        """Do what `block` does; for tables that are reached over a network."""
    async def unblock_async(self, key: _Key) -> None:
        """Do what `unblock` does; for tables that are reached over a network."""
    def reset(self, key: _Key) -> None:
        """Forget the key: make it like one never seen."""
    def change(self, quota: Quota | str, *, counts: _Counts = "keep") -> None:
        """Change the limit itself, for every limiter on the table and from its next decision on.

        Args:
            quota: the new quota, with its burst; without a burst it has the limit for one, whatever the old burst was.
                For windows and the log with the same period; for the log with a limit up to the one that the table
                was made with.
            counts: what happens to what keys have spent. `"keep"`: it stays, so 60 of 100 becomes 60 of 200.
                `"scale"`: its share stays, so 60 of 100 becomes 120 of 200. `"reset"`: it is forgotten.

        The keys are restated one after another, in some milliseconds per million. A request that is decided meanwhile
        may be scaled too. If the process is killed half-way, the other keys keep their counts.
        """
    def _change_rate(self, quota: Quota | str, counts: str) -> None: ...
    def clear(self) -> None:
        """Forget all keys."""
    def compact(self) -> None:
        """Give back the memory that many keys took which are now like new. No live key loses what it has spent.

        For a table in this process, which no other thread may use meanwhile: no batch runs, and without the GIL no
        method is called. `ratelimit table compact` does the same for shared memory and files.
        """
    def _compact(self, session: int | None = None) -> None: ...
    def _growth(self) -> tuple[list[int], int, int]: ...
    def allow_many(
        self, keys: _Keys, costs: _Integers | None = None, *, now: _Integers | None = None
    ) -> npt.NDArray[np.bool_]:
        """Decide a batch in order, as if by one call after another, without the GIL; return an array of n bools.

        Args:
            keys: an array of n integers, fixed-width bytes or text, or a list or object array of str, bytes and int.
            costs: n whole numbers from 1, or one for all.
            now: n moments in integer nanoseconds since the epoch, or one for all; by default one reading of the clock.
        """
    def hit_many(
        self, keys: _Keys, costs: _Integers | None = None, *, now: _Integers | None = None
    ) -> npt.NDArray[np.void]:
        """Decide a batch as `allow_many` does; return all fields of the decisions.

        Returns: a structured array of n with the fields allowed, limit, remaining, retry_after_ns (2**62 if no wait is
        long enough), reset_after_ns and delay_ns, as in a Decision.
        """
    def wait(self, key: _Key, cost: int = 1, timeout: _Seconds | None = None) -> None:
        """Block until `cost` is spent; requests of one process are served in order.

        Raises: immediately, without spending: WaitTimeout if the turn comes later than `timeout` seconds,
        CostExceedsLimit if no wait is long enough, TableFull.
        """
    def wait_async(self, key: _Key, cost: int = 1, timeout: _Seconds | None = None) -> Coroutine[Any, Any, None]:
        """Wait as `wait` does, without blocking the event loop. A cancelled wait gives its turn back."""
    def now_ns(self) -> int:
        """Return the time by this limiter's clock, in nanoseconds since the epoch."""
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    def __and__(self, other: Limiter | All) -> All: ...

def restored(cls: type[Limiter], quota: Quota, options: dict[str, Any]) -> Limiter:
    """Return an unpickled limiter, attached to its table again. The quota may have changed since."""
