"""Columns: CSV with a header line, and W3C extended logs (IIS, CloudFront)."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from ..files import LONGEST
from .base import Format, Rows, nulls, part_of
from .fields import candidates, column_of
from .plausible import plausible

DELIMITERS = ",;\t|"
SAMPLE = 50  # lines that are looked at to choose between columns
LONGEST_RECORD = 200  # lines of one CSV record, whose quoted values may contain line feeds


class Csv(Format):
    """Columns with names. A quoted value may contain line feeds.

    Args:
        header: the line that names the columns. Lines up to it are not rows.
    """

    name = "csv"

    def __init__(self, header: bytes) -> None:
        text = header.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
        self.delimiter = max(DELIMITERS, key=text.count)
        self.columns = [name.strip() for name in next(csv.reader([text], delimiter=self.delimiter), [])]
        self.header = text
        self.taken: dict[str, str] = {}
        self._sources: dict[str, str | None] = {}

    def names(self) -> list[str]:
        return self.columns

    def has(self, field: str) -> bool:
        return column_of(field, self.columns) is not None

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        texts = lines.to_pylist()
        sources = {field: self._source(field, texts) for field in wanted}
        self.taken |= {field: source for field, source in sources.items() if source}
        places = {source: self.columns.index(source) for source in sources.values() if source}
        values: dict[str, list[bytes | None]] = {source: [] for source in places}
        read: list[int] = []
        parts: list[int] = []
        for begin, index, record in self._records(texts):
            read.append(index)
            parts += range(begin, index)
            for source, place in places.items():
                values[source].append(record[place].encode("utf-8", "surrogateescape") or None)
        arrays = {source: pa.array(column, pa.binary()) for source, column in values.items()}
        fields = {
            field: part_of(field, arrays[source]) if source else nulls(len(read)) for field, source in sources.items()
        }
        return Rows(fields, np.array(read, np.int64), np.array(parts, np.int64))

    def _source(self, field: str, texts: list[bytes | None]) -> str | None:
        """Return the column of a field: the first by its name whose values look like the field."""
        if field not in self._sources:
            names = [name for name in candidates(field) if name in self.columns]
            if len(names) > 1:
                sample = [record for _, _, record in self._records(texts[:SAMPLE])]
                if not sample:
                    return names[0]
                names.sort(key=lambda name: not plausible(field, [row[self.columns.index(name)] for row in sample]))
            self._sources[field] = names[0] if names else None
        return self._sources[field]

    def is_directive(self, line: bytes) -> bool:
        return line.decode("utf-8-sig", "surrogateescape").rstrip("\r\n") == self.header

    def _records(self, texts: list[bytes | None]) -> Iterator[tuple[int, int, list[str]]]:
        """Yield the records, each with the indices of its first and its last line.

        A quote that is left open spoils its own line only.
        """
        index = 0
        while index < len(texts):
            line = texts[index]
            index += 1
            if line is None or self.is_directive(line):
                continue
            begin, record = index - 1, self._values([line])
            if record is None and line.count(b'"') % 2:
                record, index = self._continued(line, texts, index)
            if record is not None:
                yield begin, index - 1, record

    def _continued(self, line: bytes, texts: list[bytes | None], index: int) -> tuple[list[str] | None, int]:
        lines = [line]
        for more, other in enumerate(texts[index : index + LONGEST_RECORD], 1):
            lines.append(other or b"")
            if (other or b"").count(b'"') % 2:
                record = self._values(lines)
                return (record, index + more) if record is not None else (None, index)
        return None, index

    def _values(self, lines: list[bytes]) -> list[str] | None:
        try:
            text = b"".join(lines).decode("utf-8", "surrogateescape").rstrip("\r\n")
            values = next(csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            return None
        return values if len(values) == len(self.columns) else None


class W3c(Format):
    """The extended log format of the W3C: `#Fields:` names the columns, and may do so again further down.

    IIS separates by blanks and writes `+` for a blank; CloudFront separates by tabs and escapes as in an URL.
    """

    name = "w3c"

    def __init__(self, directives: list[bytes]) -> None:
        self.columns: list[str] = []
        self.taken: dict[str, str] = {}
        for line in directives:
            self._direct(line)

    def names(self) -> list[str]:
        return self.columns

    def has(self, field: str) -> bool:
        return self._source(field) is not None

    def is_directive(self, line: bytes) -> bool:
        return line.startswith(b"#")

    def _source(self, field: str) -> str | None:
        if field == "time" and {"date", "time"} <= set(self.columns):
            return "date"
        return column_of(field, self.columns)

    def _direct(self, line: bytes) -> None:
        if line.startswith(b"#Fields:"):
            self.columns = line.decode("utf-8", "replace").removeprefix("#Fields:").split()

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        wanted = list(wanted)
        values: dict[str, list[bytes | None]] = {field: [] for field in wanted}
        read = []
        for index, line in enumerate(lines.to_pylist()):
            if line is None:
                continue
            if line.startswith(b"#"):
                self._direct(line)
                continue
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            cells = text.split("\t" if "\t" in text else " ")
            if len(cells) != len(self.columns):
                continue
            record = dict(zip(self.columns, cells, strict=True))
            read.append(index)
            for field in wanted:
                values[field].append(self._value(field, record))
        self.taken |= {field: source for field in wanted if (source := self._source(field))}
        return Rows(
            {field: part_of(field, pa.array(column, pa.binary())) for field, column in values.items()},
            np.array(read, np.int64),
        )

    def _value(self, field: str, record: dict[str, str]) -> bytes | None:
        source = self._source(field)
        if source is None:
            return None
        value = record[source]
        if field == "time" and source == "date":
            value = f"{value} {record['time']}"
        elif value == "-":
            return None
        elif field == "agent" or field.startswith("header."):
            value = unquote(value).replace("+", " ")
        return value.encode("utf-8", "surrogateescape")


def splitter(start: bytes) -> "type[RecordLines] | None":
    """Return the splitter for CSV with line feeds in its values, or None for any other source."""
    header, _, rest = start.partition(b"\n")
    odd = any(line.count(b'"') % 2 for line in rest.splitlines()[:10_000])
    return RecordLines if odd and Csv(header).has("time") else None


class RecordLines:
    """Cuts CSV into blocks of lines that do not end within a quoted value."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for piece in self.pieces:
            data = rest + piece
            end = self._end(data)
            if end:
                yield data[:end]
            rest = data[end:][:LONGEST]
        if rest:
            yield rest.rstrip(b"\n") + b"\n"

    @staticmethod
    def _end(data: bytes) -> int:
        """Return the end of the last whole record, or of the last line if the record ends far before it."""
        last = end = data.rfind(b"\n") + 1
        quotes = data.count(b'"', 0, end)
        for _ in range(LONGEST_RECORD):
            if quotes % 2 == 0:
                return end
            before = data.rfind(b"\n", 0, end - 1) + 1
            quotes -= data.count(b'"', before, end)
            end = before
        return last
