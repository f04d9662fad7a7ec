"""Files and standard input, decompressed and as UTF-8, as blocks of whole lines."""

import codecs
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .._scanning import count_lines
from .streams import BLOCK, GzipStream, XzStream

LONGEST = 1 << 20  # bytes of a line; a longer one is cut off
MAGIC = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4", b"\xfd7zXZ\x00": "xz",
}  # fmt: skip
ARCHIVES = {b"PK\x03\x04": "a zip archive", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive"}
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")  # which programs write to what they take for a terminal


class Block:
    """Whole lines of one source.

    Attributes:
        source: the file's name, or "-".
        first: the number of the first line, from 1.
        lines: an Arrow array of bytes, each with its line feed; no copy of the data.
    """

    def __init__(self, source: str, first: int, data: bytes) -> None:
        self.source, self.first, self.data = source, first, data
        self._size = count_lines(data)

    def __len__(self) -> int:
        return self._size

    @cached_property
    def lines(self) -> Any:
        ends: NDArray[np.int32] = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n")).astype(np.int32) + 1
        offsets = np.concatenate([np.zeros(1, np.int32), ends])
        return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(self.data)])


@dataclass
class Condition:
    """Anything unusual about the bytes of the sources.

    Attributes:
        damaged: compressed files that could be read in part only, as (file, reason).
        nul_bytes: bytes of holes, as copytruncate leaves them. They are removed.
    """

    damaged: list[tuple[str, str]]
    nul_bytes: int = 0


Splitter = Callable[[Iterator[bytes]], Iterable[bytes]]


def read_blocks(
    source: str,
    progress: Callable[[int], object] = lambda size: None,
    condition: Condition | None = None,
    splitter: Callable[[bytes], Splitter | None] = lambda start: None,
) -> Iterator[Block]:
    """Yield the lines of a file, or of standard input for "-", in blocks.

    Args:
        progress: called with the number of bytes that were read from the file.
        condition: records what was unusual.
        splitter: given the first bytes, returns what cuts them all into whole lines, where line feeds do not.

    Raises: OSError for a file that cannot be read, ValueError for an archive or a closed standard input.
    """
    condition = Condition([]) if condition is None else condition
    with closing(_opened(source)) as raw:
        buffered = io.BufferedReader(_Counted(raw, progress), BLOCK)
        start = buffered.peek(6)
        if archive := _named(start, ARCHIVES):
            raise ValueError(f"{source}: expected a log, got {archive}; unpack it first")
        stream = _decompressed(buffered, _named(start, MAGIC))
        first = 1
        pieces = _pieces(stream, source, condition)
        begin = next(pieces)
        pieces = chain([begin], pieces)
        split = splitter(begin)
        for data in split(pieces) if split else _whole_lines(pieces, source, condition):
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


def _decompressed(stream: IO[bytes], compression: str | None) -> Any:
    if compression in (None, "gzip"):
        return GzipStream(stream)
    return XzStream(stream) if compression == "xz" else pa.CompressedInputStream(pa.PythonFile(stream), compression)


def _pieces(stream: Any, source: str, condition: Condition) -> Iterator[bytes]:
    """Yield the bytes as UTF-8, up to where they are damaged."""
    piece, damage = _piece(stream)
    encoding, size = _encoding(piece)
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    while True:
        text = piece[size:] if decoder is None else decoder.decode(piece[size:]).encode()
        if b"\0" in text:
            condition.nul_bytes += text.count(b"\0")
            text = text.replace(b"\0", b"")
        yield text
        size = 0
        if damage is not None:
            condition.damaged.append((source, damage))
        if damage is not None or not piece:
            return
        piece, damage = _piece(stream)


def _piece(stream: Any) -> tuple[bytes, str | None]:
    """Return the next bytes, and the damage after them; the bytes before the damage are complete."""
    piece = bytearray(BLOCK)
    try:
        size: int = stream.readinto(piece)
    except OSError as error:
        if error.errno is not None:  # the file cannot be read; its content is not to blame
            raise
        # How much was written before the damage is unknown; the rest is still zeros.
        return bytes(piece.rstrip(b"\0")), str(error)
    return bytes(memoryview(piece)[:size]), None


def _encoding(start: bytes) -> tuple[str, int]:
    """Return the encoding and the size of the byte order mark. Without a mark, every other byte of UTF-16 is 0."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return name, len(mark)
    sample = np.frombuffer(start[: len(start[:400]) // 2 * 2], np.uint8)
    low, high = sample[::2] == 0, sample[1::2] == 0
    if len(sample) >= 16 and high.mean() > 0.9 and low.mean() < 0.1:
        return "utf-16-le", 0
    if len(sample) >= 16 and low.mean() > 0.9 and high.mean() < 0.1:
        return "utf-16-be", 0
    return "utf-8", 0


def _whole_lines(pieces: Iterator[bytes], source: str, condition: Condition) -> Iterator[bytes]:
    rest = b""
    only_returns = False
    for number, piece in enumerate(pieces):
        if number == 0:
            only_returns = b"\n" not in piece and piece.count(b"\r") > 1
        if only_returns:
            piece = piece.replace(b"\r", b"\n")
        end = piece.rfind(b"\n") + 1
        if end:
            yield _without_colour(b"".join([rest, memoryview(piece)[:end]]))
            rest = piece[end:]
        else:
            rest = (rest + piece)[:LONGEST]
    if rest and source not in dict(condition.damaged):  # the line in which the damage is, is not whole
        yield _without_colour(rest + b"\n")


def _without_colour(data: bytes) -> bytes:
    return COLOUR.sub(b"", data) if b"\x1b" in data else data


class _Counted(io.RawIOBase):
    """A raw file that reports how much was read from it."""

    def __init__(self, raw: IO[bytes], progress: Callable[[int], object]) -> None:
        self.raw, self.progress = raw, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        size: int = self.raw.readinto(buffer)  # type: ignore[attr-defined]
        self.progress(size)
        return size
