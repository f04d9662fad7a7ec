"""Compressed streams, also one after another and behind text, as `cat access.log access.log.1.gz` makes them."""

import lzma
import zlib
from typing import IO, Any

BLOCK = 1 << 20  # bytes: with this many, a block's lines are still in the processor's cache when they are parsed
PART = 1 << 16  # bytes that are decompressed together
GZIP = b"\x1f\x8b\x08"


class GzipStream:
    """Reads text as it is, and decompresses gzip where it begins: at the start, after other gzip or after a line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self._inflater: Any = None
        self._damage = ""
        self._at_line = True  # whether the next byte begins a line

    def readinto(self, buffer: bytearray) -> int:
        data = b""
        while not data:
            if not self._rest:
                if self._inflater is None:
                    size: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]
                    if not size or buffer.find(GZIP[:1], 0, size) < 0:
                        self._at_line = bool(size) and buffer[size - 1] == 10
                        return size
                    self._rest = bytes(memoryview(buffer)[:size])
                    while self._rest.endswith((GZIP[:1], GZIP[:2])) and (more := self._stream.read(2)):
                        self._rest += more  # which may be the rest of the mark
                else:
                    self._rest = self._stream.read(BLOCK)
                    if not self._rest:
                        raise OSError("the gzip stream is cut short")
            data = self._text(len(buffer)) if self._inflater is None else self._inflated(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _text(self, most: int) -> bytes:
        """Take the text before the next gzip stream, and begin that stream."""
        rest = self._rest
        start = rest.find(GZIP)
        while start > 0 and rest[start - 1] != 10:
            start = rest.find(GZIP, start + 1)
        if start == 0 and not self._at_line:
            start = -1
        if start == 0:
            self._inflater = zlib.decompressobj(31)
            return b""
        end = min(most, len(rest) if start < 0 else start)
        data, self._rest = rest[:end], rest[end:]
        self._at_line = data.endswith(b"\n")
        return data

    def _inflated(self, most: int) -> bytes:
        if self._damage:
            raise OSError(self._damage)
        part, later = self._rest[:PART], self._rest[PART:]
        before = self._inflater.copy()
        try:
            data: bytes = self._inflater.decompress(part, most)
        except zlib.error as error:
            self._damage = f"gzip: {error}"
            return _before_damage(before, part)[:most]
        self._rest = self._inflater.unconsumed_tail + later
        if self._inflater.eof:
            self._rest = (self._inflater.unused_data + later).lstrip(b"\0")  # padding, as tapes have it
            self._inflater, self._at_line = None, True
        return data


def _before_damage(inflater: Any, part: bytes) -> bytes:
    """Decompress the bytes before the one that is damaged."""
    data = b""
    try:
        for place in range(len(part)):
            data += inflater.decompress(part[place : place + 1])
    except zlib.error:
        pass
    return data


class XzStream:
    """Decompresses xz, one stream after another, as CompressedInputStream does the others."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._rest = stream, b""
        self._decompressor = lzma.LZMADecompressor()

    def readinto(self, buffer: bytearray) -> int:
        data = b""
        while not data:
            if self._decompressor.eof:
                self._rest = self._decompressor.unused_data.lstrip(b"\0") or self._stream.read(BLOCK).lstrip(b"\0")
                if not self._rest:
                    return 0
                self._decompressor = lzma.LZMADecompressor()
            elif self._decompressor.needs_input and not self._rest:
                self._rest = self._stream.read(BLOCK)
                if not self._rest:
                    raise OSError("the xz stream is cut short")
            try:
                data = self._decompressor.decompress(self._rest, len(buffer))
            except lzma.LZMAError as error:
                raise OSError(f"xz: {error}") from None
            self._rest = b""
        buffer[: len(data)] = data
        return len(data)
