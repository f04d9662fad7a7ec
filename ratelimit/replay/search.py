"""Search for the smallest limits that touch few clients, or refuse few requests."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .._limiter import parameters
from ..language import LimitSpec
from ..quota import Quota, seconds_of
from ._grouped import Refusals
from .batch import Batch
from .limits import Limit
from .trace import Trace

BURSTS = [round(size * 10**power) for power in range(7) for size in (1, 1.5, 2, 3, 5, 7)]


class Replays:
    """Requests that are decided again and again, client by client.

    Args:
        trace: it has an id for each client.
        replayed: called with the number of decisions made.
    """

    def __init__(self, trace: Trace, replayed: Callable[[int], object] = lambda size: None) -> None:
        self.replayed = replayed
        unmerged, self._grouped = Trace(by="keys"), Trace(by="keys")
        for batch in trace.batches():
            unmerged.add(Batch(*batch[:3]))
        for batch in unmerged.batches():  # they are merged only once: now the runs of the result do not overlap
            self._grouped.add(batch)

    def __len__(self) -> int:
        return len(self._grouped)

    def refused(self, limit: Limit) -> int:
        """Return how many requests the limit refuses."""
        return int(self.refused_by_client(limit, 0).sum())

    def touched(self, limit: Limit, size: int, enough: int) -> int:
        """Return how many of the first `size` clients the limit refuses at least once; stop beyond `enough`."""
        return self._decided(limit, size, enough).touched

    def refused_by_client(self, limit: Limit, size: int) -> NDArray[np.int64]:
        """For each client how many requests the limit refuses; at last, for all with other ids."""
        return self._decided(limit, size, None).counts

    def _decided(self, limit: Limit, size: int, enough: int | None) -> Refusals:
        [spec] = limit.parts
        measure = getattr(parameters, spec.algorithm.replace("-", "_"))
        refusals = Refusals(measure(spec.quota, **dict(spec.options)), size)
        for batch in self._grouped.batches():
            refusals.add(batch.keys, batch.ids, batch.times)
            self.replayed(len(batch.times))
            if enough is not None and refusals.touched > enough:
                break
        return refusals


def suggest(
    measure: Callable[[Limit], int], algorithm: str, allowed: int, period_ns: int, below: int
) -> LimitSpec | None:
    """Find the smallest limit of which `measure` is at most `allowed`.

    For windows it is the smallest number. A bucket has two: its rate begins at the number of the sliding log, which is
    what clients send in a period; the burst is the smallest with that rate; then the rate is lowered as far as it goes
    with that burst. Each number is found by bisection: a larger one never refuses more in these algorithms, up to
    single requests in the sliding window's estimate. None when no limit with a number less than `below` does.
    """

    def number_for(algorithm: str, below: int, burst: int | None = None) -> int:
        below = smallest(lambda number: not is_possible(algorithm, number, period_ns, burst), below)
        found = smallest(lambda number: holds(algorithm, number, burst), below)
        return 0 if found == below else found

    def holds(algorithm: str, number: int, burst: int | None) -> bool:
        return measure(Limit((spec_of(algorithm, number, period_ns, burst),))) <= allowed

    if algorithm not in ("token-bucket", "leaky-bucket"):
        number = number_for(algorithm, below)
        return spec_of(algorithm, number, period_ns, None) if number else None
    rate = number_for("sliding-log", below) or number_for("fixed-window", below)
    burst = smallest(lambda size: holds(algorithm, rate, size), below) if rate else below
    if burst == below:
        return None
    return spec_of(algorithm, number_for(algorithm, rate + 1, burst), period_ns, burst)


def spec_of(algorithm: str, number: int, period_ns: int, burst: int | None) -> LimitSpec:
    """Make a limit. `burst` is the most at one moment; a leaky bucket's capacity is one less, for one is served."""
    quota = Quota(number, seconds_of(period_ns))
    if burst is None:
        return LimitSpec(algorithm, quota)
    return LimitSpec(algorithm, quota, {"capacity": burst - 1} if algorithm == "leaky-bucket" else {"burst": burst})


def is_possible(algorithm: str, number: int, period_ns: int, burst: int | None) -> bool:
    """Return whether such a limit can be made: a sliding log's and a sliding window's numbers have bounds."""
    try:
        spec_of(algorithm, number, period_ns, burst)
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


def grid(numbers: list[int]) -> list[int]:
    """Return round numbers from well below all of these to well above."""
    low, high = max(min(numbers) // 3, 1), 4 * max(numbers)
    return [number for number in sorted({1, *BURSTS}) if low <= number <= high]
