"""Search for the smallest limits that refuse no more than a given share."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache

import numpy as np

from ..errors import TableFull
from ..language import LimitSpec
from ..quota import Quota
from .limits import Limit, at_most, at_once
from .logs import Rooms
from .report import Suggestion
from .trace import Trace

BURSTS = [round(size * 10**power) for power in range(7) for size in (1, 1.5, 2, 3, 5, 7)]


class Replays:
    """A trace that is decided again and again."""

    def __init__(self, trace: Trace, rooms: Rooms) -> None:
        self.trace, self.rooms = trace, rooms

    def __len__(self) -> int:
        return len(self.trace)

    def refused(self, limit: Limit) -> int:
        """How many requests the limit refuses."""
        while True:
            limiter = limit.make(self.rooms.of(limit))
            try:
                return sum(
                    int(np.count_nonzero(~limiter.allow_many(batch.keys, now=batch.times)))
                    for batch in self.trace.batches()
                )
            except TableFull:
                self.rooms.grow(limit)


def suggest(
    trace: Replays, algorithm: str, allowed: int, period_ns: int, replayed: Callable[[int], object]
) -> Suggestion | None:
    """Find the smallest limit that refuses at most `allowed` requests of the trace.

    For windows it is the smallest number. A bucket has two: for each of a row of bursts the smallest rate is
    looked for, and the pair that can admit least in a period is taken; then the burst is lowered as far as it goes.
    Each number is found by bisection: a larger one never refuses more in these algorithms, up to single
    requests in the sliding window's estimate. None when no limit does, up to the number of requests.
    """
    # With as many as there are requests no window refuses one of them; of a bucket's rate, more is useless.
    too_many = smallest(lambda number: not accepted(algorithm, number, period_ns, None), len(trace) + 1)

    @cache
    def refused(number: int, burst: int | None) -> int:
        count = trace.refused(Limit((part(algorithm, number, period_ns, burst),)))
        replayed(len(trace))
        return count

    def number_for(burst: int | None, below: int) -> int:
        return smallest(lambda number: refused(number, burst) <= allowed, below)

    burst: int | None = None
    if algorithm in ("token-bucket", "leaky-bucket"):
        number, least = too_many, 2 * too_many  # of number + burst
        for candidate in BURSTS:
            if candidate + 1 >= least:
                break
            below = min(least - candidate, too_many)
            found = number_for(candidate, below)
            if found < below:
                number, burst, least = found, candidate, found + candidate
        if burst is not None:
            burst = smallest(lambda size: refused(number, size) <= allowed, burst + 1)
    else:
        number = number_for(None, too_many)
    if number == too_many:
        return None
    best = part(algorithm, number, period_ns, burst)
    return Suggestion(
        algorithm,
        str(best),
        number,
        at_once(best),
        refused(number, burst),
        refused(number, burst) / max(len(trace), 1),
        at_most(best),
    )


def curve(
    trace: Replays, found: Suggestion, numbers: Iterable[int], period_ns: int, replayed: Callable[[int], object]
) -> Suggestion:
    """Return the suggestion with a curve: the share that limits of these numbers refuse."""
    burst = found.at_once if found.algorithm in ("token-bucket", "leaky-bucket") else None
    points = []
    for number in numbers:
        points.append(
            (number, trace.refused(Limit((part(found.algorithm, number, period_ns, burst),))) / max(len(trace), 1))
        )
        replayed(len(trace))
    return Suggestion(**{**asdict(found), "curve": points})


def part(algorithm: str, number: int, period_ns: int, burst: int | None) -> LimitSpec:
    """`burst` is the most at one moment; a leaky bucket's capacity is one less, for one is served."""
    quota = Quota(number, period_ns / 1e9 if period_ns % 10**9 else period_ns // 10**9)
    if burst is None:
        return LimitSpec(algorithm, quota)
    return LimitSpec(algorithm, quota, {"capacity": burst - 1} if algorithm == "leaky-bucket" else {"burst": burst})


def accepted(algorithm: str, number: int, period_ns: int, burst: int | None) -> bool:
    """Whether there is such a limit: a sliding log's and a sliding window's numbers have bounds."""
    try:
        part(algorithm, number, period_ns, burst)
    except ValueError:
        return False
    return True


def smallest(holds: Callable[[int], bool], below: int) -> int:
    """Return the smallest number from 1 for which it holds, or `below` if no smaller number does."""
    if below <= 1 or not holds(below - 1):
        return below
    high = 1
    while high < below and not holds(high):
        high *= 2
    low = high // 2 + 1
    high = min(high, below - 1)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high


def grid(found: list[Suggestion], period_ns: int) -> list[int]:
    """Round numbers from well below all that were found to well above, as far as all have such limits."""
    numbers = [one.number for one in found]
    low, high = max(min(numbers) // 8, 1), 3 * max(numbers)
    return [
        number
        for number in sorted({1, *BURSTS})
        if low <= number <= high and all(accepted(one.algorithm, number, period_ns, None) for one in found)
    ]
