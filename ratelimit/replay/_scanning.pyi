from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

def count_lines(data: bytes) -> int:
    """Return the number of line feeds."""

def hash_texts(texts: list[bytes]) -> NDArray[np.uint64]:
    """Return the hashes of these bytes: uint64. They are the same within a process."""

def hash_spans(data: bytes, starts: NDArray[np.int32], sizes: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return the hashes of these parts of the data, as hash_texts."""

def join_spans(data: bytes, starts: NDArray[np.int32], sizes: NDArray[np.int32]) -> bytes:
    """Return these parts of the data, one after the other."""

def first_rows(ids: NDArray[np.int32], known: int, size: int) -> NDArray[np.int64]:
    """Return the first row of each id from `known` to below `size`; these ids come in ascending order."""

@final
class AddressHashes:
    """Hashes of clients, of which each address has one, however it is spelled.

    Args:
        canonical: from the bytes of a client to its one spelling.
        v4, v6: how many bits of an address count.
    """
    def __init__(self, canonical: Callable[[bytes], bytes], v4: int = 32, v6: int = 128) -> None: ...
    def of(
        self, data: bytes, starts: NDArray[np.int32], sizes: NDArray[np.int32]
    ) -> tuple[NDArray[np.uint64], dict[int, bytes]]:
        """Return the hashes of these parts of the data, and the clients that count under another text, by hash."""

@final
class CombinedLines:
    """Reads lines such as `192.0.2.1 - ann [05/Jan/2026:00:00:01 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"`.

    Args:
        profile: whether the request and the user agent are wanted, too.
    """
    def __init__(self, profile: bool) -> None: ...
    def scan(
        self, data: bytes
    ) -> tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int16], *tuple[NDArray[np.int32], ...]]:
        """Read whole lines.

        Returns: the number of lines, the indices of those that are not usual, and an array for each column of the
        others: times in nanoseconds, statuses, and as places in the data: clients, sizes of clients, targets (method,
        blank, path), sizes of targets, user agents, sizes of user agents.
        """
