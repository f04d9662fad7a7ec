"""Other libraries that keep a limit on a Redis server, each with the algorithm of ours that it is compared with."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

from ratelimit.bench.peers import Decide
from ratelimit.bench.scenarios import HOUR

LIMIT = 100_000
OF_A_LOG = 1_000  # requests in a period, which a sliding log keeps each
LESS = """
The other libraries do less, each in its way. `limits` and throttled-py count a refused request in a fixed window as
spent. The sliding log of `limits`, the windows of throttled-py, and pyrate-limiter go by the clock of the host that
asks. The token and leaky buckets of throttled-py count whole seconds. Its GCRA, that of pyrate-limiter and the sliding
windows compute in floating point. The fixed window of throttled-py is one `INCRBY` without a script, and
sets the expiry in a second round trip. A log of pyrate-limiter has no expiry.
"""


class NetworkPeer(NamedTuple):
    """A library with one of its algorithms; `make` gets the port of the server and returns what decides about a key."""

    library: str
    algorithm: str
    ours: str
    make: Callable[[int], Decide]
    module: str

    @property
    def name(self) -> str:
        return f"{self.library} {version(self.library)}, {self.algorithm}"


def installed() -> list[NetworkPeer]:
    """Return those that can be measured here."""
    return [peer for peer in PEERS if find_spec("redis") is not None and find_spec(peer.module) is not None]


def limits(strategy: str, port: int) -> Decide:
    from limits import RateLimitItemPerSecond, storage, strategies

    store = storage.storage_from_string(f"redis://127.0.0.1:{port}/1")
    limit = OF_A_LOG if strategy == "moving-window" else LIMIT
    return partial(strategies.STRATEGIES[strategy](store).hit, RateLimitItemPerSecond(limit, HOUR))


def throttled_py(algorithm: str, port: int) -> Decide:
    from throttled import RedisStore, Throttled, per_duration

    quota = per_duration(timedelta(seconds=HOUR), LIMIT, burst=LIMIT)
    return Throttled(using=algorithm, quota=quota, store=RedisStore(server=f"redis://127.0.0.1:{port}/2")).limit


def pyrate_limiter(algorithm: str, port: int) -> Decide:
    import pyrate_limiter as library
    from redis import Redis

    client = Redis("127.0.0.1", port, 3)
    clock = library.WallClock()
    is_log = algorithm == "SlidingWindowLog"
    rates = [library.Rate(OF_A_LOG if is_log else LIMIT, HOUR * 1_000)]

    def made(name: str) -> Any:
        key, policy = f"{algorithm}:{name}", getattr(library, algorithm)()
        if is_log:
            return library.RedisBucket.init(rates, client, key, policy)
        return library.StateBucket(rates, store=library.RedisStateStore(client, key), algorithm=policy)

    class BucketPerKey(library.BucketFactory):
        def __init__(self) -> None:
            self.buckets: dict[str, Any] = {}

        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return library.RateItem(name, clock.now(), weight=weight)

        def get(self, item: Any) -> Any:
            if item.name not in self.buckets:
                self.buckets[item.name] = made(item.name)
            return self.buckets[item.name]

    return partial(library.Limiter(BucketPerKey()).try_acquire, blocking=False)


PEERS = [
    NetworkPeer("limits", "fixed window", "FixedWindow", partial(limits, "fixed-window"), "limits"),
    NetworkPeer("limits", "sliding window", "SlidingWindow", partial(limits, "sliding-window-counter"), "limits"),
    NetworkPeer("limits", "sliding log", "SlidingLog", partial(limits, "moving-window"), "limits"),
    *(
        NetworkPeer("throttled-py", words, ours, partial(throttled_py, name), "throttled")
        for words, ours, name in (
            ("token bucket", "TokenBucket", "token_bucket"),
            ("GCRA", "TokenBucket", "gcra"),
            ("leaky bucket", "LeakyBucket", "leaking_bucket"),
            ("fixed window", "FixedWindow", "fixed_window"),
            ("sliding window", "SlidingWindow", "sliding_window"),
        )
    ),
    *(
        NetworkPeer("pyrate-limiter", words, ours, partial(pyrate_limiter, name), "pyrate_limiter")
        for words, ours, name in (
            ("token bucket", "TokenBucket", "TokenBucket"),
            ("GCRA", "TokenBucket", "GCRA"),
            ("sliding log", "SlidingLog", "SlidingWindowLog"),
        )
    ),
]
