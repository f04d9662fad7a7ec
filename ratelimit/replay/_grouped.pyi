from typing import final

import numpy as np
from numpy.typing import NDArray

@final
class Refusals:
    """Count the requests that a rule refuses, by client.

    Args:
        parameters: of the rule, see _limiter/parameters.py.
        size: clients with ids from here on are counted together, as the last one.

    Attributes:
        counts: by id: int64.
        touched: clients, without the last one, that are refused anything.
    """

    counts: NDArray[np.int64]
    touched: int
    def __init__(self, parameters: object, size: int) -> None: ...
    def add(self, keys: NDArray[np.uint64], ids: NDArray[np.int32], times: NDArray[np.int64]) -> None:
        """Decide requests. All those of one key follow one another, also over several calls, in order of time."""
