"""Formats that the user describes: nginx's log_format, Apache's LogFormat, or a regular expression."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from .text import TextFormat

# Apache's directives (and those of programs that follow it, such as Tomcat), as fields.
DIRECTIVES = {
    "h": "client", "a": "client", "c": "client", "l": "ident", "u": "user", "t": "time", "r": "request", "s": "status",
    "b": "size", "B": "size", "O": "size", "I": "received", "U": "path", "q": "query", "m": "method", "H": "protocol",
    "v": "host", "V": "host", "p": "port", "D": "microseconds", "T": "seconds", "F": "microseconds", "P": "process",
    "L": "log_id", "k": "keepalive", "X": "connection", "f": "file", "R": "handler", "S": "transferred", "A": "server",
}  # fmt: skip
SHAPES = {
    "status": r"\d{3}|-",
    "size": r"\d+|-",
    "body_bytes_sent": r"\d+|-",
    "bytes_sent": r"\d+|-",
    "client": r"[^ \"]*",
    "path": r"[^ ?\"\n]*",
    "query": r"[^ \"\n]*",
}
# strftime's directives, as regular expressions; the texts must then be in a form that is known.
TIME_PARTS = {
    "Y": r"\d{4}", "y": r"\d\d", "m": r"\d\d", "d": r"\d\d", "e": r"[ \d]\d", "H": r"\d\d", "I": r"\d\d", "M": r"\d\d",
    "S": r"\d\d", "b": "[A-Za-z]{3}", "h": "[A-Za-z]{3}", "B": "[A-Za-z]+", "a": "[A-Za-z]{3}", "A": "[A-Za-z]+",
    "p": "[AaPp][Mm]", "z": r"[+-]\d{4}", "Z": "[A-Za-z]+", "T": r"\d\d:\d\d:\d\d", "F": r"\d{4}-\d\d-\d\d",
    "D": r"\d\d/\d\d/\d\d", "R": r"\d\d:\d\d", "s": r"\d+", "f": r"\d+",
}  # fmt: skip
_APACHE = re.compile(r"%(?:[<>!\d,]*)(?:\{(?P<argument>[^}]*)\})?(?P<letter>\^?[A-Za-z]{1}[io]?|%)")
_NGINX = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def from_log_format(text: str) -> TextFormat:
    """Return the format of nginx's `log_format` or Apache's `LogFormat`: the string, or the whole directive.

    Raises: ValueError with the text and what is expected.
    """
    string = _string(text)
    if _NGINX.search(string):
        pieces = _nginx(string)
    elif "%" in string:
        pieces = _apache(string)
    else:
        raise ValueError(f"--log-format: expected nginx's $variables or Apache's %directives, got {text!r}")
    return _assembled("--log-format", pieces)


def from_pattern(text: str) -> TextFormat:
    """Return the format of a regular expression in RE2's syntax, whose named groups are the fields.

    Raises: ValueError for a pattern that RE2 refuses, or that names no field.
    """
    pattern = re.sub(r"\(\?<(?![=!])", "(?P<", text)
    try:
        pc.extract_regex(pa.array([b""], pa.binary()), pattern)
    except pa.ArrowInvalid as error:
        raise ValueError(f"--pattern: expected a regular expression in RE2's syntax, got {text!r}: {error}") from None
    if "(?P<" not in pattern:
        raise ValueError(f"--pattern: expected named groups such as (?P<client>[^ ]+), got {text!r}")
    return TextFormat("--pattern", pattern.removeprefix("^"))


def _string(text: str) -> str:
    """Return the format string of a directive: its quoted strings, joined. Text without a directive is the string."""
    directive = re.match(r"\s*(log_format\s+\S+|LogFormat)\s+(.*?);?\s*$", text, re.DOTALL)
    if directive is None:
        return text
    rest = re.sub(r"^escape=\w+\s+", "", directive[2])
    strings = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", rest)
    joined = "".join(one or other for one, other in (strings[:1] if directive[1] == "LogFormat" else strings))
    return re.sub(r"\\(['\"])", r"\1", joined) if strings else rest


def _nginx(string: str) -> list[tuple[str, str]]:
    """(literal before it, field) pairs, and at last the literal after all."""
    pieces, place = [], 0
    for found in _NGINX.finditer(string):
        pieces.append((string[place : found.start()], found[1] or found[2]))
        place = found.end()
    return [*pieces, (string[place:], "")]


def _apache(string: str) -> list[tuple[str, str]]:
    string = string.replace('\\"', '"').replace("\\t", "\t")
    pieces, place, literal = [], 0, ""
    for found in _APACHE.finditer(string):
        literal += string[place : found.start()]
        place = found.end()
        if found["letter"] == "%":
            literal += "%"
            continue
        pieces.append((literal, _apache_field(found["letter"], found["argument"], found[0])))
        literal = ""
    return [*pieces, (literal + string[place:], "")]


def _apache_field(letter: str, argument: str | None, directive: str) -> str:
    if argument is not None and letter in ("i", "o", "e", "n", "C", "x"):
        header = argument.lower()
        known = {"user-agent": "agent", "referer": "referer", "host": "host"}
        return known.get(header, f"header.{header}") if letter == "i" else header
    if letter == "t" and argument is not None:
        return f"time:{argument.removeprefix('begin:').removeprefix('end:')}"
    if letter not in DIRECTIVES:
        choices = ", ".join(f"%{name}" for name in DIRECTIVES)
        raise ValueError(f"--log-format: unknown directive {directive!r} (choose from {choices})")
    return "time:[]" if letter == "t" else DIRECTIVES[letter]


def _assembled(name: str, pieces: list[tuple[str, str]]) -> TextFormat:
    pattern = ""
    renamed: dict[str, str] = {}
    seen: dict[str, int] = {}
    for number, (literal, field) in enumerate(pieces):
        pattern += re.escape(literal).replace(r"\ ", " +" if literal == " " else " ")
        if not field:
            break
        field, _, time_format = field.partition(":")
        seen[field] = seen.get(field, 0) + 1
        renamed[f"g{number}"] = field if seen[field] == 1 else f"{field}_{seen[field]}"
        after = pieces[number + 1][0][:1]
        if time_format:
            pattern += _time(f"g{number}", time_format)
        else:
            pattern += f"(?P<g{number}>{SHAPES.get(field) or _shape(after)})"
    form = TextFormat(name, pattern + r"\s*$", renamed=renamed)
    if not form.has("time"):
        raise ValueError(f"{name}: missing required time ($time_local, $time_iso8601 or $msec; %t)")
    return form


def _shape(after: str) -> str:
    """Return the pattern of a value by the text after it: up to a quote, a bracket or a blank, if it is one."""
    if after in ('"', "]"):
        return r'(?:[^"\\]|\\.)*' if after == '"' else r"[^\]]*"
    return r".*?"


def _time(group: str, form: str) -> str:
    if form == "[]":
        return rf"\[(?P<{group}>[^\]]*)\]"
    if form in ("sec", "msec", "usec", "msec_frac", "usec_frac"):
        return rf"(?P<{group}>\d+)"
    parts = re.split(r"(%[A-Za-z%])", form)
    shape = "".join(TIME_PARTS.get(part[1:], r".*?") if part.startswith("%") else re.escape(part) for part in parts)
    return f"(?P<{group}>{shape})"
