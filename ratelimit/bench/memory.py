"""Resident memory per live key: the growth of a process by many keys, each contestant in a process of its own."""

from itertools import chain
from pathlib import Path
from resource import getpagesize

import numpy as np

import ratelimit
from ratelimit.bench.measure import Effort, Progress
from ratelimit.bench.peers import PEERS, present
from ratelimit.bench.process import call
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOUR, OURS, Scenario, every_key

STATM = Path("/proc/self/statm")
BATCH = 1_000
LEAST, A_KEY = 256 * 1024, 64  # bytes: the target for n keys is LEAST + n * A_KEY
TEXT = """
The growth of a process's resident set by `max_keys` keys, divided by the number of live keys. The texts of the keys
are in memory before and are not counted. `SlidingLog` also keeps the requests, see [](keys.md#memory).
"""
LOGS = [(1, 1), (10, 1), (10, 10), (100, 100)]  # limit, and requests of each key


def measure(effort: Effort, progress: Progress) -> Section:
    title = "Memory"
    if not STATM.exists():
        return Section(title, f"Not measured: this system has no `{STATM}`.")
    ours = {name: _bytes_per_key(name, effort.many, 1_000, 1, progress) for name in OURS if name != "SlidingLog"}
    rows: list[list[Cell]] = [[f"`{name}`", size] for name, size in ours.items()]
    for limit, requests in LOGS:
        size = _bytes_per_key("SlidingLog", effort.many // requests, limit, requests, progress)
        rows.append([f"`SlidingLog`, a limit of {limit}, of which {requests} spent", size])
    rows += [[peer.title, _bytes_per_key(peer.name, effort.many // 10, 1_000, 1, progress)] for peer in present()]
    worst, remark = max((size, name) for name, size in ours.items())
    sizes = {keys: _bytes_of_population(keys, effort.many, progress) for keys in populations(3 * effort.many)}
    over = {keys: size / (LEAST + A_KEY * keys) for keys, size in sizes.items()}
    most = max(over, key=over.__getitem__)
    return Section(
        title,
        TEXT.strip(),
        [
            Table("Bytes a key", ["", "bytes"], rows),
            Table(
                "A `TokenBucket` by its live keys, in a table that has room for all",
                ["keys", "kilobytes", "bytes a key"],
                [[f"{keys:,}", size / 1_000, size / keys] for keys, size in sizes.items()],
            ),
        ],
        [
            Target("resident memory per live key at `max_keys`", 24, worst, "bytes", remark=remark),
            Target("resident memory of n keys", 1, over[most], "x (256 KB + 64 bytes x n)", remark=f"n = {most:,}"),
        ],
    )


def populations(most: int) -> list[int]:
    """Return 1, 3, 10, 30 and so on."""
    return [size for power in range(len(str(most))) for size in (10**power, 3 * 10**power) if size <= most]


def _bytes_of_population(keys: int, room: int, progress: Progress) -> float:
    progress(f"memory of {keys:,} keys")
    size, live = call(grown_by_ours, "TokenBucket", keys, 1, 1, max(keys, room))  # so that all are live for an hour
    if live != keys:
        raise RuntimeError(f"{live:,} of {keys:,} keys are live")
    return float(size)


def _bytes_per_key(name: str, keys: int, limit: int, requests: int, progress: Progress) -> float:
    progress(f"memory of {name}, {keys:,} keys, {requests} requests each")
    size, live = call(grown, name, keys, limit, requests)
    return float(size / live)


def resident() -> int:
    """Return the resident set of this process, in bytes."""
    return int(STATM.read_text().split()[1]) * getpagesize()


def grown(name: str, keys: int, limit: int, requests: int) -> tuple[int, int]:
    """Return the bytes that the keys took, and the number of live keys."""
    return grown_by_ours(name, keys, limit, requests) if name in OURS else grown_by_peer(name, keys, limit)


def grown_by_ours(name: str, keys: int, limit: int, requests: int, room: int | None = None) -> tuple[int, int]:
    numbers = np.arange(keys)
    OURS[name](ratelimit.Quota(limit, HOUR), max_keys=BATCH).allow_many(numbers[:BATCH])  # what batches take
    before = resident()
    limiter = OURS[name](ratelimit.Quota(limit, HOUR), max_keys=room or keys)
    for _ in range(requests):
        for start in range(0, keys, BATCH):
            limiter.allow_many(numbers[start : start + BATCH])
    return resident() - before, len(limiter)


def grown_by_peer(name: str, keys: int, limit: int) -> tuple[int, int]:
    peer = next(peer for peer in PEERS if peer.name == name)
    texts = list(chain.from_iterable(every_key(Scenario(name, keys))))
    peer.make(limit, HOUR)(texts[0])  # the import
    before = resident()
    decide = peer.make(limit, HOUR)
    for text in texts:
        decide(text)
    return resident() - before, keys
