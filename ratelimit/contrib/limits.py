"""A storage for the package limits, and so for Flask-Limiter and slowapi: one changed line, `storage_uri=`.

| URI | where the counts are |
| --- | --- |
| `ratelimit://` | in this process |
| `ratelimit://shared/NAME` | in shared memory, for all worker processes of the host |
| `ratelimit:///path/to/counts` | in files whose names begin so, also over restarts |
| `ratelimit://valkey://host:6379/0?name=NAME` | on a Valkey or Redis server, for all hosts |
| `async+ratelimit://...` | the same, for limits.aio |

Import this module once, so that limits knows the scheme. Beside the strategies of limits it registers `token-bucket`
and `leaky-bucket`. A request that is refused is not counted.
"""

import time
from typing import Any, cast

import limits.aio.strategies
import limits.strategies
from limits import RateLimitItem
from limits.aio.storage import MovingWindowSupport as AsyncMovingWindowSupport
from limits.aio.storage import SlidingWindowCounterSupport as AsyncSlidingWindowCounterSupport
from limits.aio.storage import Storage as AsyncStorage
from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage
from limits.storage.base import TimestampedSlidingWindow
from limits.util import WindowStats

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from ..errors import CorruptTable, RateLimitError
from ..limiters.algorithms import LeakyBucket, TokenBucket
from ._applications import application_name
from ._limits_counters import Counters, whole

ERRORS = (RateLimitError, CorruptTable, OSError)  # of a table that cannot be used


def default_uri(application: str) -> str:
    """Return the URI of a shared table that only this application of this user has.

    Args:
        application: the name of the application's module.
    """
    return f"ratelimit://shared/{application_name(application)}"


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
