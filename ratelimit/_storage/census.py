"""Counting the slots of a table, to see what is in it and whether it is sound."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

_CLAIM = np.uint64(1 << 15)
_TICKET_BITS = np.uint64(45)  # of a claim; a word with the claim bit and more is a blocked key


class HasSlots(Protocol):
    """A limiter, as far as counting needs it."""

    def slots(self) -> npt.NDArray[np.void]: ...
    def _levels(self) -> list[tuple[int, int, int]]: ...
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
        duplicates=_duplicates(np.flatnonzero((tag > 1) & ~claimed), tag, limiter._levels()),
        header=tuple(limiter._header_faults(used)),
    )


def _duplicates(places: npt.NDArray[Any], tag: npt.NDArray[Any], levels: list[tuple[int, int, int]]) -> int:
    """Count pairs of equal tags that one search can visit.

    The part of its level at which a key's home lies is the same in all levels. Of each slot it is known to within a
    window; a search continues at the level's start.
    """
    order = places[np.argsort(tag[places], kind="stable")]
    order = order[np.flatnonzero(np.isin(tag[order], tag[order][1:][tag[order][1:] == tag[order][:-1]]))]
    starts, sizes, windows = (np.array(column, "<f8") for column in zip(*levels, strict=True))
    level = np.searchsorted(starts, order, side="right") - 1
    last = (order - starts[level] + 1) / sizes[level]
    first = last - windows[level] / sizes[level]
    apart = np.abs((last + first)[1:] - (last + first)[:-1]) / 2
    near = np.minimum(apart, 1 - apart) < ((last - first)[1:] + (last - first)[:-1]) / 2
    return int(np.count_nonzero((tag[order][1:] == tag[order][:-1]) & near))
