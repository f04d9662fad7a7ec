"""Logs as chunks of requests in the order of their moments."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .._counting import KeyIds
from ..batch import COUNTED_KEYS, Batch, key_text
from ..report import Source
from .files import Block, read_blocks
from .formats import FORMATS, Format, Rows, format_of
from .keys import Key
from .merge import Sorter, merge
from .timestamps import BROKEN, CLF_SIZE, from_clf, from_text

SHOWN = 5  # broken lines
SHOWN_SIZE = 120


class Reader:
    """Requests of one or several logs, and what was met on the way.

    Args:
        sources: paths, or "-" for standard input.
        key: what to count by, see Key.
        format: one of logs.FORMATS; by default found out from each source's first lines.
        time: the field with the moment; by default `time` or another usual name.
        window: seconds within which lines are sorted.
        counted_keys: how many keys get a number, and have their name kept.
        progress: is told how many bytes were read.
    """

    def __init__(
        self,
        sources: list[str],
        key: str = "client",
        *,
        format: str | None = None,
        time: str = "time",
        window: float = 60,
        counted_keys: int = COUNTED_KEYS,
        progress: Callable[[int], object] = lambda size: None,
    ) -> None:
        if not isinstance(window, (int, float)) or not 0 <= window < float("inf"):
            raise ValueError(f"window must be finite seconds of zero or more, not {window!r}")
        if format is not None and format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
        self.sources, self.key, self.format, self.time = sources, Key.parse(key), format, time
        self.key_text, self.window, self.progress = key, window, progress
        self.sorters = [Sorter(round(window * 1e9)) for _ in sources]
        self.numbers = KeyIds(counted_keys)
        self.names: list[bytes] = []  # by number
        self.lines = self.broken = 0
        self.beyond = 0  # 1 when there was a key without a number
        self.broken_lines: list[tuple[str, int, str]] = []
        self.damaged: list[tuple[str, str]] = []
        self.absent = dict.fromkeys(self.key.fields)  # of the key: those that no line had so far

    def chunks(self) -> Iterator[Batch]:
        """All requests, sorted."""
        streams = zip(self.sorters, self.sources, strict=True)
        return merge([sorter.sort(self._chunks_of(source)) for sorter, source in streams])

    def name(self, number: int) -> str:
        """The key that has this number."""
        return key_text(self.names[number])

    @property
    def distinct(self) -> int:
        """How many keys there are; when more than can be counted, at least so many."""
        return self.numbers.size + self.beyond

    def source(self) -> Source:
        """What was read so far."""
        return Source(
            names=self.sources,
            key=self.key_text,
            lines=self.lines,
            broken=self.broken,
            broken_lines=self.broken_lines,
            damaged=self.damaged,
            absent=list(self.absent) if self.lines > self.broken else [],
            out_of_order=sum(sorter.out_of_order for sorter in self.sorters),
            late=sum(sorter.late for sorter in self.sorters),
            window=self.window,
        )

    def _chunks_of(self, source: str) -> Iterator[Batch]:
        format: Format | None = None
        for block in read_blocks(source, self.progress, lambda why: self.damaged.append((source, why))):
            if format is None:
                format = format_of(block, self.format)
                self.lines -= format.heading
            yield self._chunk(block, format)

    def _chunk(self, block: Block, format: Format) -> Batch:
        rows = format.rows(block, [self.time, *self.key.fields])
        moments = moments_of(rows.fields[self.time])
        good = moments != BROKEN
        self.lines += len(block)
        self._note_broken(block, rows, good, format)
        for field in [field for field in self.absent if rows.fields[field].null_count < len(rows.lines)]:
            del self.absent[field]
        codes, names = self.key.of(rows.fields)
        hashes = np.array([hash(name) for name in names], np.int64).view(np.uint64)
        numbers = self.numbers.of(hashes)
        self.beyond |= int(len(numbers) and numbers.max() == self.numbers.most)
        if self.numbers.size > len(self.names):
            for name, number in zip(names, numbers.tolist(), strict=True):
                if number == len(self.names) < self.numbers.size:
                    self.names.append(name)
        if not good.all():
            moments, codes = moments[good], codes[good]
        return Batch(moments, hashes[codes], numbers[codes])

    def _note_broken(self, block: Block, rows: Rows, good: NDArray[np.bool_], format: Format) -> None:
        heading = format.heading if block.first == 1 else 0
        broken = len(block) - heading - int(np.count_nonzero(good))
        self.broken += broken
        if broken and len(self.broken_lines) < SHOWN:
            lines = np.setdiff1d(np.arange(heading, len(block)), rows.lines[good])
            for line in lines[: SHOWN - len(self.broken_lines)].tolist():
                shown = key_text(block.lines[line].as_py()[:SHOWN_SIZE].rstrip(b"\r\n"))
                self.broken_lines.append((block.source, block.first + line, shown))


def moments_of(column: pa.Array) -> NDArray[np.int64]:
    """The moments that a column of texts tells; each distinct text is read once."""
    encoded = column.dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary
    texts = [value or b"" for value in distinct.to_pylist()]
    if not texts:
        return np.empty(0, np.int64)
    array = np.array(texts)
    moments = from_clf(array)
    for other in np.flatnonzero((moments == BROKEN) | (np.char.str_len(array) != CLF_SIZE)).tolist():
        moments[other] = from_text(key_text(texts[other]))
    rows: NDArray[np.int64] = moments[encoded.indices.to_numpy()]
    return rows
