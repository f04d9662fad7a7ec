"""Counting the slots of a table, to see what is in it and whether it is sound."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .metadata import window_for

_CLAIM = np.uint64(1 << 15)
_TICKET_BITS = np.uint64(45)  # of a claim; a word with the claim bit and more is a blocked key


class HasSlots(Protocol):
    """A limiter, as far as counting needs it."""

    @property
    def max_keys(self) -> int: ...
    def slots(self) -> npt.NDArray[np.void]: ...
    def _header_faults(self, used: int) -> list[str]: ...


class Census(NamedTuple):
    """The slots of a table by what they hold.

    Attributes:
        keys: slots with a key, live or not, blocked or not.
        free: slots that were used and are free again.
        unused: slots that were never used.
        claims: slots that are being claimed for a new key. At rest, these are claims of killed processes; a later new
            key takes them.
        duplicates: keys that are in two slots of one search; always 0 in a sound table.
        header: what is wrong with the header, such as that it is older than the slots; always empty in a sound table.
    """

    keys: int
    free: int
    unused: int
    claims: int
    duplicates: int
    header: tuple[str, ...] = ()


def census(limiter: HasSlots) -> Census:
    """Count the slots of a limiter's table.

    The result is a snapshot only if no process writes to the table meanwhile; otherwise a key that moves may be counted
    twice.
    """
    low, high = limiter.slots().view("<u8").reshape(-1, 2).T.copy()  # each slot's 128 bits: tag, claim, state
    blocked = (high & (_CLAIM - 1) != 0) | (low >> _TICKET_BITS != 0)
    tag, claimed = high >> 16, (high & _CLAIM != 0) & ~blocked
    used = int(np.count_nonzero(tag))
    return Census(
        keys=int(np.count_nonzero((tag > 1) & ~claimed)),
        free=int(np.count_nonzero(tag == 1)),
        unused=len(tag) - used,
        claims=int(np.count_nonzero((tag > 1) & claimed)),
        duplicates=_duplicates(np.flatnonzero((tag > 1) & ~claimed), tag, window_for(limiter.max_keys)),
        header=tuple(limiter._header_faults(used)),
    )


def _duplicates(places: npt.NDArray[Any], tag: npt.NDArray[Any], window: int) -> int:
    """Count pairs of equal tags that one search can visit; a search continues at the table's start."""
    order = places[np.argsort(tag[places], kind="stable")]
    here, there = order[:-1], order[1:]
    apart = there - here
    near = np.minimum(apart, len(tag) - apart) < window
    return int(np.count_nonzero((tag[here] == tag[there]) & near))
