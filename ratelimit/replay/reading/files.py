"""Files and standard input, compressed or not, as blocks of whole lines."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BLOCK = 1 << 20  # bytes: with this many, a block's lines are still in the processor's cache when they are parsed
LONGEST = 1 << 20  # bytes of a line; what is longer is cut off
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
OTHERS = {b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}  # which nothing here undoes
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block:
    """Whole lines of one source.

    Attributes:
        source: the file's name, or "-".
        first: the number of the first line, from 1.
        lines: an Arrow array of bytes, each with its line feed; no copy of the data.
    """

    def __init__(self, source: str, first: int, data: bytes) -> None:
        ends: NDArray[np.int32] = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")).astype(np.int32) + 1
        offsets = np.concatenate([np.zeros(1, np.int32), ends])
        self.source, self.first, self.data = source, first, data
        self.lines = pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])

    def __len__(self) -> int:
        return len(self.lines)


def read_blocks(
    source: str,
    progress: Callable[[int], object] = lambda size: None,
    damaged: Callable[[str], object] = lambda why: None,
) -> Iterator[Block]:
    """The lines of a file, or of standard input for "-".

    `progress` is told how many bytes were taken from it, `damaged` that it cannot be decompressed any further.
    """
    with closing(_opened(source)) as raw:
        counted = _Counted(raw, progress)
        buffered = io.BufferedReader(counted, BLOCK)
        start = buffered.peek(6)
        if other := _named(start, OTHERS):
            raise ValueError(f"{source}: compressed as {other}; gzip, zstd and bzip2 are undone, or pipe it in")
        compression = _named(start, MAGIC)
        stream = buffered if compression is None else pa.CompressedInputStream(pa.PythonFile(buffered), compression)
        first = 1
        for data in _whole_lines(stream, damaged):
            block = Block(source, first, data)
            first += len(block)
            yield block


def _opened(source: str) -> IO[bytes]:
    if source != "-":
        return open(source, "rb", buffering=0)
    if sys.stdin is None:
        raise ValueError("standard input is closed; name a log")
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def _named(start: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((name for magic, name in kinds.items() if start.startswith(magic)), None)


def _whole_lines(stream: IO[bytes], damaged: Callable[[str], object]) -> Iterator[bytes]:
    rest, first = b"", True
    while True:
        piece, why = _piece(stream)
        if first:
            piece, first = piece.removeprefix(BYTE_ORDER_MARK), False
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest = (rest + piece)[:LONGEST]
        if why is not None:
            damaged(why)  # and the line in which it happened is none
            return
        if not piece:
            break
    if rest:
        yield rest + b"\n"


def _piece(stream: IO[bytes]) -> tuple[bytes, str | None]:
    """What is read at a time, and why no more can be; of damaged data all that comes before the damage."""
    piece = bytearray(BLOCK)
    try:
        size: int = stream.readinto(piece)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno is not None:  # it is the file that cannot be read, and not what is in it
            raise
        # How much was written before, nobody tells; what was not is still zeros.
        return bytes(piece.rstrip(b"\0")), str(error)
    return bytes(piece[:size]), None


class _Counted(io.RawIOBase):
    """A raw file that tells how much was read from it."""

    def __init__(self, raw: IO[bytes], progress: Callable[[int], object]) -> None:
        self.raw, self.progress = raw, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        size: int = self.raw.readinto(buffer)  # type: ignore[attr-defined]
        self.progress(size)
        return size
