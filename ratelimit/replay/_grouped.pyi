import numpy as np
from numpy.typing import NDArray

class Refusals:
    counts: NDArray[np.int64]
    touched: int
    def __init__(self, parameters: object, size: int) -> None: ...
    def add(self, keys: NDArray[np.uint64], ids: NDArray[np.int32], times: NDArray[np.int64]) -> None: ...
