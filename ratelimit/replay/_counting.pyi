import numpy as np
from numpy.typing import NDArray

class KeyIds:
    maximum: int
    size: int
    def __init__(self, maximum: int = 1_000_000) -> None: ...
    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]: ...
    def known(self) -> NDArray[np.uint64]: ...

class SlidingCounts:
    period: int
    largest: int
    id: int
    at: int
    left_out: int
    peaks: NDArray[np.int32]
    def __init__(self, period: int, keys: int, max_times: int = 2_000_000, each: bool = False) -> None: ...
    def admit(self, ids: NDArray[np.int32], times: NDArray[np.int64], allowed: NDArray[np.uint8]) -> None: ...
