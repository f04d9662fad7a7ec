"""A storage for the package limits, and so for Flask-Limiter and slowapi: one changed line, `storage_uri=`.

| URI | where the counts are |
| --- | --- |
| `ratelimit://` | in this process |
| `ratelimit://shared/NAME` | in shared memory, for all worker processes of the host |
| `ratelimit:///path/to/counts` | in files whose names begin so, also over restarts |
| `async+ratelimit://...` | the same, for limits.aio |

Import this module once, so that limits knows the scheme. Beside the strategies of limits it registers `token-bucket`
and `leaky-bucket`. A request that is refused is not counted.
"""

import re
import time
from functools import lru_cache
from math import ceil
from typing import Any, cast

import limits.aio.strategies
import limits.strategies
from limits import RateLimitItem
from limits.aio.storage import MovingWindowSupport as AsyncMovingWindowSupport
from limits.aio.storage import SlidingWindowCounterSupport as AsyncSlidingWindowCounterSupport
from limits.aio.storage import Storage as AsyncStorage
from limits.limits import TIME_TYPES
from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage
from limits.storage.base import TimestampedSlidingWindow
from limits.util import WindowStats

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from ..algorithms import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket
from ..errors import CorruptTable, RateLimitError
from ..quota import Quota
from ..table import Table
from ._applications import application_name

URI = re.compile(r"(?:async\+)?ratelimit://(?:shared/(?P<name>[^/?#]+)|(?P<path>/[^?#]+))?")
LARGEST_FIRST = 2**17 - 1  # the highest count of a window that starts with a key's first request
LARGEST_EPOCH = 2**31 - 1  # of a window that starts at a multiple of its period, which can count more
LARGEST_SLIDING = 2**20 - 1  # the default of a sliding window; each limit brings its own

ERRORS = (RateLimitError, CorruptTable, OSError)  # of a table that cannot be used

_quota = lru_cache(4_096)(Quota)


def whole(cost: float) -> int:
    """Return a cost as a whole number: slowapi and limits accept parts of a request, which are rounded up."""
    return cost if type(cost) is int and cost > 0 else max(1, ceil(cost))


def default_uri(application: str) -> str:
    """Return the URI of a shared table that only this application of this user has.

    Args:
        application: the name of the application's module.
    """
    return f"ratelimit://shared/{application_name(application)}"


def _limit_in(key: str) -> tuple[int, int] | None:
    """Return the limit and the period in seconds that end a key of limits: `.../AMOUNT/MULTIPLES/GRANULARITY`."""
    return _limit_of(*key.rsplit("/", 3)[1:])


@lru_cache(4_096)
def _limit_of(amount: str = "", multiples: str = "", granularity: str = "") -> tuple[int, int] | None:
    if granularity not in TIME_TYPES or not (amount.isdecimal() and multiples.isdecimal()):
        return None
    return int(amount), int(multiples) * TIME_TYPES[granularity].seconds


class Counters:
    """The limiters behind a storage: one for each kind and period, and for a log also each limit.

    Args:
        uri: see above.
        clock, max_keys: as for every limiter.
    """

    def __init__(self, uri: str | None, *, clock: Any = None, max_keys: int | None = None) -> None:
        given = URI.fullmatch(uri or "ratelimit://")
        if given is None:
            raise ValueError(
                f"storage_uri: expected ratelimit://, ratelimit://shared/NAME or ratelimit:///path, got {uri!r}"
            )
        self._name, self._path = given["name"], given["path"]
        self._clock = clock
        self._max_keys = None if max_keys is None else int(max_keys)
        self._limiters: dict[tuple[Any, ...], Limiter] = {}
        if self._name:
            self._table("check")  # raises an error for a name that is not possible

    def fixed(self, limit: int | None, expiry: int) -> Limiter:
        """Return the windows of a limit; None is a counter of unknown limit."""
        if limit is not None and limit <= LARGEST_FIRST:
            return self._limiter(FixedWindow, "fixed", LARGEST_FIRST, expiry, anchor="first")
        return self._limiter(FixedWindow, "epoch", LARGEST_EPOCH, expiry)

    def log(self, limit: int, expiry: int) -> Limiter:
        return self._limiter(SlidingLog, f"log.{limit}", limit, expiry)

    def sliding(self, expiry: int) -> Limiter:
        return self._limiter(SlidingWindow, "sliding", LARGEST_SLIDING, expiry)

    def bucket(self, make: type[Limiter], limit: int, expiry: int) -> Limiter:
        return self._limiter(make, f"{make.__name__}.{limit}", limit, expiry)

    def all(self) -> list[Limiter]:
        return list(self._limiters.values())

    def windows(self) -> list[Limiter]:
        return [limiter for (kind, *_), limiter in self._limiters.items() if kind in ("fixed", "epoch")]

    def _limiter(self, make: Any, kind: str, limit: int, expiry: int, **options: Any) -> Limiter:
        limiter = self._limiters.get((kind, expiry))
        if limiter is None:
            table = self._table(f"{kind}.{expiry}")
            max_keys = None if table else self._max_keys
            limiter = make(
                Quota(limit, expiry), table=table, max_keys=max_keys, clock=self._clock, on_full="raise", **options
            )
            limiter = self._limiters.setdefault((kind, expiry), limiter)
        return limiter

    def _table(self, suffix: str) -> Table | None:
        if self._name:
            return Table.shared(f"{self._name}.{suffix}", max_keys=self._max_keys)
        return Table.open(f"{self._path}.{suffix}", max_keys=self._max_keys) if self._path else None

    # --- the methods of a storage, sync or async

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Return the count of the window with this request: more than the limit if it is refused."""
        found = _limit_in(key)
        amount = whole(amount)
        if found is None:
            decision = self.fixed(None, expiry).hit(key, amount)
            return decision.limit - decision.remaining + (0 if decision.allowed else amount)
        limit = found[0]
        if limit == 0:
            return amount
        decision = self.fixed(limit, expiry).hit(key, amount, quota=_quota(limit, expiry))
        return limit - decision.remaining + (0 if decision.allowed else amount)

    def get(self, key: str) -> int:
        """Return the count of the window."""
        return max((peek.limit - peek.remaining for peek in self._peek(key)), default=0)

    def get_expiry(self, key: str) -> float:
        """Return the moment at which the window ends, in seconds since the epoch."""
        found = _limit_in(key)
        limiters = [self.fixed(*found)] if found else self.windows()
        ends = [limiter.now_ns() + limiter.peek(key).reset_after_ns for limiter in limiters]
        return max(ends) / NS_PER_SECOND if ends else time.time()

    def _peek(self, key: str) -> list[Any]:
        found = _limit_in(key)
        return [limiter.peek(key) for limiter in ([self.fixed(*found)] if found else self.windows())]

    def check(self) -> bool:
        """Return whether the counts can be reached."""
        self.fixed(None, 1).peek("check")
        return True

    def reset(self) -> int:
        """Forget all keys, and return how many there were."""
        count = sum(map(len, self.all()))
        for limiter in self.all():
            limiter.clear()
        return count

    def clear(self, key: str) -> None:
        for limiter in self.all():
            limiter.reset(key)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return limit > 0 and self.log(limit, expiry).hit(key, whole(amount)).allowed

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the window with the requests that count begins, and their number."""
        if limit == 0:
            return time.time(), 0
        limiter = self.log(limit, expiry)
        now = limiter.now_ns()
        remaining = limiter.peek(key).remaining
        if remaining == limit:
            return now / NS_PER_SECOND, 0
        oldest = limiter.peek(key, remaining + 1).retry_after_ns or 0
        return (now + oldest) / NS_PER_SECOND - expiry, limit - remaining

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return limit > 0 and self.sliding(expiry).hit(key, whole(amount), quota=_quota(limit, expiry)).allowed

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the count of the previous window and the seconds it still counts; the same of the current one.

        At the start of a window the previous one counts in full. At the start of the next, only the current one does.
        """
        limiter = self.sliding(expiry)
        now, period = limiter.now_ns(), expiry * NS_PER_SECOND
        start = now - now % period
        left = (start + period - now) / NS_PER_SECOND
        both = limiter.peek(key, now=start)
        after = limiter.peek(key, now=start + period)
        current = after.limit - after.remaining
        previous = max(0, both.limit - both.remaining - current)
        return previous, left if previous else 0.0, current, left + expiry if current else 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.sliding(expiry).reset(key)


class RateLimitStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport, TimestampedSlidingWindow):
    """The storage `ratelimit://`. Options: `clock`, `max_keys`. Thread-safety: as for every limiter."""

    STORAGE_SCHEME = ["ratelimit"]  # noqa: RUF012  (declared so by limits)

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, clock: Any = None, max_keys: Any = None
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.counters = self.storage = Counters(uri, clock=clock, max_keys=max_keys)

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ERRORS

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self.counters.incr(key, expiry, amount)

    def get(self, key: str) -> int:
        return self.counters.get(key)

    def get_expiry(self, key: str) -> float:
        return self.counters.get_expiry(key)

    def check(self) -> bool:
        return self.counters.check()

    def reset(self) -> int:
        return self.counters.reset()

    def clear(self, key: str) -> None:
        self.counters.clear(key)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self.counters.acquire_entry(key, limit, expiry, amount)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        return self.counters.get_moving_window(key, limit, expiry)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self.counters.acquire_sliding_window_entry(key, limit, expiry, amount)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        return self.counters.get_sliding_window(key, expiry)

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.counters.clear_sliding_window(key, expiry)


class AsyncRateLimitStorage(
    AsyncStorage, AsyncMovingWindowSupport, AsyncSlidingWindowCounterSupport, TimestampedSlidingWindow
):
    """The storage `async+ratelimit://` of `limits.aio`. It never waits, so its coroutines end at once."""

    STORAGE_SCHEME = ["async+ratelimit"]  # noqa: RUF012  (declared so by limits)

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, clock: Any = None, max_keys: Any = None
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.counters = self.storage = Counters(uri, clock=clock, max_keys=max_keys)

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ERRORS

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self.counters.incr(key, expiry, amount)

    async def get(self, key: str) -> int:
        return self.counters.get(key)

    async def get_expiry(self, key: str) -> float:
        return self.counters.get_expiry(key)

    async def check(self) -> bool:
        return self.counters.check()

    async def reset(self) -> int:
        return self.counters.reset()

    async def clear(self, key: str) -> None:
        self.counters.clear(key)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self.counters.acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        return self.counters.get_moving_window(key, limit, expiry)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self.counters.acquire_sliding_window_entry(key, limit, expiry, amount)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        return self.counters.get_sliding_window(key, expiry)

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.counters.clear_sliding_window(key, expiry)


class _Bucket:
    """A strategy that one of our algorithms decides, for its sync and its async class."""

    algorithm: type[Limiter]
    storage: Any

    def _limiter(self, item: RateLimitItem) -> Limiter:
        counters = getattr(self.storage, "counters", None)
        if not isinstance(counters, Counters):
            raise ValueError(f"{type(self).__name__}: expected a storage ratelimit://, got {self.storage!r}")
        return counters.bucket(self.algorithm, item.amount, item.get_expiry())

    def _hit(self, item: RateLimitItem, identifiers: tuple[str, ...], cost: float) -> bool:
        return item.amount > 0 and self._limiter(item).hit(item.key_for(*identifiers), whole(cost)).allowed

    def _test(self, item: RateLimitItem, identifiers: tuple[str, ...], cost: float) -> bool:
        return item.amount > 0 and self._limiter(item).peek(item.key_for(*identifiers), whole(cost)).allowed

    def _stats(self, item: RateLimitItem, identifiers: tuple[str, ...]) -> WindowStats:
        """Return when one more request fits, and how many fit now."""
        if item.amount == 0:
            return WindowStats(time.time(), 0)
        limiter = self._limiter(item)
        decision = limiter.peek(item.key_for(*identifiers))
        return WindowStats((limiter.now_ns() + (decision.more_after_ns or 0)) / NS_PER_SECOND, decision.remaining)


class _SyncBucket(_Bucket, limits.strategies.RateLimiter):
    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._hit(item, identifiers, cost)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._test(item, identifiers, cost)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        return self._stats(item, identifiers)


class _AsyncBucket(_Bucket, limits.aio.strategies.RateLimiter):
    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._hit(item, identifiers, cost)

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._test(item, identifiers, cost)

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        return self._stats(item, identifiers)


class TokenBucketRateLimiter(_SyncBucket):
    """The strategy `token-bucket` of limits."""

    algorithm = TokenBucket


class LeakyBucketRateLimiter(_SyncBucket):
    """The strategy `leaky-bucket` of limits."""

    algorithm = LeakyBucket


class AsyncTokenBucketRateLimiter(_AsyncBucket):
    """The strategy `token-bucket` of limits.aio."""

    algorithm = TokenBucket


class AsyncLeakyBucketRateLimiter(_AsyncBucket):
    """The strategy `leaky-bucket` of limits.aio."""

    algorithm = LeakyBucket


def _register(strategies: dict[str, Any], token_bucket: type[_Bucket], leaky_bucket: type[_Bucket]) -> None:
    strategies.update({"token-bucket": token_bucket, "leaky-bucket": leaky_bucket})


_register(cast(Any, limits.strategies.STRATEGIES), TokenBucketRateLimiter, LeakyBucketRateLimiter)
_register(cast(Any, limits.aio.strategies.STRATEGIES), AsyncTokenBucketRateLimiter, AsyncLeakyBucketRateLimiter)
