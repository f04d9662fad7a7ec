"""The envelopes of syslog, containers and log shippers: a text before a line, or a JSON object around it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .base import Format, Rows
from .catalogue import ADDRESS, ISO
from .json_lines import JsonLines


class Prefix(NamedTuple):
    """A text before each line; a group `time` counts for lines that have no time of their own."""

    name: str
    pattern: str
    payload: str = ".*"

    @property
    def whole(self) -> str:
        return rf"^(?:{self.pattern})(?P<payload>{self.payload})"


_TAG = r"[A-Za-z/_-][^ \[\]:{]*(?:\[\d+\])?: +"
_UTC = r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)"
PREFIXES = [
    Prefix("cri", rf"(?P<time>{ISO}) (?:stdout|stderr) [FP] "),
    Prefix(
        "syslog (RFC 5424)",
        r"<\d+>1 (?P<time>[^ ]+) [^ ]+ [^ ]+ [^ ]+ [^ ]+ (?:-|(?:\[.*?\])+) ?(?:\xEF\xBB\xBF)?",
    ),
    Prefix("syslog", rf"(?:<\d+>)?(?P<time>[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d)(?:\.\d+)? (?:[^ ]+ )?{_TAG}"),
    Prefix("compose", rf"[\w./-]+ *\| *(?:{_UTC} )?"),
    Prefix("kubectl", rf"\[pod/[^\]]+\] (?:{_UTC} )?"),
    Prefix("fluentd", rf"(?P<time>{ISO})\t[^\t]+\t"),
    Prefix("docker --timestamps", rf"{_UTC} "),
    Prefix("syslog with ISO times", rf"(?:<\d+>)?(?P<time>{ISO.replace('[T ]', 'T')}) (?:[^ ]+ )?{_TAG}"),
]
# The last resort: any text before a JSON object, or before a line that begins with an address.
ANYTHING = [
    Prefix("a text", r"[^{]{1,200}?", r"\{.*"),
    Prefix("a text", r".{1,300}?[ :>\]]", rf"{ADDRESS} [^ ]+ [^\[]*\[.*"),
]
# Where an object around a line has it.
ENVELOPES = (
    "log",
    "message",
    "MESSAGE",
    "event.original",
    "textPayload",
    "jsonPayload.message",
    "msg",
    "line",
    "@message",
)


class Prefixed(Format):
    """Lines of another format behind a prefix."""

    def __init__(self, prefix: Prefix, inner: Format) -> None:
        self.prefix, self.inner = prefix, inner
        self.name = f"{inner.name} behind {prefix.name}"
        self._has_time = "(?P<time>" in prefix.pattern

    @property
    def taken(self) -> dict[str, str]:  # type: ignore[override]
        return self.inner.taken

    def names(self) -> list[str]:
        return self.inner.names()

    def has(self, field: str) -> bool:
        return self.inner.has(field) or (field == "time" and self._has_time)

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        found = pc.extract_regex(lines, self.prefix.whole)
        rows = self.inner.rows(pc.struct_field(found, "payload"), wanted)
        return _with_time(rows, pc.struct_field(found, "time") if self._has_time else None)


class Enveloped(Format):
    """Lines of another format within a field of a JSON object."""

    def __init__(self, field: str, inner: Format) -> None:
        self.field, self.inner = field, inner
        self.name = f"{inner.name} in JSON's {field}"
        self._outer = JsonLines()

    @property
    def taken(self) -> dict[str, str]:  # type: ignore[override]
        return self.inner.taken

    def names(self) -> list[str]:
        return self.inner.names()

    def has(self, field: str) -> bool:
        return self.inner.has(field) or field == "time"

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        outer = self._outer.rows(lines, [self.field, "time"])
        inner = self.inner.rows(stripped(outer.fields[self.field]), wanted)
        fields = _with_time(inner, outer.fields["time"]).fields
        return Rows(fields, outer.lines[inner.lines], outer.lines[inner.parts])


def stripped(column: Any) -> Any:
    """Without the line feed that Docker keeps."""
    return pc.replace_substring_regex(column, r"\s+$", "") if len(column) else column


def _with_time(rows: Rows, outer: Any) -> Rows:
    if outer is not None and "time" in rows.fields:
        own = rows.fields["time"]
        present = pc.fill_null(pc.not_equal(own, b""), False)
        rows.fields["time"] = pc.if_else(present, own, outer.take(pa.array(rows.lines.astype(np.int64))))
    return rows
