"""The formats of logs: lines as columns of fields.

Apache Arrow does the work for access logs: its regular expressions (RE2, in time linear in the line) run over a
whole block of lines at a time. JSON and CSV go line by line through Python's own parsers, each line for itself.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .files import Block

# Where a field is found when the log has none of its own name, in the order in which they are looked for.
ALIASES = {
    "time": ("msec", "timestamp", "@timestamp", "time_iso8601", "time_local", "datetime", "ts"),
    "client": ("remote_addr", "client_ip", "clientip", "ip", "remote_host", "host"),
    "user": ("remote_user", "user_id", "username"),
    "method": ("request_method", "request"),
    "target": ("request_uri", "uri", "url", "path", "request"),
    "path": ("uri", "request_uri", "url", "target", "request"),
    "agent": ("http_user_agent", "user_agent"),
    "referer": ("http_referer", "referrer"),
}
# The part of such a column that is meant: of "GET /search?q=1 HTTP/1.1", for instance, the path.
PARTS = {
    "method": r"^(?P<part>[A-Za-z]+)",
    "target": r"^(?:[A-Za-z]+ +)?(?P<part>[^ ]+)",
    "path": r"^(?:[A-Za-z]+ +)?(?P<part>[^ ?]+)",
}
# A line of the common format, and of the combined one, which has two fields more.
COMMON = {
    "client": r"[^ ]+",
    "ident": r" [^ ]+",
    "user": r" [^ ]+",
    "time": r" \[[^\]]+\]",
    "request": r' "(?:[^"\\]|\\.)*"',
    "status": r" \d\d\d",
    "size": r" [^ ]+",
    "referer": r' "(?:[^"\\]|\\.)*"',
    "agent": r' "(?:[^"\\]|\\.)*"',
}
LEAST = list(COMMON).index("status")  # up to here a line must be whole
DELIMITERS = ",;\t|"


@dataclass
class Rows:
    """The rows that could be read.

    Attributes:
        fields: by name; an Arrow array of bytes, null where the row has no such field.
        lines: of each row the line's index in the block.
    """

    fields: dict[str, pa.Array]
    lines: NDArray[np.int64]


class Format:
    """How to find the fields of a line."""

    name: str
    heading = 0  # lines at the beginning that are no rows

    def rows(self, block: Block, wanted: Iterable[str]) -> Rows:
        """These fields of the block's lines; rows that cannot be read are left out."""
        raise NotImplementedError


class AccessLog(Format):
    """The common log format, and the combined one: `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`."""

    name = "combined"

    def rows(self, block: Block, wanted: Iterable[str]) -> Rows:
        sources = {field: _source(field, COMMON, self.name, block.source) for field in wanted}
        found = pc.extract_regex(block.lines, _common_pattern(set(sources.values())))
        lines = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        if len(lines) < len(found):
            found = found.take(pa.array(lines))
        columns = {source: found.field(source) for source in set(sources.values())}
        return Rows({field: _part(field, source, columns[source]) for field, source in sources.items()}, lines)


class JsonLines(Format):
    """One JSON object a line, as nginx writes with `log_format ... escape=json`. `a.b` is the field b within a."""

    name = "json"

    def rows(self, block: Block, wanted: Iterable[str]) -> Rows:
        candidates = {field: [name.split(".") for name in _candidates(field)] for field in wanted}
        columns: dict[str, list[bytes | None]] = {field: [] for field in candidates}
        lines = []
        for index, line in enumerate(block.lines.to_pylist()):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if not isinstance(record, dict):
                continue
            lines.append(index)
            for field, names in candidates.items():
                columns[field].append(_first(record, names))
        arrays = {field: _part(field, None, pa.array(column, pa.binary())) for field, column in columns.items()}
        return Rows(arrays, np.array(lines, np.int64))


class Csv(Format):
    """Columns with names. A value may be quoted, but not contain a line feed.

    Args:
        header: the line that names the columns.
    """

    name = "csv"
    heading = 1

    def __init__(self, header: bytes) -> None:
        text = header.decode("utf-8-sig", "surrogateescape").rstrip("\r\n")
        self.delimiter = max(DELIMITERS, key=text.count)
        self.names = [name.strip().strip('"') for name in text.split(self.delimiter)]

    def rows(self, block: Block, wanted: Iterable[str]) -> Rows:
        sources = {field: _source(field, dict.fromkeys(self.names), self.name, block.source) for field in wanted}
        places = {source: self.names.index(source) for source in set(sources.values())}
        columns: dict[str, list[bytes | None]] = {source: [] for source in places}
        lines = []
        for index, line in enumerate(block.lines.to_pylist()):
            values = self._values(line)
            if values is None or (index < self.heading and block.first == 1):
                continue
            lines.append(index)
            for source, place in places.items():
                columns[source].append(values[place].encode("utf-8", "surrogateescape") or None)
        arrays = {source: pa.array(column, pa.binary()) for source, column in columns.items()}
        fields = {field: _part(field, source, arrays[source]) for field, source in sources.items()}
        return Rows(fields, np.array(lines, np.int64))

    def _values(self, line: bytes) -> list[str] | None:
        """Each line for itself, so that a quote left open spoils no other."""
        try:
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            values = next(csv.reader([text], delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            return None
        return values if len(values) == len(self.names) else None


FORMATS = ("combined", "common", "json", "csv")


def format_of(block: Block, name: str | None = None) -> Format:
    """The named format, or the one that most of the first lines have."""
    first = block.lines.slice(0, 50).to_pylist()
    if name is None:
        accesses = sum(re.match(_PLAIN, line) is not None for line in first)
        objects = sum(line.lstrip().startswith(b"{") for line in first)
        most = max(accesses, objects)
        name = "csv" if 2 * most < len(first) else "combined" if most == accesses else "json"
        if name == "csv" and not (_is_text(first[0]) and any(mark.encode() in first[0] for mark in DELIMITERS)):
            raise ValueError(f"{block.source}: no format that is known ({', '.join(FORMATS)}); name it by --format")
    if name == "csv":
        return Csv(first[0])
    return JsonLines() if name == "json" else AccessLog()


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().rstrip("\r\n").replace("\t", " ").isprintable()
    except UnicodeDecodeError:
        return False


def _common_pattern(captured: set[str]) -> str:
    """As much of the format as is needed: whole to the status, and on to the last field that is asked for."""
    names = list(COMMON)
    last = max([LEAST, *(names.index(name) for name in captured)])
    return "^" + "".join(_captured(name) if name in captured else COMMON[name] for name in names[: last + 1])


def _captured(name: str) -> str:
    before, opening, middle, closing, after = re.fullmatch(r'( ?)(\\\[|"?)(.*?)(\\\]|"?)()', COMMON[name]).groups()  # type: ignore[union-attr]
    return f"{before}{opening}(?P<{name}>{middle}){closing}{after}"


_PLAIN = re.compile(_common_pattern(set()).encode())


def _candidates(field: str) -> list[str]:
    names = [field, *ALIASES.get(field, ())]
    if field.startswith("header."):
        names.append("http_" + field.removeprefix("header.").lower().replace("-", "_"))
    return names


def _source(field: str, columns: Mapping[str, object], name: str, log: str) -> str:
    """The column in which the field is found."""
    for candidate in _candidates(field):
        if candidate in columns:
            return candidate
    present = repr(", ".join(columns)[:500])[1:-1]  # which may be anything, where it is no such log
    raise ValueError(f"{log}: a {name} log has no field {field!r}; there are {present}")


def _first(record: dict[str, Any], names: list[list[str]]) -> bytes | None:
    for path in names:
        value: Any = record.get(".".join(path))
        if value is None:
            value = record
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")
    return None


def _part(field: str, source: str | None, column: pa.Array) -> pa.Array:
    if field not in PARTS:
        return column
    return pc.struct_field(pc.extract_regex(column, PARTS[field]), "part")
