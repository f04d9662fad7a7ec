"""Requests that are decided while they are logged: which clients would be refused now?"""

import os
import select
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .batch import Batch
from .limits import Limit
from .reading.files import LONGEST, Block

ROOM = 1 << 18  # keys that are live at once
IDLE = 1.0  # seconds without a line, after which the table is drawn again
RECENT = 60_000_000_000  # nanoseconds of log time that the table shows


@dataclass(frozen=True)
class Refusal:
    """Requests of a key, in lines that came together, that a limit would have refused.

    Attributes:
        at_ns: the time of the last of them.
        refused, requests: of the key, in these lines.
        ready_ns: how long it would then have had to wait; NEVER if no wait is long enough.
    """

    at_ns: int
    key: str
    limit: str
    refused: int
    requests: int
    ready_ns: int


class Follower:
    """Limits that decide each batch as it comes.

    Args:
        name: returns the key of an id.

    Attributes:
        requests, first_ns, last_ns: what was seen.
        refused: how many requests each limit would have refused.
        by_key: the same by key, of each limit.
    """

    def __init__(self, limits: list[Limit], name: Callable[[int], str]) -> None:
        self.limits, self.name = limits, name
        self._limiters = [limit.make(ROOM, "allow") for limit in limits]
        self.requests = self.first_ns = self.last_ns = 0
        self.refused = [0] * len(limits)
        self.by_key: list[Counter[str]] = [Counter() for _ in limits]
        self._recent: list[deque[Refusal]] = [deque() for _ in limits]

    def take(self, batch: Batch) -> list[Refusal]:
        """Decide the next requests. A line that is older than one before it counts at that one's time."""
        if not len(batch.times):
            return []
        batch = batch.sorted()
        times = np.maximum(batch.times, self.last_ns)
        self.first_ns = self.first_ns or int(times[0])
        self.last_ns = int(times[-1])
        self.requests += len(times)
        found = []
        for number, limiter in enumerate(self._limiters):
            verdicts = limiter.hit_many(batch.keys, now=times)
            refused = np.flatnonzero(~verdicts["allowed"])
            last = {int(batch.ids[row]): int(row) for row in refused}
            counts = Counter(batch.ids[refused].tolist())
            for key, row in last.items():
                requests = int(np.count_nonzero(batch.ids == key))
                wait = int(verdicts["retry_after_ns"][row])
                refusal = Refusal(
                    int(times[row]), self.name(key), str(self.limits[number]), counts[key], requests, wait
                )
                found.append(refusal)
                self._recent[number].append(refusal)
                self.by_key[number][refusal.key] += refusal.refused
            self.refused[number] += len(refused)
            while self._recent[number] and self._recent[number][0].at_ns <= self.last_ns - RECENT:
                self._recent[number].popleft()
        return found

    def recent(self, number: int) -> Counter[str]:
        """Return how many requests of each key a limit refused in the last minute of the log."""
        counts: Counter[str] = Counter()
        for refusal in self._recent[number]:
            counts[refusal.key] += refusal.refused
        return counts


def live_blocks(source: int, tick: Callable[[], object] = lambda: None) -> Iterator[Block]:
    """Yield the whole lines of a pipe as they come, until it is closed.

    Args:
        source: a file descriptor.
        tick: called before each wait, and once a second while no line comes.
    """
    rest, first = b"", 1
    while True:
        tick()
        if not select.select([source], [], [], IDLE)[0]:
            continue
        piece = os.read(source, 1 << 20)
        data = rest + piece
        end = data.rfind(b"\n") + 1 if piece else len(data)
        lines, rest = data[:end], data[end:][:LONGEST]
        if not piece and lines and not lines.endswith(b"\n"):
            lines += b"\n"
        if lines:
            block = Block("-", first, lines.replace(b"\0", b""))
            first += len(block)
            yield block
        if not piece:
            return
