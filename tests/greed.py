"""Greedy processes on one engine, and by how much the worst interval of what they were admitted exceeds a promise.

A promise is about time that passes. So a request's moments are those of the monotonic clock: if the wall clock goes back,
intervals overlap by it that do not. The windows of a fixed window are the wall clock's.
"""

import time
from pathlib import Path

import numpy as np

from ratelimit import FixedWindow, SlidingLog, Table, TokenBucket
from ratelimit._storage.valkey import lease_file

SECOND = 1_000_000_000
MOST = 100_000  # admitted requests of a process that are recorded
KINDS = {
    "token bucket": lambda rate, burst, table: TokenBucket(f"{rate}/second", burst=burst, table=table),
    "fixed window": lambda rate, burst, table: FixedWindow(f"{rate}/second", table=table),
    "sliding log": lambda rate, burst, table: SlidingLog(f"{rate}/second", table=table),
}


class Record:
    """When the admitted requests of a process began and ended, in a file that outlives the process."""

    def __init__(self, folder, number):
        path = Path(folder, f"record{number}")
        if not path.exists():
            path.write_bytes(bytes(16 * (MOST + 1)))
        self.rows = np.memmap(path, np.int64, "r+", shape=(MOST + 1, 2))

    def __len__(self):
        return int(self.rows[0, 0])

    def add(self, begin, end):
        count = len(self)
        self.rows[count + 1] = begin, end
        self.rows[0, 0] = count + 1

    @property
    def stopped(self):
        return bool(self.rows[0, 1])

    def stop(self):
        self.rows[0, 1] = 1

    def spans(self):
        return np.array(self.rows[1 : len(self) + 1])


def spend(url, folder, number, host, kind, rate, burst, **options):
    """Spend greedily until the record is stopped, with the leases of a host in its folder."""
    memory = Path(folder, host)
    lease_file.shared_folder = lambda: memory
    limiter = KINDS[kind](rate, burst, Table.valkey(url, name="greed", **options))
    record, clock_ns = Record(folder, number), clock_of(kind)
    while not record.stopped:
        begin = clock_ns()
        if limiter.allow("k"):
            record.add(begin, clock_ns())


def clock_of(kind):
    """Return the clock by which a promise is measured; it is the same for all processes of this machine."""
    return time.time_ns if kind == "fixed window" else time.monotonic_ns


def wall_ahead():
    """Return how far the wall clock is ahead of the monotonic one, which changes only if it is set."""
    return time.time_ns() - time.monotonic_ns()


def check_promise(kind, records, rate, burst, ahead):
    """Fail if an interval exceeds the promise, with what explains it: the next run may not show it again.

    Args:
        ahead: `wall_ahead()` before the first request. An engine whose clock leaps forward admits more.
    """
    counts, moved = list(map(len, records)), wall_ahead() - ahead
    worst = excess(kind, np.concatenate([record.spans() for record in records]), rate, burst)
    assert worst <= 0, f"{kind}: {worst} more than promised, of {counts}; the wall clock moved by {moved} ns meanwhile"


def excess(kind, spans, rate, burst):
    """Return by how much the worst interval exceeds the promise; a request was decided between its two moments."""
    begins, ends = spans[:, 0], spans[:, 1]
    if kind == "fixed window":
        inside = begins // SECOND == ends // SECOND
        return np.unique(begins[inside] // SECOND, return_counts=True)[1].max() - rate
    worst, order = -MOST, np.argsort(ends)
    begins, ends = begins[order], ends[order]
    for begin in np.unique(begins):
        after = ends[begins >= begin]
        counts = np.arange(1, len(after) + 1)
        if kind == "sliding log":
            worst = max(worst, counts[after < begin + SECOND].max(initial=0) - rate)
        else:
            worst = max(worst, (counts - burst - (after - begin) * rate // SECOND).max())
    return worst
