"""Distinct texts under numbers, in little memory."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .._counting import KeyIds
from .._scanning import first_rows, hash_spans, hash_texts, join_spans
from ..batch import UNKNOWN, key_text

Places = NDArray[np.int32]


class Names:
    """Texts by number: their bytes one after the other, which takes a fifth of the memory of a list."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends: NDArray[np.int64] = np.zeros(1_024, np.int64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, name: bytes) -> None:
        """Give a text the next number."""
        if self._size + 1 == len(self._ends):
            self._ends = np.concatenate([self._ends, np.zeros(len(self._ends) // 2, np.int64)])
        self._data += name
        self._size += 1
        self._ends[self._size] = len(self._data)

    def extend(self, data: bytes, starts: Places, sizes: Places) -> None:
        """Give parts of the data the next numbers."""
        size = self._size + len(starts)
        if size >= len(self._ends):
            more = max(size + 1, len(self._ends) * 3 // 2) - len(self._ends)
            self._ends = np.concatenate([self._ends, np.zeros(more, np.int64)])
        self._ends[self._size + 1 : size + 1] = len(self._data) + np.cumsum(sizes, dtype=np.int64)
        self._data += join_spans(data, starts, sizes)
        self._size = size

    def __getitem__(self, number: int) -> str:
        return key_text(bytes(self._data[self._ends[number] : self._ends[number + 1]]))


class Numbering:
    """Numbers for distinct texts, in the order of their first appearance.

    Args:
        maximum: how many texts get a number; the others are UNKNOWN.
    """

    def __init__(self, maximum: int) -> None:
        self._ids, self._names = KeyIds(maximum), Names()

    def of(self, texts: "Iterable[bytes | None]") -> NDArray[np.int32]:
        """Return the numbers of these texts; UNKNOWN for None."""
        texts = list(texts)
        numbers = np.full(len(texts), UNKNOWN, np.int32)
        present = [text for text in texts if text is not None]
        found = self._ids.of(hash_texts(present))
        for row in first_rows(found, len(self._names), self._ids.size).tolist():
            self._names.append(present[row])
        numbers[[text is not None for text in texts]] = self._limited(found)
        return numbers

    def of_spans(self, data: bytes, starts: Places, sizes: Places) -> NDArray[np.int32]:
        """Return the numbers of these parts of the data."""
        found = self._ids.of(hash_spans(data, starts, sizes))
        rows = first_rows(found, len(self._names), self._ids.size)
        self._names.extend(data, starts[rows], sizes[rows])
        return self._limited(found)

    def texts(self) -> list[str]:
        """Return the texts that have a number, by number."""
        return [self._names[number] for number in range(len(self._names))]

    def _limited(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        numbers[numbers == self._ids.maximum] = UNKNOWN
        return numbers
