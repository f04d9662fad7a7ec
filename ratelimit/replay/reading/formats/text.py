"""Lines that match a regular expression, a block of them at a time."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .base import Format, Rows, nulls, part_of
from .fields import column_of

_GROUP = re.compile(r"\(\?P<(\w+)>")


class TextFormat(Format):
    """A format that a regular expression describes; its named groups are the fields.

    Args:
        head: what every line has. It is in RE2's syntax, and bound to the beginning of the line.
        tail: what may follow, and is read only when one of its fields is asked for.
        renamed: for each group the name of its field, where that cannot be a group's name.

    A field `client` may come with a field `client_2`, which counts where the first one is empty or `-`.
    """

    def __init__(self, name: str, head: str, tail: str = "", renamed: dict[str, str] | None = None) -> None:
        self.name, self.head, self.tail = name, head, tail
        self.renamed = renamed or {}
        self.taken: dict[str, str] = {}
        self._groups = {self.renamed.get(group, group): group for group in _GROUP.findall(head + tail)}
        self._in_tail = set(_GROUP.findall(tail))
        self._patterns: dict[frozenset[str], str] = {}

    def copy(self) -> "TextFormat":
        """Return the same format for another log."""
        return TextFormat(self.name, self.head, self.tail, self.renamed)

    def names(self) -> list[str]:
        return [name for name in self._groups if not name.endswith("_2")]

    def has(self, field: str) -> bool:
        return column_of(field, self._groups) is not None

    def count(self, lines: Any) -> int:
        """How many of these lines are in this format."""
        return pc.sum(pc.match_substring_regex(lines, self._pattern(frozenset()))).as_py() or 0

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        sources = {field: column_of(field, self._groups) for field in wanted}
        self.taken |= {field: source for field, source in sources.items() if source}
        columns = {source for source in sources.values() if source}
        columns |= {f"{source}_2" for source in columns if f"{source}_2" in self._groups}
        captured = frozenset(self._groups[column] for column in columns) or frozenset(list(self._groups.values())[:1])
        found = pc.extract_regex(lines, self._pattern(captured))
        read = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        if len(read) < len(found):
            found = found.take(pa.array(read))
        values = {column: self._values(found, column, columns) for column in columns}
        fields = {
            field: part_of(field, values[source]) if source else nulls(len(read)) for field, source in sources.items()
        }
        return Rows(fields, read)

    def _values(self, found: Any, column: str, columns: set[str]) -> Any:
        value = pc.struct_field(found, self._groups[column])
        if f"{column}_2" not in columns:
            return value
        empty = pc.or_(pc.equal(value, b""), pc.equal(value, b"-"))
        return pc.if_else(pc.fill_null(empty, True), pc.struct_field(found, self._groups[f"{column}_2"]), value)

    def _pattern(self, captured: frozenset[str]) -> str:
        if captured not in self._patterns:
            tail = f"(?:{self.tail})?" if captured & self._in_tail else ""
            self._patterns[captured] = _GROUP.sub(
                lambda group: group[0] if group[1] in captured else "(?:", f"^(?:{self.head}){tail}"
            )
        return self._patterns[captured]
