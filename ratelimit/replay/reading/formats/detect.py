"""Find out which format a log is in, from its first block."""

import csv
import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..files import Block
from ..timestamps import BROKEN, times_of
from .base import Format
from .catalogue import CATALOGUE
from .fields import column_of, shown
from .json_lines import JsonLines, decoded, flat_names, lookup
from .prefixes import ANYTHING, ENVELOPES, PREFIXES, Enveloped, Prefix, Prefixed, stripped
from .tables import DELIMITERS, Csv, W3c

SAMPLE = 200  # lines that are looked at; the whole block, if they tell nothing
NAMES = ("json", "csv", "w3c", *(form.name for form in CATALOGUE))
NESTED = 3  # prefixes and envelopes around one another
_OTHER_NAMES = {"common": "combined"}  # one of them reads the other


def format_of(block: Block, wanted: Iterable[str], name: str | None = None) -> Format:
    """Return the format of a log: the named one, or the one that most of the first lines have.

    Args:
        wanted: the fields that will be asked for; a JSON object that has none of them may have a log line in it.
        name: one of NAMES, or "common".

    Raises: ValueError, with the line that comes nearest, when the lines are in no known format.
    """
    lines = _not_blank(block.lines)
    if name is not None:
        return _named(lines, _OTHER_NAMES.get(name, name), block.source)
    for sample in (lines.slice(0, SAMPLE), lines):
        found = _detected(sample, [field for field in wanted if field != "time"], 0)
        if found is not None:
            return found
    if names := _names(lines.slice(0, SAMPLE).to_pylist()):
        field = next(field for field in wanted if field != "time")
        raise ValueError(f"{block.source}: no line has a field {field!r} (choose from {shown(names)})")
    raise ValueError(f"{block.source}: unknown format; {_nearest(lines)}")


def other_format_of(lines: Any, wanted: Iterable[str]) -> Format | None:
    """Return the format of lines that are not in their log's own format, or None."""
    found = _detected(_not_blank(lines).slice(0, SAMPLE), [field for field in wanted if field != "time"], 1)
    return None if isinstance(found, W3c) else found


def _not_blank(lines: Any) -> Any:
    return lines.filter(pc.match_substring_regex(lines, r"\S"))


def _named(lines: Any, name: str, source: str) -> Format:
    if name == "json":
        return JsonLines()
    if name == "w3c":
        return W3c([line for line in lines.to_pylist() if line.startswith(b"#")][:20])
    if name == "csv":
        return _csv(lines) or Csv(lines[0].as_py() if len(lines) else b"")
    form = next((form for form in CATALOGUE if form.name == name), None)
    if form is None:
        raise ValueError(f"unknown format {name!r} (choose from {', '.join(('common', *NAMES))})")
    return form.copy()


def _detected(lines: Any, wanted: list[str], depth: int) -> Format | None:
    if not len(lines):
        return None
    fields = _w3c(lines)
    if fields is not None:
        return fields
    if (found := _prefixed(PREFIXES, lines, wanted, depth)) is not None:
        return found
    best, most = None, 0
    for form in CATALOGUE:
        count = form.count(lines)
        if count > most:
            best, most = form, count
    texts = lines.to_pylist()
    objects = [record for text in texts if text.lstrip()[:1] == b"{" and (record := decoded(text)) is not None]
    if objects and len(objects) >= most and (found := _json(objects, lines, wanted, depth)) is not None:
        return found
    if best is not None:
        return best.copy()
    return None if depth else _csv(lines) or _prefixed(ANYTHING, lines, wanted, depth)


def _json(objects: list[dict[str, Any]], lines: Any, wanted: list[str], depth: int) -> Format | None:
    """JSON with the fields, or JSON around a log line; None if it is neither."""
    if any(lookup(record, field) is not None for record in objects for field in wanted):
        return JsonLines()
    if depth < NESTED:
        for field in ENVELOPES:
            inner = [value for record in objects if isinstance(value := lookup(record, field), str)]
            if inner:
                payload = stripped(pa.array([text.encode("utf-8", "surrogatepass") for text in inner], pa.binary()))
                if (found := _detected(_not_blank(payload), wanted, depth + 1)) is not None:
                    return Enveloped(field, found)
    return None


def _prefixed(prefixes: list[Prefix], lines: Any, wanted: list[str], depth: int) -> Format | None:
    if depth >= NESTED:
        return None
    for prefix in prefixes:
        payload = pc.struct_field(pc.extract_regex(lines, prefix.whole), "payload").drop_null()
        if len(payload) * 2 >= len(lines) and (found := _detected(_not_blank(payload), wanted, depth + 1)) is not None:
            return Prefixed(prefix, found)
    return None


def _w3c(lines: Any) -> W3c | None:
    directives = [line for line in lines.slice(0, SAMPLE).to_pylist() if line.startswith(b"#")]
    return W3c(directives) if any(line.startswith(b"#Fields:") for line in directives) else None


def _csv(lines: Any) -> Csv | None:
    """CSV, if one of the first lines names columns, and one of them holds times."""
    texts = lines.slice(0, SAMPLE).to_pylist()
    for number, line in enumerate(texts):
        if not _is_text(line) or not any(mark.encode() in line for mark in DELIMITERS):
            continue
        try:
            form = Csv(line)
        except csv.Error:
            continue
        if form.has("time") or _has_times(form, texts[number + 1 :]):
            return form
    return None


def _has_times(form: Csv, following: list[bytes]) -> bool:
    """Whether any column of the next lines holds times; it can then be named by --time."""
    if len(set(form.columns)) != len(form.columns) or not all(re.match(r"[A-Za-z_@]", name) for name in form.columns):
        return False
    rows = form.rows(pa.array(following[:20], pa.binary()), form.columns)
    form.taken = {}
    return any(
        len(column) and (times_of(column) != BROKEN).all() for field, column in rows.fields.items() if len(rows.lines)
    )


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().rstrip("\r\n").replace("\t", " ").isprintable()
    except UnicodeDecodeError:
        return False


def _names(texts: list[bytes]) -> list[str]:
    """Return the fields of JSON lines."""
    records = [record for text in texts if (record := decoded(text)) is not None]
    return list(dict.fromkeys(name for record in records[:50] for name in flat_names(record)))


def _nearest(lines: Any) -> str:
    """Return the first line, and the format that matches the longest part of it."""
    text = lines[0].as_py()[:2_000].decode("utf-8", "replace").rstrip("\r\n")
    name, size = "", 0
    for form in CATALOGUE:
        matched = _longest_match(form.head, text)
        if matched > size:
            name, size = form.name, matched
    advice = "describe it by --log-format or --pattern"
    if column_of("time", re.split(r"[,;|\t]", text)):
        return f"its first line looks like the header of a CSV file, but no row follows: {shown([text[:120]])}"
    if not size:
        return f"{advice}; its first line is: {shown([text[:120]])}"
    return f"it comes nearest to {name}, up to {shown([text[:size][-20:]])!r} in: {shown([text[:120]])}; {advice}"


def _longest_match(pattern: str, text: str) -> int:
    """How many characters of the text the longest beginning of the pattern matches, if it goes as far as the time."""
    for end in range(len(pattern), pattern.index("(?P<time>"), -1):
        try:
            found = re.match(pattern[:end], text)
        except re.error:
            continue
        if found and found["time"] is not None:
            return found.end()
    return 0
