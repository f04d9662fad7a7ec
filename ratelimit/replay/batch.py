"""Requests as arrays, a batch at a time."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BATCH_SIZE = 65_536  # requests
COUNTED_KEYS = 1_000_000  # keys that are counted one by one, unless another number is given
UNKNOWN = -1  # of a fact: the log does not have it


class Batch(NamedTuple):
    """Requests.

    Attributes:
        times: nanoseconds since the epoch.
        keys: what the limits count by, as 64 bits.
        ids: of the keys, see KeyIds.
        statuses, agents, targets: what `suggest` needs to tell abuse from use: the response's status, and the numbers
            of its user agent and of its method and path. Empty where they are not asked for.
    """

    times: NDArray[np.int64]
    keys: NDArray[np.uint64]
    ids: NDArray[np.int32]
    statuses: NDArray[np.int16] = np.empty(0, np.int16)
    agents: NDArray[np.int32] = np.empty(0, np.int32)
    targets: NDArray[np.int32] = np.empty(0, np.int32)

    def at(self, where: "NDArray[np.intp] | NDArray[np.bool_] | slice") -> "Batch":
        """Return some of the requests."""
        size = len(self.times)
        columns: list[Any] = [column[where] if len(column) == size else column for column in self]
        return Batch(*columns)

    def sorted(self, by: str = "times") -> "Batch":
        """Return the same requests in the order of a column; those with equal values keep their order."""
        column = getattr(self, by)
        if (column[1:] >= column[:-1]).all():
            return self
        return self.at(np.argsort(column, kind="stable"))


def together(batches: list[Batch]) -> Batch:
    """Return the requests of several batches, one batch after the other."""
    return batches[0] if len(batches) == 1 else Batch(*map(np.concatenate, zip(*batches, strict=True)))


def key_text(key: bytes | str) -> str:
    """Return a key as a string."""
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key
