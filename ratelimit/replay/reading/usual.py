"""The usual lines of a combined log, without a regular expression; see _scanning.pyx."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._scanning import AddressHashes, CombinedLines
from .formats.base import Format
from .keys import Key
from .names import Places


class Usual(NamedTuple):
    """Requests.

    Attributes:
        lines: their indices; and `others`, those of the lines that are not usual.
        times, hashes: of the clients.
        clients, targets, agents: as places in the data: where each begins, and its size.
        canonical: clients that are not in the data as they count, by hash.
    """

    lines: NDArray[np.int64]
    others: NDArray[np.int64]
    times: NDArray[np.int64]
    statuses: NDArray[np.int16]
    hashes: NDArray[np.uint64]
    canonical: dict[int, bytes]
    clients: tuple[Places, Places]
    targets: tuple[Places, Places] | None
    agents: tuple[Places, Places] | None


class UsualLines:
    """Reads them. Use it only if `fits` returns true."""

    def __init__(self, key: Key, profile: bool) -> None:
        term = key.terms[0]
        self._scanner = CombinedLines(profile)
        self._addresses = AddressHashes(lambda spelled: term.values([spelled])[0], *term.bits)

    @staticmethod
    def fits(form: Format, key: Key, time: str) -> bool:
        """Whether the lines may be read so: by client, in the combined format."""
        client = len(key.terms) == 1 and key.terms[0].field == "client" and key.terms[0].index is None
        return client and form.name == "combined" and time == "time"

    def read(self, data: bytes) -> Usual:
        """Read a block of whole lines."""
        size, others, times, statuses, *spans = self._scanner.scan(data)
        lines = np.arange(size)
        if len(others):
            lines = np.delete(lines, others)
        pairs = [*zip(spans[::2], spans[1::2], strict=True), None, None]
        assert pairs[0] is not None
        hashes, canonical = self._addresses.of(data, *pairs[0])
        return Usual(lines, others, times, statuses, hashes, canonical, pairs[0], pairs[1], pairs[2])
