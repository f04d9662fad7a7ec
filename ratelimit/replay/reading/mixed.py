"""Logs whose lines are in several formats: after a change of the configuration, or from several programs."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .files import Block
from .formats.base import Format
from .formats.detect import other_format_of
from .timestamps import BROKEN, times_of

MOST = 3  # further formats of one log
TRIES = 20  # how often a log's unread lines are looked at for a format
FEW = 10  # lines in a format, which are enough although most of the unread lines are in none


class Mixed:
    """The further formats of a log, which are found when lines are not in the format of its first lines.

    Args:
        wanted: the fields that are read; a line in a further format must have those of the key, and a time.
    """

    def __init__(self, wanted: list[str], key: Iterable[str], time: str) -> None:
        self._wanted, self._needed, self._time = wanted, list(key), time
        self.found: list[Format] = []
        self._tries = TRIES

    def formats(self, block: Block, unread: NDArray[np.int64]) -> Iterator[Format]:
        """Yield the formats in which these lines of a block may be."""
        yield from list(self.found)
        if len(self.found) == MOST or not self._tries:
            return
        lines = block.lines.take(pa.array(unread[:1_000]))
        form = other_format_of(lines, self._needed)
        if form is not None and self._fits(form, lines):
            self.found.append(form)
            yield form
        else:
            self._tries -= 1

    def _fits(self, form: Format, lines: pa.Array) -> bool:
        rows = form.rows(lines, self._wanted)
        whole = times_of(rows.fields[self._time]) != BROKEN
        for field in self._needed:
            values = rows.fields[field].to_pylist()
            whole &= np.array([value not in (None, b"", b"-") for value in values], bool)
        return int(np.count_nonzero(whole)) >= min(FEW, max(len(lines) // 2, 1))
