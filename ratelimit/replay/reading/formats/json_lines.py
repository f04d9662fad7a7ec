"""JSON objects, one a line.

msgspec decodes only the fields that are asked for. Their names are settled on the first block; a line that lacks one
of them, or cannot be decoded so, is decoded whole and looked through for every name that the field may have.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from .base import Format, Rows, part_of
from .fields import candidates
from .plausible import plausible

SAMPLE = 1_000  # lines of the first block on which the names are settled
DEEPEST = 4  # levels of names that are listed
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|.)", re.DOTALL)
Path = tuple[str, ...]


class JsonLines(Format):
    """One JSON object a line. `a.b` is the field b within a, or a field whose name is `a.b`."""

    name = "json"

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}
        self._names: dict[str, None] = {}
        self._columns: dict[str, _Column] = {}
        self._decoder: Any = None

    def names(self) -> list[str]:
        return list(self._names)

    def has(self, field: str) -> bool:
        return True  # each line has its own

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        texts = lines.to_pylist()
        if self._decoder is None:
            self._settle(texts, list(wanted))
        read, records = [], []
        for index, text in enumerate(texts):
            if text is None:
                continue
            try:
                record = self._decoder(text)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                record = decoded(text)
                if record is None:
                    continue
            read.append(index)
            records.append(record)
        return Rows(
            {name: part_of(name, column.values(records, texts, read)) for name, column in self._columns.items()},
            np.array(read, np.int64),
        )

    def _settle(self, texts: list[bytes | None], wanted: list[str]) -> None:
        """Find out under which names this log has the fields, and make a decoder of those alone."""
        sample = [record for text in texts[:SAMPLE] if text and (record := decoded(text)) is not None]
        for record in sample[:50]:
            self._names |= dict.fromkeys(name for name in flat_names(record))
        settled = {field: _best_first(sample, field) for field in wanted}
        self.taken = {field: paths[0][0] for field, paths in settled.items() if paths}
        self._columns = {field: _Column(field, settled[field]) for field in wanted}
        tree: dict[str, Any] = {}
        for paths in settled.values():
            for _, path in paths:
                _grow(tree, path)
        self._decoder = msgspec.json.Decoder(_struct(tree)).decode


class _Column:
    """One field of the records.

    Args:
        paths: (name, path) under which the first lines have it, best first.
    """

    def __init__(self, field: str, paths: list[tuple[str, Path]]) -> None:
        self.paths = [path for _, path in paths]
        self.others = [path for _, path in all_paths(field)]
        self.hint = re.compile(b"|".join(b'"%s"' % re.escape(path[-1].encode()) for path in self.others))

    def values(self, records: list[Any], texts: list[bytes | None], read: list[int]) -> Any:
        """Return the field of these records, each decoded completely (dict) or as far as was settled (Struct)."""
        values: list[Any] = [None] * len(records)
        for path in reversed(self.paths):
            values = (
                [
                    found if (found := _at(record, path)) is not None else other
                    for record, other in zip(records, values, strict=True)
                ]
                if len(path) > 1 or len(self.paths) > 1
                else [_leaf(record, path[0]) for record in records]
            )
        for index, value in enumerate(values):
            if value is None or type(value) is dict or type(value) is list:
                values[index] = self._searched(value, texts[read[index]] or b"")
        return _as_bytes(values)

    def _searched(self, value: Any, text: bytes) -> Any:
        if type(value) is list and (first := scalar(value)) is not None:
            return first
        if not self.hint.search(text):
            return None
        record = decoded(text) or {}
        return next((found for path in self.others if (found := scalar(_at(record, path))) is not None), None)


def decoded(text: bytes) -> dict[str, Any] | None:
    """Return the object in a line, or None.

    Common deviations from JSON are repaired: `\\x22`, as nginx escapes without `escape=json`, bytes that are not UTF-8,
    and control characters.
    """
    try:
        record = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        mended = _ESCAPE.sub(lambda found: b"\\u00" + found[1] if found[1] else found[0], text)
        try:
            record = json.loads(mended.decode("utf-8", "surrogateescape"), strict=False)
        except (ValueError, RecursionError):
            return None
    return record if isinstance(record, dict) else None


def scalar(value: Any) -> Any:
    """Return a string or a number; of a list, as in Caddy's headers, the first element. None for any other value."""
    if type(value) is list and value:
        value = value[0]
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def lookup(record: dict[str, Any], field: str) -> Any:
    """Return the value of a field by the first of its names that the record has."""
    return next((found for _, path in all_paths(field) if (found := scalar(_at(record, path))) is not None), None)


def all_paths(field: str) -> list[tuple[str, Path]]:
    """Every name of a field, as a path; a name with dots both ways."""
    return [(name, path) for name in candidates(field) for path in dict.fromkeys([(name,), tuple(name.split("."))])]


def _present(sample: list[dict[str, Any]], field: str) -> list[tuple[str, Path]]:
    return [
        (name, path)
        for name, path in all_paths(field)
        if any(scalar(_at(record, path)) is not None for record in sample)
    ]


def _best_first(sample: list[dict[str, Any]], field: str) -> list[tuple[str, Path]]:
    """Every name of a field in the sample; those whose values look like the field come first."""
    paths = _present(sample, field)
    if len(paths) < 2:
        return paths

    def odd(path: Path) -> bool:
        values = (scalar(_at(record, path)) for record in sample[:50])
        return not plausible(field, [None if value is None else str(value) for value in values])

    return sorted(paths, key=lambda named: odd(named[1]))


def _at(record: Any, path: Path) -> Any:
    for step in path:
        if type(record) is dict:
            record = record.get(step)
        elif isinstance(record, msgspec.Struct):
            record = getattr(record, _ATTRIBUTES.get(step, ""), None)
        else:
            return _header(record, step) if type(record) is list else None
    return record


def _leaf(record: Any, name: str) -> Any:
    return record.get(name) if type(record) is dict else getattr(record, _ATTRIBUTES[name], None)


def _header(pairs: list[Any], name: str) -> Any:
    """Return a header from a list of {"name": ..., "value": ...}, as AWS WAF writes them."""
    for pair in pairs:
        if isinstance(pair, dict) and str(pair.get("name", "")).lower() == name.lower():
            return pair.get("value")
    return None


def flat_names(record: dict[str, Any], before: str = "", depth: int = 1) -> Iterator[str]:
    """Yield the names of the fields, also of fields within fields, as `a.b`."""
    for name, value in record.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from flat_names(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name


_ATTRIBUTES: dict[str, str] = {}  # of Structs: a JSON name's attribute, for not every name can be one


def _grow(tree: dict[str, Any], path: Path) -> None:
    """Put a path into the tree. A name that has both a value and fields is decoded whole."""
    *steps, last = path
    for step in steps:
        if step in tree and tree[step] is None:
            return
        tree = tree.setdefault(step, {})
    tree[last] = None


def _struct(tree: dict[str, Any]) -> type:
    fields, names = [], {}
    for name, inner in tree.items():
        attribute = _ATTRIBUTES.setdefault(name, f"f{len(_ATTRIBUTES)}")
        names[attribute] = name
        kind = Any if inner is None else _struct(inner) | None
        fields.append((attribute, kind, None))
    return msgspec.defstruct("Record", fields, rename=names, gc=False)


def _as_bytes(values: list[Any]) -> Any:
    try:
        return pa.array(values, pa.string()).cast(pa.binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return pa.array([_encoded(value) for value in values], pa.binary())


def _encoded(value: Any) -> bytes | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode("utf-8", "surrogateescape")
    return str(value).encode()
