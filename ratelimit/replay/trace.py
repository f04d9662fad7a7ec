"""Requests on disk, in order of time: they can be decided again and again in bounded memory.

Requests are sorted as they come, a run at a time, and the runs are merged as they are read (an external merge sort).
Nearly sorted logs cost next to nothing: their runs hardly overlap. Requests of one moment keep the order in which they
were added.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import BATCH_SIZE, Batch, together

RUN_SIZE = 1 << 18  # requests that are sorted in memory
MERGED = 1 << 18  # requests of all runs that are in memory while they are merged
SMALLEST_PIECE = 1 << 10


class Trace:
    """Requests on disk, in order of time.

    Add batches, then read them by `batches`, as often as you like. Not thread-safe.

    Args:
        by: the column that they are sorted by.

    Attributes:
        requests: how many there are.
        first_ns, last_ns: the earliest and the latest time; 0 without requests.
    """

    def __init__(self, by: str = "times") -> None:
        self._by = by
        self.requests = 0
        self.first_ns = self.last_ns = 0
        self._file = tempfile.TemporaryFile(dir=spill_folder())  # noqa: SIM115  (it lives as long as the trace)
        self._runs: list[_Run] = []
        self._waiting: list[Batch] = []
        self._waiting_size = 0

    def __len__(self) -> int:
        return self.requests

    def add(self, batch: Batch) -> None:
        """Add requests, in any order."""
        size = len(batch.times)
        if not size:
            return
        self.requests += size
        self._waiting.append(batch)
        self._waiting_size += size
        if self._waiting_size >= RUN_SIZE:
            self._write()

    def batches(self) -> Iterator[Batch]:
        """All requests in order, at most BATCH_SIZE at a time."""
        self._write()
        for batch in _merged(self._runs, self._by):
            for begin in range(0, len(batch.times), BATCH_SIZE):
                yield batch.at(slice(begin, begin + BATCH_SIZE))

    def _write(self) -> None:
        if not self._waiting:
            return
        batch = together(self._waiting).sorted(self._by)
        self._waiting, self._waiting_size = [], 0
        first, last = int(batch.times.min()), int(batch.times.max())
        self.first_ns = min(self.first_ns, first) if self._runs else first
        self.last_ns = max(self.last_ns, last)
        begin = self._file.seek(0, os.SEEK_END)
        for column in batch:
            self._file.write(np.ascontiguousarray(column).data)
        self._file.flush()
        self._runs.append(
            _Run(
                self._file.fileno(),
                begin,
                len(self._runs),
                len(batch.times),
                int(getattr(batch, self._by)[0]),
                [np.empty(0, one.dtype) for one in batch],
                [len(one) > 0 for one in batch],
            )
        )


@dataclass
class _Run:
    """Sorted requests in a file, a column behind the other; a column that the batches did not have is empty."""

    file: int
    begin: int
    number: int
    size: int
    first: int
    empty: list[NDArray[Any]]
    present: list[bool]

    def piece(self, start: int, size: int) -> Batch:
        columns, begin = list(self.empty), self.begin
        for number, kind in enumerate(column.dtype for column in self.empty):
            if self.present[number]:
                data = os.pread(self.file, size * kind.itemsize, begin + start * kind.itemsize)
                columns[number] = np.frombuffer(data, kind)
                begin += self.size * kind.itemsize
        return Batch(*columns)


class _Head:
    """How far a run has been read: a piece of it is in memory."""

    def __init__(self, run: _Run, piece_size: int) -> None:
        self.run, self.piece_size, self.next = run, piece_size, 0
        self.load()

    def load(self) -> None:
        size = min(self.piece_size, self.run.size - self.next)
        self.piece = self.run.piece(self.next, size)
        self.next += size

    def values(self, column: str) -> NDArray[Any]:
        values: NDArray[Any] = getattr(self.piece, column)
        return values

    @property
    def more(self) -> bool:
        """Whether requests of the run are not in memory yet."""
        return self.next < self.run.size

    def take(self, size: int) -> Batch:
        taken, self.piece = self.piece.at(slice(size)), self.piece.at(slice(size, None))
        return taken


def _merged(runs: list[_Run], by: str) -> Iterator[Batch]:
    piece_size = max(MERGED // max(len(runs), 1), SMALLEST_PIECE)
    unopened = sorted(runs, key=lambda run: (run.first, run.number), reverse=True)
    heads: list[_Head] = []
    while heads or unopened:
        if not heads:
            heads.append(_Head(unopened.pop(), piece_size))
        while unopened and unopened[-1].first <= max(int(head.values(by)[-1]) for head in heads):
            heads.append(_Head(unopened.pop(), piece_size))
            heads.sort(key=lambda head: head.run.number)
        # Of a run that goes on, what follows may have the time of its piece's last request, but not an earlier one.
        ends = [int(head.values(by)[-1]) for head in heads if head.more]
        if not ends:
            yield together([head.piece for head in heads]).sorted(by)
            heads = []
            continue
        until = min(ends)
        ready = [head.take(int(np.searchsorted(head.values(by), until, "left"))) for head in heads]
        if any(len(batch.times) for batch in ready):
            yield together(ready).sorted(by)
        else:  # all begin at that time: the first run goes first
            head = next(head for head in heads if head.values(by)[0] == until)
            yield head.take(int(np.searchsorted(head.values(by), until, "right")))
        for head in heads:
            if not len(head.piece.times) and head.more:
                head.load()
        heads = [head for head in heads if len(head.piece.times)]


def spill_folder() -> str:
    """Return the folder for temporary files: one on a disk if there is one, because a tmpfs is memory."""
    folders = [tempfile.gettempdir(), "/var/tmp", os.getcwd()]
    return next((folder for folder in folders if os.access(folder, os.W_OK) and not _in_memory(folder)), folders[0])


def _in_memory(folder: str) -> bool:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return False
    real = os.path.realpath(folder)
    holding = [(point, kind) for point, kind in mounts if f"{real}/".startswith(f"{point.rstrip('/')}/")]
    return max(holding, key=lambda found: len(found[0]), default=("", ""))[1] in ("tmpfs", "ramfs")
