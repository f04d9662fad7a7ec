"""The counts of a storage for the package limits: limiters by period, and the methods of a storage on them."""

import re
import time
from functools import lru_cache
from math import ceil
from typing import Any

from limits.limits import TIME_TYPES

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from ..limiters.algorithms import FixedWindow, SlidingLog, SlidingWindow
from ..quota import Quota
from ..table import Table
from ._windows import LARGEST_EPOCH, LARGEST_FIRST, MAX_QUOTAS, cached_quota

ENGINE = r"(?P<engine>(?:valkeys?|rediss?)(?:\+[a-z]+)?://.+)"
URI = re.compile(rf"(?:async\+)?ratelimit://(?:shared/(?P<name>[^/?#]+)|(?P<path>/[^?#]+)|{ENGINE})?")
LARGEST_SLIDING = 2**20 - 1  # the default of a sliding window; each limit brings its own


def whole(cost: float) -> int:
    """Return a cost as a whole number: slowapi and limits accept parts of a request, which are rounded up."""
    return cost if type(cost) is int and cost > 0 else max(1, ceil(cost))


def _limit_in(key: str) -> tuple[int, int] | None:
    """Return the limit and the period in seconds that end a key of limits: `.../AMOUNT/MULTIPLES/GRANULARITY`."""
    return _limit_of(*key.rsplit("/", 3)[1:])


@lru_cache(MAX_QUOTAS)
def _limit_of(amount: str = "", multiples: str = "", granularity: str = "") -> tuple[int, int] | None:
    if granularity not in TIME_TYPES or not (amount.isdecimal() and multiples.isdecimal()):
        return None
    return int(amount), int(multiples) * TIME_TYPES[granularity].seconds


class Counters:
    """The limiters behind a storage: one for each kind and period, and for a log also each limit.

    Args:
        uri: see limits.py.
        clock, max_keys: as for every limiter.
    """

    def __init__(self, uri: str | None, *, clock: Any = None, max_keys: int | None = None) -> None:
        given = URI.fullmatch(uri or "ratelimit://")
        if given is None:
            raise ValueError(
                "storage_uri: expected ratelimit://, ratelimit://shared/NAME, ratelimit:///path or "
                f"ratelimit://valkey://HOST:PORT/0?name=NAME, got {uri!r}"
            )
        self._name, self._path, self._engine = given["name"], given["path"], given["engine"]
        self._clock = clock
        self._max_keys = None if max_keys is None else int(max_keys)
        self._limiters: dict[tuple[Any, ...], Limiter] = {}
        self._windows: dict[tuple[int, int], tuple[Limiter, Quota]] = {}  # by limit and period: those of `incr`
        if self._engine and max_keys is not None:
            raise ValueError(f"max_keys: expected none, since the engine's memory is the bound, got {max_keys}")
        if self._name or self._engine:
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

    def _limiter(self, make: Any, kind: str, limit: int, expiry: int, **options: Any) -> Limiter:
        limiter = self._limiters.get((kind, expiry))
        if limiter is None:
            quota, options = Quota(limit, expiry), options | {"clock": self._clock, "on_full": "raise"}
            table = self._table(f"{kind}.{expiry}")
            limiter = make(quota, table=table, max_keys=None if table else self._max_keys, **options)
            limiter = self._limiters.setdefault((kind, expiry), limiter)
        return limiter

    def _table(self, suffix: str) -> Table | None:
        if self._engine:
            return Table.at(self._engine, suffix, unreachable="raise")
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
        windows, quota = self._windows.get((limit, expiry)) or self._add_windows(limit, expiry)
        decision = windows.hit(key, amount, quota=quota)
        count = limit - decision.remaining
        return count if decision.allowed else count + amount

    def _add_windows(self, limit: int, expiry: int) -> tuple[Limiter, Quota]:
        if len(self._windows) >= MAX_QUOTAS:
            self._windows.clear()
        windows = self._windows[limit, expiry] = self.fixed(limit, expiry), cached_quota(limit, expiry)
        return windows

    def get(self, key: str) -> int:
        """Return the count of the window."""
        peeks = [limiter.peek(key) for limiter in self._counting(key)]
        return max((peek.limit - peek.remaining for peek in peeks), default=0)

    def get_expiry(self, key: str) -> float:
        """Return the moment at which the window ends, in seconds since the epoch."""
        ends = [limiter.now_ns() + limiter.peek(key).reset_after_ns for limiter in self._counting(key)]
        return max(ends) / NS_PER_SECOND if ends else time.time()

    def _counting(self, key: str) -> list[Limiter]:
        found = _limit_in(key)
        if found:
            return [self.fixed(*found)]
        return [limiter for (kind, *_), limiter in self._limiters.items() if kind in ("fixed", "epoch")]

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
        return limit > 0 and self.sliding(expiry).hit(key, whole(amount), quota=cached_quota(limit, expiry)).allowed

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the count of the previous window and the seconds it still counts; the same of the current one.

        At the start of a window the previous one counts in full. At the start of the next, only the current one does.
        An engine cannot be asked about other moments: what still counts is then all in the current one.
        """
        limiter = self.sliding(expiry)
        now, period = limiter.now_ns(), expiry * NS_PER_SECOND
        start = now - now % period
        left = (start + period - now) / NS_PER_SECOND
        if self._engine:
            present = limiter.peek(key)
            used = present.limit - present.remaining
            return 0, 0.0, used, left + expiry if used else 0.0
        both = limiter.peek(key, now=start)
        after = limiter.peek(key, now=start + period)
        current = after.limit - after.remaining
        previous = max(0, both.limit - both.remaining - current)
        return previous, left if previous else 0.0, current, left + expiry if current else 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.sliding(expiry).reset(key)
