"""Requests in the order of their moments.

A server writes a line when the request ends, so a log is nearly sorted, but not quite. And several servers, or a
rotation, write several files.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..batch import BATCH_SIZE, Batch, together

HELD = 1_000_000  # requests, at most, that wait for earlier ones


@dataclass
class Sorter:
    """Sorts within a window, and counts.

    Attributes:
        window_ns: how much later than a younger line an older one may come.
        out_of_order: requests that stood behind a younger one.
        late: those of them that were older than the window, and are taken for as young as their forerunner.
    """

    window_ns: int
    out_of_order: int = 0
    late: int = 0
    _newest: int = field(default=-1, repr=False)
    _released: int = field(default=-1, repr=False)

    def sort(self, chunks: Iterable[Batch]) -> Iterator[Batch]:
        """The same requests, sorted."""
        held: list[Batch] = []
        waiting = 0  # requests in held[0], which are sorted
        for chunk in chunks:
            self._look_at(chunk.moments)
            held.append(chunk)
            if sum(len(chunk.moments) for chunk in held) >= max(BATCH_SIZE, 2 * waiting):
                done, rest = self._release(together(held), self._newest - self.window_ns, HELD)
                held, waiting = [rest], len(rest.moments)
                yield done
        if held:
            yield self._release(together(held), self._newest, 0)[0]

    def _look_at(self, moments: NDArray[np.int64]) -> None:
        if len(moments):
            newest = np.maximum.accumulate(np.concatenate([[self._newest], moments]))
            self.out_of_order += int(np.count_nonzero(moments < newest[:-1]))
            self._newest = int(newest[-1])

    def _release(self, chunk: Batch, until: int, most: int) -> tuple[Batch, Batch]:
        late = int(np.count_nonzero(chunk.moments < self._released))
        if late:
            self.late += late
            chunk = chunk._replace(moments=np.maximum(chunk.moments, self._released))
        chunk = chunk.sorted()
        size = len(chunk.moments)
        cut = max(int(np.searchsorted(chunk.moments, until, "right")), size - most)
        if cut:
            self._released = int(chunk.moments[cut - 1])
        return chunk.at(slice(cut)), chunk.at(slice(cut, size))


def merge(streams: list[Iterator[Batch]]) -> Iterator[Batch]:
    """Several sorted streams as one."""
    heads = {number: chunk for number, stream in enumerate(streams) if (chunk := _next(stream)) is not None}
    while heads:
        until = min(int(chunk.moments[-1]) for chunk in heads.values())
        ready = []
        for number, chunk in list(heads.items()):
            cut = int(np.searchsorted(chunk.moments, until, "right"))
            ready.append(chunk.at(slice(cut)))
            rest: Batch | None = chunk.at(slice(cut, len(chunk.moments)))
            if cut == len(chunk.moments):
                rest = _next(streams[number])
            if rest is None:
                del heads[number]
            else:
                heads[number] = rest
        yield together(ready).sorted()


def _next(stream: Iterator[Batch]) -> Batch | None:
    return next((chunk for chunk in stream if len(chunk.moments)), None)
