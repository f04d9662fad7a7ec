import numpy as np
from numpy.typing import NDArray

class KeyIds:
    most: int
    size: int
    def __init__(self, most: int = 1_000_000) -> None: ...
    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]: ...
    def known(self) -> NDArray[np.uint64]: ...

class SlidingCounts:
    period: int
    largest: int
    number: int
    at: int
    left_out: int
    def __init__(self, period: int, keys: int, most: int = 2_000_000) -> None: ...
    def admit(self, numbers: NDArray[np.int32], moments: NDArray[np.int64], allowed: NDArray[np.uint8]) -> None: ...
