"""The counters of a replay, in memory that does not grow with its length."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._engine.constants import MOMENT_BITS
from .._engine.constants import NS_PER_SECOND as NS

Integer = TypeVar("Integer", bound=np.integer[Any])

NEVER = 1 << MOMENT_BITS  # the wait of a request that is never admitted
BINS = 480  # of a timeline, at most
# Widths of a timeline's bins in nanoseconds; each is a multiple of the one before.
WIDTHS = [
    *(NS // 1_000, NS // 100, NS // 10),
    *(NS * s for s in (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200)),
    *(NS * 86_400 * days for days in (1, 7, 28, 364, 3_640, 36_400)),
]


class Timeline:
    """Counts by time, several rows of them: bins that become wider as the time grows longer.

    Attributes:
        width_ns: of a bin.
        start: the number of the first bin since the epoch.
        counts: rows x bins.
    """

    def __init__(self, rows: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((rows, 0), np.int64)
        self.start = 0
        self._widths = iter(WIDTHS)
        self.width_ns = next(self._widths)

    def cover(self, first: int, last: int) -> None:
        """Have bins for all times from first to last."""
        if not self.counts.shape[1]:
            self.start = first // self.width_ns
        while True:
            bins = self.counts.shape[1]
            begin = min(self.start, first // self.width_ns)
            end = max(self.start + bins, last // self.width_ns + 1)
            if end - begin <= BINS:
                self.counts = np.pad(self.counts, [(0, 0), (self.start - begin, end - self.start - bins)])
                self.start = begin
                return
            self._widen()

    def add(self, row: int, times: NDArray[np.int64]) -> None:
        """Count these times; `cover` them first."""
        bins = self.counts.shape[1]
        self.counts[row] += np.bincount(times // self.width_ns - self.start, minlength=bins)

    def _widen(self) -> None:
        before, self.width_ns = self.width_ns, next(self._widths)
        factor = self.width_ns // before
        bins = self.counts.shape[1]
        left = self.start % factor
        padded = np.pad(self.counts, [(0, 0), (left, -(left + bins) % factor)])
        self.counts = padded.reshape(len(padded), -1, factor).sum(axis=2)
        self.start //= factor


STEPS = 16  # bins of a histogram for each doubling: a quantile is at most 4.5 % too large


@dataclass(frozen=True)
class DurationSummary:
    """How times are distributed, in seconds; the quantiles are rounded up by at most 4.5 %.

    Attributes:
        count: how many there are, those that never end among them.
        never: how many never end.
        mean, median, p90, p99, largest: of the others; 0 if there are no others.
        steps: (up to how long, how many) pairs for a histogram.
    """

    count: int
    never: int
    mean: float
    median: float
    p90: float
    p99: float
    largest: float
    steps: list[tuple[float, int]] = field(repr=False)


class DurationHistogram:
    """A histogram of times in nanoseconds with logarithmic bins."""

    def __init__(self) -> None:
        self.counts = np.zeros(2 + 62 * STEPS, np.int64)  # [0]: no time at all
        self.never = self.largest = 0
        self.total = 0.0

    def add(self, times: NDArray[np.uint64]) -> None:
        ended = times[times < NEVER]
        self.never += len(times) - len(ended)
        if len(ended):
            bins = np.ceil(np.log2(np.maximum(ended, 1)) * STEPS).astype(np.int64) + (ended > 0)
            self.counts += np.bincount(bins, minlength=len(self.counts))
            self.total += float(ended.sum(dtype=np.float64))
            self.largest = max(self.largest, int(ended.max()))

    def summary(self) -> DurationSummary:
        ended = int(self.counts.sum())
        median, p90, p99 = (self._quantile(share, ended) for share in (0.5, 0.9, 0.99))
        steps = [(self._edge(bin), int(self.counts[bin])) for bin in np.flatnonzero(self.counts).tolist()]
        mean = self.total / ended / NS if ended else 0.0
        return DurationSummary(ended + self.never, self.never, mean, median, p90, p99, self.largest / NS, steps)

    def _quantile(self, share: float, ended: int) -> float:
        if not ended:
            return 0.0
        return self._edge(int(np.searchsorted(np.cumsum(self.counts), np.ceil(share * ended))))

    def _edge(self, bin: int) -> float:
        return min(2 ** ((bin - 1) / STEPS), self.largest) / NS if bin else 0.0


def jain(shares: NDArray[np.float64], whole: int = 0) -> float:
    """Jain's fairness index: 1 when all get the same share, 1/n when one of n gets everything.

    Source: Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination" (DEC TR-301, 1984).

    Args:
        whole: how many there are besides, whose share is 1.
    """
    squares = float((shares**2).sum()) + whole
    return (float(shares.sum()) + whole) ** 2 / ((len(shares) + whole) * squares) if squares else 1.0


def grown(counts: NDArray[Integer], size: int) -> NDArray[Integer]:
    """Return the same counts with room for `size` of them, or half as much room again if that is more."""
    if len(counts) >= size:
        return counts
    return np.concatenate([counts, np.zeros(max(size, len(counts) * 3 // 2) - len(counts), counts.dtype)])
