import numpy as np
import numpy.typing as npt

def swap_words(pairs: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> None:
    """Load and swap words of 128 bits, as an admitted request does with its slot.

    Args:
        pairs: n words as an array of n x 2, at an address that 16 divides.
        places: indices of words, in the order of their updates: int64.
    """

def fetch_and_add(counter: npt.NDArray[np.uint64], times: int) -> None:
    """Increment the first number of an array of uint64; several threads may do so at once."""
