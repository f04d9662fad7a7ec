"""Batches of requests, decided by every limit."""

from collections.abc import Callable, Iterable
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from ..errors import TableFull
from ._counting import SlidingCounts
from .batch import BATCH_SIZE, COUNTED_KEYS, Batch
from .limits import Limit, at_most, memory_ns
from .measures import DurationHistogram, Timeline, grown, jain
from .report import Counts, KeyCount, Largest, Outcome, Report, Source

SPARE = 4  # times as many as are live, so that a search is short
STEP = 1_024
TOP = 10
SHARES = (0.0, 0.01, 0.1, 0.5, 1.0)


def keys_needed(limit: Limit, distinct: int, times: NDArray[np.int64], step: int = 1) -> int:
    """Return how many keys a table needs room for, so that all that are live at once fit; a small table is a fast one.

    Args:
        distinct: how many keys there are.
        times: sorted; of every `step` requests the first one.
    """
    live = busiest(times, max(map(memory_ns, limit.parts)), step)
    return max(min(distinct, SPARE * live), 1)


def busiest(times: NDArray[np.int64], span_ns: int, step: int = 1) -> int:
    """Return the largest number of sorted times in an interval of this length, or slightly more."""
    if step > 1:  # between two of the given times there are step - 1 others
        return int((np.searchsorted(times, times + span_ns, "right") - np.arange(len(times)) + 1).max(initial=0)) * step
    starts = np.arange(0, len(times), STEP)
    ends = np.searchsorted(times, times[STEP - 1 :: STEP] + span_ns, "right")
    return int((np.append(ends, len(times))[: len(starts)] - starts).max(initial=0))


class NoRoom(TableFull):
    """The table of one of several limiters is full."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"{limit}: more keys are live at once than there is room for")
        self.limit = limit


class Engine:
    """Limits that decide batch after batch, and what was counted meanwhile.

    Args:
        limits: see `replay`.
        max_keys: how many keys may be live at once, by limit; NoRoom is raised when there are more.
        counted_keys: how many keys are counted one by one; they have the lowest ids.
        keep: whether each decision is kept.
        progress: called with the number of decisions made.
    """

    def __init__(
        self,
        limits: "Iterable[Limit | str] | Limit | str",
        *,
        max_keys: Callable[[Limit], int],
        counted_keys: int = COUNTED_KEYS,
        keep: bool = False,
        progress: Callable[[int], object] = lambda decided: None,
    ) -> None:
        parsed = Limit.all_of(limits)
        self.runs = [LimitRun(limit, max_keys(limit), counted_keys, keep) for limit in parsed]
        self.timeline = Timeline(1 + len(self.runs))
        self.requests_by_key = np.zeros(1024, np.int64)
        self.requests = 0
        self.first, self.last = 0, 0
        self.progress = progress

    def run(self, batches: Iterable[Batch]) -> bool:
        """Decide all requests; False when it was interrupted (KeyboardInterrupt)."""
        try:
            for batch in batches:
                for begin in range(0, len(batch.times), BATCH_SIZE):
                    self.decide(batch.at(slice(begin, begin + BATCH_SIZE)))
        except KeyboardInterrupt:
            return False
        return True

    def decide(self, batch: Batch) -> None:
        """Decide a sorted batch whose requests are not earlier than those of the batches before it."""
        size = len(batch.times)
        if not size:
            return
        first, last = int(batch.times[0]), int(batch.times[-1])
        self.timeline.cover(first, last)
        self.timeline.add(0, batch.times)
        self.requests_by_key = grown(self.requests_by_key, int(batch.ids.max()) + 1)
        np.add.at(self.requests_by_key, batch.ids, 1)
        for row, run in enumerate(self.runs, 1):
            self.timeline.add(row, run.decide(batch))
            self.progress(size)
        self.first = self.first if self.requests else first
        self.last = last
        self.requests += size

    def report(
        self,
        name: Callable[[int], str],
        counted: int,
        keys: int,
        *,
        more_keys: bool = False,
        source: Source | None = None,
        complete: bool = True,
        order: NDArray[np.intp] | None = None,
    ) -> Report:
        """Return the results.

        Args:
            name: returns the key of an id.
            counted, keys: how many keys have an id of their own, and how many there are, or `more_keys` than that.
            order: the place of each request before they were sorted.
        """
        requests = grown(self.requests_by_key, counted)[:counted]
        return Report(
            requests=self.requests,
            keys=keys,
            more_keys=more_keys,
            counted_keys=counted,
            first_ns=self.first,
            last_ns=self.last,
            start_ns=self.timeline.start * self.timeline.width_ns,
            bin_ns=self.timeline.width_ns,
            requests_over_time=self.timeline.counts[0].tolist(),
            outcomes=[
                run.outcome(requests, name, over, order)
                for run, over in zip(self.runs, self.timeline.counts[1:].tolist(), strict=True)
            ],
            source=source,
            complete=complete,
            counts=Counts(
                name, counted, grown(self.requests_by_key, counted), [run.refused_by_key for run in self.runs]
            ),
        )


class LimitRun:
    """One limit and what was counted of its decisions."""

    def __init__(self, limit: Limit, max_keys: int, counted_keys: int, keep: bool) -> None:
        self.limit = limit
        self.limiter = limit.make(max_keys)
        self.sliding = [SlidingCounts(part.quota.period_ns, counted_keys) for part in limit.parts]
        self.refused_by_key = np.zeros(1024, np.uint32)
        self.admitted = self.refused = 0
        self.waits = DurationHistogram()
        self.delays = DurationHistogram() if any(part.algorithm == "leaky-bucket" for part in limit.parts) else None
        self.kept: list[NDArray[np.bool_]] | None = [] if keep else None
        self.seconds = 0.0

    def decide(self, batch: Batch) -> NDArray[np.int64]:
        """Decide a batch; the times of the refused requests."""
        began = thread_time()
        try:
            verdicts = self.limiter.hit_many(batch.keys, now=batch.times)
        except TableFull:
            raise NoRoom(self.limit) from None
        allowed = np.ascontiguousarray(verdicts["allowed"])
        refused = np.flatnonzero(~allowed)
        for counts in self.sliding:
            counts.admit(batch.ids, batch.times, allowed.view(np.uint8))
        if self.delays is not None:
            self.delays.add(verdicts["delay_ns"][allowed])
        if len(refused):
            ids = batch.ids[refused]
            self.refused_by_key = grown(self.refused_by_key, int(ids.max()) + 1)
            np.add.at(self.refused_by_key, ids, 1)
            self.waits.add(verdicts["retry_after_ns"][refused])
        if self.kept is not None:
            self.kept.append(allowed)
        self.admitted += len(allowed) - len(refused)
        self.refused += len(refused)
        self.seconds += thread_time() - began
        return batch.times[refused]

    def outcome(
        self,
        requests: NDArray[np.int64],
        name: Callable[[int], str],
        refused_over_time: list[int],
        order: NDArray[np.intp] | None,
    ) -> Outcome:
        # Of a million clients usually few are refused anything: only those are looked at one by one.
        touched = np.flatnonzero(self.refused_by_key[: len(requests)])
        refused = self.refused_by_key[touched].astype(np.int64)
        shares = refused / requests[touched]
        untouched = int(np.count_nonzero(requests)) - len(touched)
        by_share = _by_share(shares)
        by_share[0] += untouched
        top = most(self.refused_by_key, touched)
        allowed = None
        if self.kept is not None:
            allowed = np.concatenate([np.empty(0, bool), *self.kept])
            if order is not None:
                allowed[order[: len(allowed)]] = allowed.copy()
        return Outcome(
            limit=str(self.limit),
            admitted=self.admitted,
            refused=self.refused,
            keys_refused=len(touched),
            more_keys_refused=bool(self.refused_by_key[len(requests) :].any()),
            keys_by_share=list(zip(SHARES, by_share, strict=True)),
            fairness=jain(1 - shares, untouched),
            top=[KeyCount(name(key), int(requests[key]), int(self.refused_by_key[key])) for key in top],
            waits=self.waits.summary(),
            delays=self.delays.summary() if self.delays else None,
            largest=[
                Largest(
                    part.algorithm, str(part.quota), part.quota.limit, part.quota.period, counts.largest, at_most(part),
                    name(counts.id) if counts.largest else "", counts.at, counts.left_out,
                )
                for part, counts in zip(self.limit.parts, self.sliding, strict=True)
            ],
            refused_over_time=refused_over_time,
            seconds=self.seconds,
            allowed=allowed,
        )  # fmt: skip


def most(refused: NDArray[np.uint32], touched: NDArray[np.intp]) -> list[int]:
    """Return the keys most refused, of the touched ones."""
    order = np.argsort(-refused[touched].astype(np.int64), kind="stable")[:TOP]
    return touched[order].tolist()  # type: ignore[no-any-return]


def _by_share(shares: NDArray[np.float64]) -> list[int]:
    """How many lie in each of the intervals that end with the SHARES."""
    return np.bincount(np.searchsorted(SHARES, shares), minlength=len(SHARES)).tolist()  # type: ignore[no-any-return]
