"""Arrays of moments and keys, decided by every limit."""

from collections.abc import Callable, Iterable, Sequence
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import TableFull
from ..quota import checked_int
from ._counting import KeyIds, SlidingCounts
from .batch import BATCH_SIZE, COUNTED_KEYS, Batch, key_text
from .limits import Limit, at_most, memory_ns
from .measures import DurationHistogram, Timeline, grown, jain
from .reading.timestamps import LATEST, LATEST_YEAR
from .report import KeyCount, Largest, Outcome, Report, Source

MAX_KEYS = 1 << 18  # live keys for which a log's replay begins with room
LOG_BYTES = 32_000_000  # what a sliding log's moments may take to begin with
GROWTH = 4
SPARE = 4  # times as much room as there are live keys: then a search is short
STEP = 1_024
TOP = 10
SHARES = (0.0, 0.01, 0.1, 0.5, 1.0)


def replay(
    moments: ArrayLike,
    keys: "ArrayLike | Sequence[object]",
    limits: "Iterable[Limit | str] | Limit | str",
    *,
    keep: bool = False,
    counted_keys: int = COUNTED_KEYS,
    progress: Callable[[int], object] = lambda decided: None,
) -> Report:
    """Decide requests by several limits, each on its own.

    Args:
        moments: n of them, integer nanoseconds since the epoch; if they are not sorted, they are decided in their
            order.
        keys: n integers (fastest), or n of str or bytes: an array, a list, or a column of a table that is as
            good as one.
        limits: such as `"token-bucket 10/second burst 20"`, see Limit; one or several.
        keep: whether each outcome has its n decisions, as `allowed`.
        counted_keys: how many keys are counted each for itself; all others share one count. Decisions are not
            touched by it.
        progress: called after each part with the number of its decisions.

    Returns: a Report. Interrupted (KeyboardInterrupt), it reports what is known so far.

    Raises: TypeError, ValueError, naming the argument, its value and what is accepted.
    """
    counted_keys = checked_int(counted_keys, "counted_keys", least=0, bits=31)
    when = _moments(moments)
    numerals, name = _numerals(keys, len(when))
    numbers = KeyIds(counted_keys)
    chunk = Batch(when, numerals, numbers.of(numerals))
    order = np.argsort(when, kind="stable") if (when[1:] < when[:-1]).any() else None
    if order is not None:
        chunk = chunk.at(order)
    distinct = numbers.size if numbers.size < counted_keys else _distinct(numerals)
    engine = Engine(
        limits,
        max_keys=lambda limit: room(limit, distinct, chunk.moments),
        counted_keys=counted_keys,
        keep=keep,
        progress=progress,
    )
    complete = engine.run([chunk])
    known = numbers.known()
    return engine.report(lambda number: name(known[number]), numbers.size, distinct, complete=complete, order=order)


def room(limit: Limit, distinct: int, moments: NDArray[np.int64]) -> int:
    """Enough for all keys that are live at once, of so many with sorted moments; a small table is a fast one."""
    live = busiest(moments, max(map(memory_ns, limit.parts)))
    return max(min(distinct, SPARE * live), 1)


def busiest(moments: NDArray[np.int64], span_ns: int) -> int:
    """No interval of this length has more of the sorted moments; it may be some less than this number."""
    starts = np.arange(0, len(moments), STEP)
    ends = np.searchsorted(moments, moments[STEP - 1 :: STEP] + span_ns, "right")
    return int((np.append(ends, len(moments))[: len(starts)] - starts).max(initial=0))


def first_room(limit: Limit) -> int:
    """For how many live keys there is room before it is known how many there will be.

    A table's memory is taken as keys come, wherever in it they fall; so it cannot simply be large.
    """
    logs = [part.quota.limit for part in limit.parts if part.algorithm == "sliding-log"]
    return min([MAX_KEYS, *(max(LOG_BYTES // (24 * size), 1_024) for size in logs)])


class NoRoom(TableFull):
    """The table of one of several limiters is full."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"{limit}: more keys are live at once than there is room for")
        self.limit = limit


class Engine:
    """Limits that decide chunk after chunk, and what was counted meanwhile.

    Args:
        limits: see `replay`.
        max_keys: how many keys may be live at once, by limit.
        counted_keys: how many keys are counted each for itself; they have the lowest numbers.
        on_full: the effect of more than `max_keys` live keys: "raise" (NoRoom), or "deny", which the report then shows.
    """

    def __init__(
        self,
        limits: "Iterable[Limit | str] | Limit | str",
        *,
        max_keys: Callable[[Limit], int],
        counted_keys: int = COUNTED_KEYS,
        on_full: str = "raise",
        keep: bool = False,
        progress: Callable[[int], object] = lambda decided: None,
    ) -> None:
        parsed = Limit.all_of(limits)
        self.trials = [LimitRun(limit, max_keys(limit), counted_keys, on_full, keep) for limit in parsed]
        self.timeline = Timeline(1 + len(self.trials))
        self.requests_by_key = np.zeros(1024, np.int64)
        self.requests = 0
        self.first, self.last = 0, 0
        self.progress = progress

    def run(self, chunks: Iterable[Batch]) -> bool:
        """Decide all; False when it was interrupted."""
        try:
            for chunk in chunks:
                for begin in range(0, len(chunk.moments), BATCH_SIZE):
                    self.decide(chunk.at(slice(begin, begin + BATCH_SIZE)))
        except KeyboardInterrupt:
            return False
        return True

    def decide(self, chunk: Batch) -> None:
        """Decide a chunk that is sorted, and not before those that came before it."""
        size = len(chunk.moments)
        if not size:
            return
        first, last = int(chunk.moments[0]), int(chunk.moments[-1])
        self.timeline.cover(first, last)
        self.timeline.add(0, chunk.moments)
        self.requests_by_key = grown(self.requests_by_key, int(chunk.numbers.max()) + 1)
        np.add.at(self.requests_by_key, chunk.numbers, 1)
        for row, trial in enumerate(self.trials, 1):
            self.timeline.add(row, trial.decide(chunk))
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
        source: Source | None = None,
        complete: bool = True,
        order: NDArray[np.intp] | None = None,
    ) -> Report:
        """Return the results so far: `name` maps a number to its key, `counted` of the `keys` have a number."""
        requests = grown(self.requests_by_key, counted)[:counted]
        return Report(
            requests=self.requests,
            keys=keys,
            counted_keys=counted,
            first_ns=self.first,
            last_ns=self.last,
            start_ns=self.timeline.start * self.timeline.width_ns,
            bin_ns=self.timeline.width_ns,
            requests_over_time=self.timeline.counts[0].tolist(),
            outcomes=[
                trial.outcome(requests, name, over, order)
                for trial, over in zip(self.trials, self.timeline.counts[1:].tolist(), strict=True)
            ],
            source=source,
            complete=complete,
        )


class LimitRun:
    """One limit and what was counted of its decisions."""

    def __init__(self, limit: Limit, max_keys: int, counted_keys: int, on_full: str, keep: bool) -> None:
        self.limit = limit
        self.limiter = limit.make(max_keys, on_full)
        self.views = [SlidingCounts(part.quota.period_ns, counted_keys) for part in limit.parts]
        self.refused_by_key = np.zeros(1024, np.int64)
        self.admitted = self.refused = 0
        self.waits = DurationHistogram()
        self.delays = DurationHistogram() if any(part.algorithm == "leaky-bucket" for part in limit.parts) else None
        self.kept: list[NDArray[np.bool_]] | None = [] if keep else None
        self.seconds = 0.0

    def decide(self, chunk: Batch) -> NDArray[np.int64]:
        """The moments of those that are refused."""
        began = thread_time()
        try:
            verdicts = self.limiter.hit_many(chunk.keys, now=chunk.moments)
        except TableFull:
            raise NoRoom(self.limit) from None
        allowed = np.ascontiguousarray(verdicts["allowed"])
        refused = np.flatnonzero(~allowed)
        for view in self.views:
            view.admit(chunk.numbers, chunk.moments, allowed.view(np.uint8))
        if self.delays is not None:
            self.delays.add(verdicts["delay_ns"][allowed])
        if len(refused):
            numbers = chunk.numbers[refused]
            self.refused_by_key = grown(self.refused_by_key, int(numbers.max()) + 1)
            np.add.at(self.refused_by_key, numbers, 1)
            self.waits.add(verdicts["retry_after_ns"][refused])
        if self.kept is not None:
            self.kept.append(allowed)
        self.admitted += len(allowed) - len(refused)
        self.refused += len(refused)
        self.seconds += thread_time() - began
        return chunk.moments[refused]

    def outcome(
        self,
        requests: NDArray[np.int64],
        name: Callable[[int], str],
        refused_over_time: list[int],
        order: NDArray[np.intp] | None,
    ) -> Outcome:
        refused = grown(self.refused_by_key, len(requests))[: len(requests)]
        seen = requests > 0
        shares = refused[seen] / requests[seen]
        top = np.argsort(-refused, kind="stable")[:TOP].tolist()
        allowed = None
        if self.kept is not None:
            allowed = np.concatenate([np.empty(0, bool), *self.kept])
            if order is not None:
                allowed[order[: len(allowed)]] = allowed.copy()
        return Outcome(
            limit=str(self.limit),
            admitted=self.admitted,
            refused=self.refused,
            keys_refused=int(np.count_nonzero(refused)),
            keys_by_share=list(zip(SHARES, _by_share(shares), strict=True)),
            fairness=jain(1 - shares),
            top=[KeyCount(name(key), int(requests[key]), int(refused[key])) for key in top if refused[key]],
            waits=self.waits.spread(),
            delays=self.delays.spread() if self.delays else None,
            largest=[
                Largest(
                    part.algorithm, str(part.quota), part.quota.limit, part.quota.period, view.largest, at_most(part),
                    name(view.number) if view.largest else "", view.at, view.left_out,
                )
                for part, view in zip(self.limit.parts, self.views, strict=True)
            ],
            refused_over_time=refused_over_time,
            full=sum(limiter.full_count for limiter in getattr(self.limiter, "limiters", [self.limiter])),
            seconds=self.seconds,
            allowed=allowed,
        )  # fmt: skip


def _by_share(shares: NDArray[np.float64]) -> list[int]:
    """How many lie in each of the intervals that end with the SHARES."""
    return np.bincount(np.searchsorted(SHARES, shares), minlength=len(SHARES)).tolist()  # type: ignore[no-any-return]


def _moments(moments: ArrayLike) -> NDArray[np.int64]:
    array = given = np.asarray(moments)
    if array.ndim != 1 or (array.dtype.kind not in "iuM" and len(array)):
        raise TypeError(
            "moments must be a one-dimensional array of integer nanoseconds since the epoch (or datetime64), "
            f"not of {array.dtype} and shape {array.shape}"
        )
    latest: Any = LATEST
    if array.dtype.kind == "M":
        years = given.astype("datetime64[Y]").astype(np.int64)  # whose nanoseconds could be too many for 64 bits
        array = np.where((years >= 0) & (years <= LATEST_YEAR - 1970), given, np.datetime64("NaT"))
        array = array.astype("datetime64[ns]").astype(np.int64)
        latest = np.datetime64(LATEST, "ns")
    wrong = np.flatnonzero((array < 0) | (array > LATEST))
    if len(wrong):
        raise ValueError(f"moments must be from 0 to {latest}, not {given[wrong[0]]} (at index {wrong[0]})")
    return array.astype(np.int64)


def _distinct(numerals: NDArray[np.uint64]) -> int:
    """How many there are. (np.unique hashes them, which for a million takes ten times as long.)"""
    ordered = np.sort(numerals)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)


def _numerals(keys: Any, size: int) -> tuple[NDArray[np.uint64], Callable[[np.uint64], str]]:
    """Keys as 64 bits each, of texts their hashes by Python's own SipHash; and what such a number stands for."""
    if isinstance(keys, (str, bytes)) or not (isinstance(keys, Sequence) or hasattr(keys, "__array__")):
        raise TypeError(f"keys must be an array of integers, bytes or str, or a list, not {type(keys).__name__}")
    if isinstance(keys, Sequence):
        array = _list_of_one_kind(list(keys))
    else:
        array = np.asarray(keys)
        if array.ndim == 1 and array.dtype.kind == "O":
            array = _list_of_one_kind(array.tolist())
    if array.ndim != 1:
        raise TypeError(f"keys must be a one-dimensional array, not one of shape {array.shape}")
    if len(array) != size:
        raise ValueError(f"keys must be as many as there are moments, {size}, not {len(array)}")
    if array.dtype.kind in "iu" or not size:
        wide: type = np.uint64 if array.dtype.kind == "u" else np.int64
        return array.astype(wide).view(np.uint64), lambda numeral: str(numeral.astype(wide))
    if array.dtype.kind not in "SU":
        raise TypeError(f"keys must be integers, bytes or str, not of {array.dtype}")
    distinct, codes = np.unique(array, return_inverse=True)
    hashes = np.array([hash(key) for key in distinct.tolist()], np.int64).view(np.uint64)
    names = dict(zip(hashes.tolist(), distinct.tolist(), strict=True))
    return hashes[codes], lambda numeral: key_text(names[int(numeral)])


def _list_of_one_kind(keys: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, keys))
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        try:
            return np.array(keys, np.int64)
        except OverflowError:
            pass
        try:
            return np.array(keys, np.uint64)
        except OverflowError:
            raise ValueError("keys must be integers of 64 bits, all signed or all unsigned") from None
    if kinds not in ({str}, {bytes}):
        raise TypeError(
            "keys must be integers, bytes or str, all of one kind, not of "
            + ", ".join(sorted(kind.__name__ for kind in kinds))
        )
    return np.array(keys)
