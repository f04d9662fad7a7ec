"""Requests as arrays, a batch at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BATCH_SIZE = 65_536  # requests
COUNTED_KEYS = 1_000_000  # keys that are counted one by one, unless another number is given


class Batch(NamedTuple):
    """Requests: moments in nanoseconds since the epoch, what the limits count by, and the keys' numbers."""

    moments: NDArray[np.int64]
    keys: NDArray[np.uint64]
    numbers: NDArray[np.int32]

    def at(self, where: "NDArray[np.intp] | slice") -> "Batch":
        return Batch(self.moments[where], self.keys[where], self.numbers[where])

    def sorted(self) -> "Batch":
        if (self.moments[1:] >= self.moments[:-1]).all():
            return self
        return self.at(np.argsort(self.moments, kind="stable"))


def together(chunks: list[Batch]) -> Batch:
    return chunks[0] if len(chunks) == 1 else Batch(*map(np.concatenate, zip(*chunks, strict=True)))


def key_text(key: bytes | str) -> str:
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key
