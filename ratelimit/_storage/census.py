"""Looking into a table: what is in it, and whether it is sound."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .metadata import window_for

if TYPE_CHECKING:
    from .._core import Limiter

_CLAIM = np.uint64(1 << 15)


class Census(NamedTuple):
    """The slots of a table by what they hold.

    Attributes:
        keys: slots with a key, live or not.
        free: slots that were used and are free again.
        unused: slots that were never used.
        claims: slots that were being claimed for a new key; at rest these are what killed processes left, and
            are taken by the next key that comes by.
        duplicates: keys that are in two slots of one search. There must be none.
    """

    keys: int
    free: int
    unused: int
    claims: int
    duplicates: int


def census(limiter: "Limiter") -> Census:
    """Count the slots of a limiter's table.

    It is a snapshot only of a table that nobody writes to; meanwhile a key may be seen twice that is not.
    """
    high = limiter.table.view("<u8")[1::2].copy()  # of each slot's 128 bits the upper half: tag, claim, state
    tag, claimed = high >> 16, (high & _CLAIM) != 0
    return Census(
        keys=int(np.count_nonzero((tag > 1) & ~claimed)),
        free=int(np.count_nonzero(tag == 1)),
        unused=int(np.count_nonzero(tag == 0)),
        claims=int(np.count_nonzero((tag > 1) & claimed)),
        duplicates=_duplicates(np.flatnonzero((tag > 1) & ~claimed), tag, window_for(limiter.max_keys)),
    )


def _duplicates(places: npt.NDArray[Any], tag: npt.NDArray[Any], window: int) -> int:
    """Pairs of equal tags within the reach of one search, which goes on at the front where the table ends."""
    order = places[np.argsort(tag[places], kind="stable")]
    here, there = order[:-1], order[1:]
    apart = there - here
    near = np.minimum(apart, len(tag) - apart) < window
    return int(np.count_nonzero((tag[here] == tag[there]) & near))
