"""How fast a replay is: `python benchmarks/replay_speed.py [LOG]`; medians of three rounds, in processor time.

Decisions from memory, beside the peers driven over the same trace; and lines of a log, beside a plain loop with
Python's `re`. Peers are given the trace's moments where they can be: token-bucket and limits take the time from a
module that can be exchanged. floodgate-rs and rust-py-rate-limit, the two fastest, read their own clock; they are
called once for each request all the same, which is the least that driving them could cost.
"""

import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from unittest import mock

import numpy as np

from ratelimit.language import ALGORITHMS
from ratelimit.replay import Limit, replay
from ratelimit.replay.engine import keys_needed
from ratelimit.replay.reading.reader import Reader

ROUNDS = 3
SIZE = 500_000
SECOND = 1_000_000_000
KEYS = {"10,000 keys": 10_000, "1,000,000 keys": 1_000_000}
PLAIN = re.compile(r'^([^ ]+) [^ ]+ [^ ]+ \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d\d\d) ([^ ]+)')


def median(work: Callable[[], object]) -> float:
    """Nanoseconds of processor time for each of SIZE requests."""
    times = []
    for _ in range(ROUNDS):
        began = process_time()
        work()
        times.append(process_time() - began)
    return statistics.median(times) / SIZE * 1e9


def ours(moments: np.ndarray, keys: np.ndarray, limit: str) -> Callable[[], object]:
    """Return the decisions alone, with as much room as `replay` gives."""
    chosen, distinct = Limit.parse(limit), len(np.unique(keys))

    def decide() -> None:
        limiter = chosen.make(keys_needed(chosen, distinct, moments))
        for begin in range(0, SIZE, 65_536):
            part = slice(begin, begin + 65_536)
            limiter.allow_many(keys[part], now=moments[part])

    return decide


def token_bucket(moments: list[int], keys: list[str]) -> None:
    from token_bucket import Limiter, MemoryStorage, storage

    times = iter(moments)
    clock = SimpleNamespace(time=lambda: next(times) / 1e9, monotonic=lambda: next(times) / 1e9)
    limiter = Limiter(0.5, 30, MemoryStorage())
    with mock.patch.object(storage, "time", clock):
        for key in keys:
            limiter.consume(key)


def limits(moments: list[int], keys: list[str]) -> None:
    from limits import RateLimitItemPerMinute, strategies
    from limits.storage import MemoryStorage, memory

    now = [0]
    storage = MemoryStorage()
    hit, item = strategies.FixedWindowRateLimiter(storage).hit, RateLimitItemPerMinute(30)
    with mock.patch.object(memory, "time", SimpleNamespace(time=lambda: now[0] / 1e9)):
        for now[0], key in zip(moments, keys, strict=True):
            hit(item, key)


def floodgate(moments: list[int], keys: list[str]) -> None:
    from floodgate import FixedMapping

    trigger = FixedMapping(30, timedelta(minutes=1)).trigger
    for key in keys:
        trigger(key)


def rust_py(moments: list[int], keys: list[str]) -> None:
    from rust_py_rate_limit import RateLimiter

    allow = RateLimiter(30, 60).allow
    for key in keys:
        allow(key)


PEERS = {"token-bucket": token_bucket, "limits, fixed window": limits, "floodgate-rs": floodgate, "rust-py": rust_py}


def decisions() -> None:
    for title, count in KEYS.items():
        rng = np.random.default_rng(1)
        keys, moments = rng.integers(0, count, SIZE), np.sort(rng.integers(0, 3_600 * SECOND, SIZE)) + SECOND * 10**9
        texts, times = list(map(str, keys.tolist())), moments.tolist()
        peers = {name: median(partial(peer, times, texts)) for name, peer in PEERS.items()}
        driven = min(peers["token-bucket"], peers["limits, fixed window"])
        print(f"\n{title}, {SIZE:,} requests in an hour; ns a decision")
        for name, ns in peers.items():
            print(f"  {name:24}{ns:10,.1f}")
        print(
            f"  {'':24}{'decide':>10}{'million/s':>10}{'peer / us':>10}{'fastest':>10}{'with all that is counted':>26}"
        )
        for algorithm in ALGORITHMS:
            limit = f"{algorithm} 30/minute"
            alone = median(ours(moments, keys, limit))
            seconds = [replay(moments, keys, limit).outcomes[0].seconds for _ in range(ROUNDS)]
            counted = statistics.median(seconds) / SIZE * 1e9
            print(
                f"  {algorithm:24}{alone:10,.1f}{1_000 / alone:10,.1f}{driven / alone:9,.0f}x"
                f"{min(peers.values()) / alone:9,.0f}x{counted:20,.1f} ({1_000 / counted:,.1f}/s)"
            )


def plain(log: Path) -> int:
    """Run the obvious program: a regular expression, line by line, and the two relevant fields."""
    with open(log, encoding="utf-8", errors="surrogateescape") as file:
        found = [(match[1], match[2]) for line in file if (match := PLAIN.match(line))]
    return len(found)


def parsed(log: Path) -> int:
    """Ours, which also gives each key an id."""
    return sum(len(batch.times) for batch in Reader([str(log)]).batches())


def parsing(log: Path) -> None:
    lines = plain(log)
    assert parsed(log) == lines
    one, other = (median(partial(read, log)) * SIZE / lines for read in (plain, parsed))
    print(f"\n{log.name}: {lines:,} lines; ns a line")
    print(f"  plain loop {one:,.0f}, ours {other:,.0f}: {one / other:.1f} times as fast")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            source = Path(sys.argv[1])
        else:
            sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
            from traffic import write_log

            write_log(source := Path(folder) / "day.log")
        content = source.read_bytes()
        log = Path(folder) / "access.log"
        log.write_bytes(content * max(1, 100_000_000 // len(content)))
        parsing(log)
    decisions()


if __name__ == "__main__":
    main()
