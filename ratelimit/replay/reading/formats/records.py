"""JSON whose objects are not one a line, as one object a line: arrays, pretty JSON, and objects side by side."""

import json
import re
from collections.abc import Iterable, Iterator

from ..files import LONGEST
from .json_lines import decoded

# The lists of records that some services wrap into one object.
ENVELOPES = ("Records", "records", "entries", "logs", "events", "logEvents")
_ENVELOPE = re.compile(rf'\s*\{{\s*"(?:{"|".join(ENVELOPES)})"\s*:\s*(?=\[)')
_ARRAY = re.compile(rb"\s*\[\s*[{\]]")
_BETWEEN = re.compile(r"[\s,\[\]}]*")
_NEXT_OBJECT = re.compile(r"\n(?=[\s,]*\{)")
_FAR = 64_000  # characters: when this many follow, an object that cannot be decoded is broken, and not just cut off
_DECODER = json.JSONDecoder(strict=False)


def splitter(start: bytes) -> "type[Splitter] | None":
    """Return the splitter for a source with this start: None if its lines are objects, or it is not JSON."""
    if _ARRAY.match(start) or _ENVELOPE.match(start.decode("latin-1")):
        return Splitter
    first, feed, rest = start.strip(b" \t\r\n").partition(b"\n")
    if not first.startswith(b"{"):
        return None
    if not feed:  # what follows is unknown
        return Splitter
    first = first.strip()
    if decoded(first) is not None:
        return None
    side_by_side = re.search(rb"\}\s*,?\s*\{", first) is not None
    return Splitter if side_by_side or (rest.strip() and not first.endswith(b"}")) else None


class Splitter:
    """Cuts a stream of JSON into lines of one object each."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """Whole lines, many at a time. A broken object is a line, too."""
        rest, first = b"", True
        for piece in self.pieces:
            data = rest + piece
            whole = len(data) if len(piece) == 0 else _whole_characters(data)
            text, rest = data[:whole].decode("utf-8", "surrogateescape"), data[whole:]
            if first and (envelope := _ENVELOPE.match(text)):
                text = text[envelope.end() :]
            first = False
            lines, left = _objects(text)
            rest = left[:LONGEST].encode("utf-8", "surrogateescape") + rest
            if lines:
                yield _joined(lines)
        if rest.strip():
            yield _joined([rest.decode("utf-8", "surrogateescape")])


def _whole_characters(data: bytes) -> int:
    """How many bytes there are before a character that is cut off at the end."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] & 0xC0 != 0x80:
            return len(data) - back if data[-back] >= 0xC0 else len(data)
    return len(data)


def _joined(lines: list[str]) -> bytes:
    one_line = (line.replace("\r", " ").replace("\n", " ") + "\n" for line in lines)
    return "".join(one_line).encode("utf-8", "surrogateescape")


def _objects(text: str) -> tuple[list[str], str]:
    """Return the complete objects at the beginning of the text, and the rest."""
    lines: list[str] = []
    place = 0
    while True:
        place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
        if place == len(text):
            return lines, ""
        end = _end_of_object(text, place) if text[place] == "{" else text.find("\n", place)
        if end < 0:
            return lines, text[place:]
        lines.append(text[place:end])
        place = end


def _end_of_object(text: str, place: int) -> int:
    """Where the object ends, or, of one that is not JSON, where the next one begins; -1 when that is not known yet."""
    try:
        return int(_DECODER.raw_decode(text, place)[1])
    except (ValueError, RecursionError):
        found = _NEXT_OBJECT.search(text, place)
        return found.end() if found and len(text) - place > _FAR else -1
