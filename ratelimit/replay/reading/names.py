"""Distinct texts under numbers, in little memory."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..batch import UNKNOWN, key_text


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
            self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
        self._data += name
        self._size += 1
        self._ends[self._size] = len(self._data)

    def __getitem__(self, number: int) -> str:
        return key_text(bytes(self._data[self._ends[number] : self._ends[number + 1]]))


class Numbering:
    """Numbers for distinct texts, in the order of their first appearance.

    Args:
        maximum: how many texts get a number; the others are UNKNOWN.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._numbers: dict[bytes, int] = {}

    def of(self, texts: "Iterable[bytes | None]") -> NDArray[np.int32]:
        """Return the numbers of these texts; UNKNOWN for None."""
        return np.array([self._number(text) for text in texts], np.int32)

    def texts(self) -> list[str]:
        """Return the texts that have a number, by number."""
        return [key_text(text) for text in self._numbers]

    def _number(self, text: bytes | None) -> int:
        if text is None:
            return UNKNOWN
        number = self._numbers.get(text)
        if number is None:
            if len(self._numbers) == self.maximum:
                return UNKNOWN
            number = self._numbers[text] = len(self._numbers)
        return number
