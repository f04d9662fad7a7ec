from typing import final

import numpy as np
from numpy.typing import NDArray

@final
class KeyIds:
    """Ids for keys: ids from 0, in the order of their first appearance.

    Args:
        maximum: how many keys get an id of their own. All others share the id `maximum`.

    Attributes:
        size: how many keys have an id of their own.
    """

    maximum: int
    size: int
    def __init__(self, maximum: int = 1_000_000) -> None: ...
    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the ids of these keys as int32; a new key gets the next one."""
    def known(self) -> NDArray[np.uint64]:
        """Return the keys that have an id, by id: uint64."""

@final
class SlidingCounts:
    """For each key how many requests were admitted within the last period, and the largest such number.

    The requests of the last period are in a ring, oldest first, so each is forgotten when its time has come.

    Args:
        period: nanoseconds; the interval is (t - period, t].
        keys: how many keys are counted; those with higher ids are not.
        max_times: how many requests are kept at once for all keys together, 12 bytes each. When there are more, the
            newest are left out, and `left_out` counts them.
        each: whether the largest number is kept for each key, in `peaks`.

    Attributes:
        largest, id, at: the largest number, the id of the key that had it, and its last time.
        peaks: the largest number of each key, by id: int32.
    """

    period: int
    largest: int
    id: int
    at: int
    left_out: int
    peaks: NDArray[np.int32]
    def __init__(self, period: int, keys: int, max_times: int = 2_000_000, each: bool = False) -> None: ...
    def admit(self, ids: NDArray[np.int32], times: NDArray[np.int64], allowed: NDArray[np.uint8]) -> None:
        """Count the admitted ones among these requests, which are not earlier than those counted before."""
