"""Other rate limiters for Python, each set up in a few lines as its manual shows.

Each function takes a limit and a period in seconds and returns a function of one key, which spends 1. If the library
has such a function, that one is returned without a wrapper.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

Decide = Callable[[str], Any]


class Peer(NamedTuple):
    """Another library with one of its algorithms."""

    library: str  # its name on PyPI
    algorithm: str
    like: str  # our class with that algorithm
    make: Callable[[int, int], Decide]
    admits: Callable[[Any], bool] = bool  # whether its answer admits the request

    @property
    def name(self) -> str:
        return f"{self.library}, {self.algorithm}"

    @property
    def title(self) -> str:
        return f"{self.library} {self.version}, {self.algorithm}"

    @property
    def version(self) -> str | None:
        try:
            return version(self.library)
        except PackageNotFoundError:
            return None


def limits(strategy: str, limit: int, period: int) -> Decide:
    from limits import RateLimitItemPerSecond, storage, strategies

    limiter = strategies.STRATEGIES[strategy](storage.MemoryStorage())
    return partial(limiter.hit, RateLimitItemPerSecond(limit, period))


def throttled_py(algorithm: str, limit: int, period: int) -> Decide:
    from throttled import MemoryStore, Throttled, per_duration

    quota = per_duration(timedelta(seconds=period), limit, burst=limit)
    store = MemoryStore(options={"MAX_SIZE": 2_000_000})  # it evicts keys beyond this
    return Throttled(using=algorithm, quota=quota, store=store).limit


def pyrate_limiter(limit: int, period: int) -> Decide:
    from pyrate_limiter import GCRA, BucketFactory, Limiter, MonotonicClock, Rate, RateItem, StateBucket

    class BucketPerKey(BucketFactory):
        def __init__(self) -> None:
            self.clock = MonotonicClock()
            self.buckets: dict[str, StateBucket] = {}

        def wrap_item(self, name: str, weight: int = 1) -> RateItem:
            return RateItem(name, self.clock.now(), weight=weight)

        def get(self, item: RateItem) -> StateBucket:
            bucket = self.buckets.get(item.name)
            if bucket is None:
                bucket = self.buckets[item.name] = StateBucket([Rate(limit, period * 1_000)], algorithm=GCRA())
            return bucket

    return partial(Limiter(BucketPerKey()).try_acquire, blocking=False)


def token_bucket(limit: int, period: int) -> Decide:
    from token_bucket import Limiter, MemoryStorage

    return Limiter(limit / period, limit, MemoryStorage()).consume


def rust_py_rate_limit(algorithm: str, limit: int, period: int) -> Decide:
    from rust_py_rate_limit import RateLimiter

    allow: Decide = RateLimiter(limit, period, algorithm=algorithm).allow
    return allow


def floodgate(limit: int, period: int) -> Decide:
    from floodgate import FixedMapping

    keys: FixedMapping[str] = FixedMapping(limit, timedelta(seconds=period))
    return keys.trigger


def _not_limited(result: Any) -> bool:
    return not result.limited


PEERS = [
    Peer("limits", "fixed window", "FixedWindow", partial(limits, "fixed-window")),
    Peer("limits", "sliding window", "SlidingWindow", partial(limits, "sliding-window-counter")),
    Peer("limits", "sliding log", "SlidingLog", partial(limits, "moving-window")),
    Peer("throttled-py", "fixed window", "FixedWindow", partial(throttled_py, "fixed_window"), _not_limited),
    Peer("throttled-py", "GCRA", "TokenBucket", partial(throttled_py, "gcra"), _not_limited),
    Peer("pyrate-limiter", "GCRA", "TokenBucket", pyrate_limiter),
    Peer("token-bucket", "token bucket", "TokenBucket", token_bucket),
    Peer("rust-py-rate-limit", "fixed window", "FixedWindow", partial(rust_py_rate_limit, "fixed")),
    Peer("rust-py-rate-limit", "sliding window", "SlidingWindow", partial(rust_py_rate_limit, "sliding")),
    Peer("floodgate-rs", "fixed window", "FixedWindow", floodgate, admits=lambda wait: wait is None),
]


def present() -> list[Peer]:
    """Return the peers that are installed."""
    return [peer for peer in PEERS if peer.version]


def check(peer: Peer) -> None:
    """Raise unless the peer admits up to the limit, then refuses, and keeps keys apart: else its times mean nothing."""
    decide = peer.make(3, 3_600)
    answers = [peer.admits(decide(key)) for key in ("one", "one", "one", "one", "one", "two")]
    if answers != [True, True, True, False, False, True]:
        raise RuntimeError(f"{peer.name} answers {answers} with a limit of 3, so it cannot be compared")
