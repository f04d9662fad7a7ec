"""Greedy processes on one engine, and by how much the worst interval of what they were admitted exceeds a promise."""

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
    record = Record(folder, number)
    while not record.stopped:
        begin = time.time_ns()
        if limiter.allow("k"):
            record.add(begin, time.time_ns())


def excess(kind, spans, rate, burst):
    """Return by how much the worst interval exceeds the promise; a request was decided between its two moments."""
    begins, ends = spans[:, 0], spans[:, 1]
    if kind == "fixed window":
        inside = begins // SECOND == ends // SECOND
        return np.unique(begins[inside] // SECOND, return_counts=True)[1].max() - rate
    worst = -MOST
    for begin in np.unique(begins)[::3]:
        after = np.sort(ends[begins >= begin])
        counts = np.arange(1, len(after) + 1)
        if kind == "sliding log":
            worst = max(worst, counts[after < begin + SECOND].max(initial=0) - rate)
        else:
            worst = max(worst, (counts - burst - (after - begin) * rate // SECOND).max())
    return worst
