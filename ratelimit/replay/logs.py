"""Replay the lines of logs."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._engine.constants import NS_PER_SECOND
from ..quota import checked_int
from .batch import COUNTED_KEYS
from .clients import CLASSES, Clients
from .engine import Engine, NoRoom, keys_needed, most
from .limits import Limit
from .reading.timestamps import LATEST
from .report import Report
from .trace import Trace

if TYPE_CHECKING:
    from .reading.formats.base import Format
    from .reading.reader import Reader
    from .reading.where import Where

SAMPLED = 1_024  # of so many requests one is looked at to see how many keys are live
MAX_KEYS = 1 << 18  # live keys for which there is room at first, even if there may be more
LOG_BYTES = 32_000_000  # what a sliding log's times may take at first
GROWTH = 4


def replay_log(
    logs: "str | PathLike[str] | Iterable[str | PathLike[str]]",
    limits: "Iterable[Limit | str] | Limit | str",
    *,
    key: str = "client",
    format: "str | Format | None" = None,
    time: str = "time",
    where: "Where | None" = None,
    since: int = 0,
    until: int = LATEST,
    sample: float = 1.0,
    counted_keys: int = COUNTED_KEYS,
    kinds: bool = False,
    progress: Callable[[int], object] = lambda size: None,
) -> Report:
    """Decide the lines of logs by several limits, in memory that does not grow with the logs.

    Args:
        logs: a path, plain or compressed; several; or "-" for standard input. Lines may be in any order.
        limits: as for `replay`.
        key: what to count by, such as `client`, `client/64` or `user + path/2`; see keys.Key.
        format: a format's name (see docs/replay.md), or a Format; by default found out from the first lines.
        time: the field with the time.
        where, since, until, sample: which requests count, see Reader.
        counted_keys: as for `replay`.
        kinds: whether to find out which of the refused clients look like programs.
        progress: called with the number of bytes that were read.

    Returns: a Report. Interrupted (KeyboardInterrupt), it reports what is known so far.

    Raises: ValueError for a limit, a key or a log that cannot be understood; OSError for one that cannot be read;
        ImportError without the extra `replay`.
    """
    from .reading.reader import Reader

    chosen = Limit.all_of(limits)
    counted_keys = checked_int(counted_keys, "counted_keys", least=0, bits=31)
    reader = Reader(
        paths(logs), key, format=format, time=time, where=where, since=since, until=until, sample=sample,
        counted_keys=counted_keys, profile=kinds, progress=progress,
    )  # fmt: skip
    trace, complete = recorded(reader)
    return decided(reader, trace, chosen, complete)


def recorded(reader: "Reader") -> tuple[Trace, bool]:
    """Everything that a reader reads, and False when it was interrupted.

    Raises: as Reader.batches and Reader.finish.
    """
    trace, complete = Trace(), True
    try:
        for batch in reader.batches():
            trace.add(batch)
    except KeyboardInterrupt:
        complete = False
    if complete or not trace.requests:
        reader.finish()
    return trace, complete


def decided(reader: "Reader", trace: Trace, limits: list[Limit], complete: bool = True) -> Report:
    """Return the report on a trace. If the table of a limit is full, decide everything again with a larger one."""
    rooms = Rooms(trace, None if reader.more_keys else reader.distinct)
    while True:
        engine = Engine(limits, max_keys=rooms.of, counted_keys=reader.key_ids.maximum)
        try:
            complete = engine.run(trace.batches()) and complete
        except NoRoom as full:
            rooms.grow(full.limit)
            continue
        report = engine.report(
            reader.name,
            reader.distinct,
            reader.distinct,
            more_keys=reader.more_keys,
            source=reader.source(),
            complete=complete,
        )
        return _with_kinds(report, reader, trace) if reader.profile else report


def _with_kinds(report: Report, reader: "Reader", trace: Trace) -> Report:
    """Return the report with what the refused clients look like."""
    assert report.counts is not None
    classes = Clients(trace, reader.distinct, reader.agents.texts(), reader.targets.texts(), 60 * NS_PER_SECOND).classes
    outcomes = []
    for outcome, refused in zip(report.outcomes, report.counts.refused, strict=True):
        touched = np.flatnonzero(refused[: reader.distinct])
        numbers = np.bincount(classes[touched], minlength=len(CLASSES))
        kinds = {kind.name: int(numbers[i]) for i, kind in enumerate(CLASSES) if kind.name and numbers[i]}
        named = {reader.name(client): CLASSES[classes[client]].name for client in most(refused, touched)}
        top = [replace(key, kind=named[key.key]) for key in outcome.top]
        outcomes.append(replace(outcome, kinds=kinds, top=top))
    return replace(report, outcomes=outcomes)


class Rooms:
    """How many keys each limit's table has room for.

    A table's memory is taken as keys come, wherever in it they fall; so it cannot simply be large.

    Args:
        distinct: how many keys there are; None if there are too many to know.
    """

    def __init__(self, trace: Trace, distinct: int | None) -> None:
        self._times = _sample(trace)
        self._distinct = len(trace) if distinct is None else distinct
        self._growth: Counter[Limit] = Counter()

    def of(self, limit: Limit) -> int:
        """Return the number of keys that the table of the limit needs, as far as it is known."""
        logs = [
            max(part.quota.limit, 1)
            for part in limit.parts
            if part.algorithm == "sliding-log" and not part.quota.is_unlimited
        ]
        first: int = min([MAX_KEYS, *(max(LOG_BYTES // (24 * size), 1_024) for size in logs)])
        allowed: int = first * GROWTH ** self._growth[limit]
        return min(keys_needed(limit, self._distinct, self._times, SAMPLED), allowed)

    def grow(self, limit: Limit) -> None:
        """Give a limit more room from now on."""
        self._growth[limit] += 1


def _sample(trace: Trace) -> NDArray[np.int64]:
    """Return the time of one in SAMPLED requests."""
    times, skipped = [np.empty(0, np.int64)], 0
    for batch in trace.batches():
        times.append(batch.times[skipped::SAMPLED].copy())  # a view would keep all times in memory
        skipped = (skipped - len(batch.times)) % SAMPLED
    return np.concatenate(times)


def paths(logs: "str | PathLike[str] | Iterable[str | PathLike[str]]") -> list[str]:
    """One or several paths, as a list of texts."""
    listed = [logs] if isinstance(logs, (str, PathLike)) or not isinstance(logs, Iterable) else list(logs)
    if not listed or not all(isinstance(path, (str, PathLike)) for path in listed):
        raise TypeError(f"logs: expected a path (str or Path), several, or '-', got {logs!r}")
    return [fspath(path) for path in listed]
