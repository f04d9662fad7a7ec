"""Texts with `$variables`, and the mappings of headers, path and status that are made of them."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote

from ..routing.table import BadValue, decode
from ..templates.variables import check_name

_VARIABLE = re.compile(r"\$\{([\w.$-]+)\}|\$((?:context|stageVariables|request)\.[\w.-]*\w)", re.ASCII)
_QUOTED = re.compile(r"\$(\{)?context\.error\.messageString\b(?(1)\})")  # the message with its quotes
_RULE = re.compile(r"(append|overwrite|remove):header\.([!#$%&'*+.^_`|~\w-]+)|overwrite:(path|statuscode)", re.ASCII)
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
Headers = list[tuple[bytes, bytes]]
HOP_BY_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
}  # fmt: skip
# Headers that say how a message is framed or who is meant: no mapping may write them.
RESERVED = HOP_BY_HOP | {b"content-length", b"expect", b"host"}


class Scope(Protocol):
    """What variables are looked up in."""

    def lookup(self, name: str) -> Any:
        """The value of a name such as `context.stage`; None if there is none."""


class Template:
    """A text whose `$context.x`, `$request.header.x` and `${stageVariables.x}` are filled in.

    Args:
        text: the text.
        escape: applied to each value.
        missing: what a value that there is not is written as.

    Raises: BadValue for a variable that there never is.
    """

    def __init__(self, text: str, escape: Callable[[str], str] = str, missing: str = "") -> None:
        text = _QUOTED.sub('"${context.error.message}"', text)
        self.text = text
        self.escape = escape
        self.missing = missing
        self._parts: list[tuple[str, str]] = []  # each a literal and the name after it
        end = 0
        for found in _VARIABLE.finditer(text):
            self._parts.append((text[end : found.start()], found[1] or found[2]))
            end = found.end()
        self._tail = text[end:]
        self.names = [name for _, name in self._parts]
        for name in self.names:
            check_name(name)

    def fill(self, scope: Scope | None) -> str:
        """The text with its values; without any it needs no scope."""
        if scope is None or not self._parts:
            return self._tail
        out = []
        for literal, name in self._parts:
            value = scope.lookup(name)
            out.append(literal)
            out.append(self.missing if value is None or value == "" else self.escape(str(value)))
        out.append(self._tail)
        return "".join(out)


def in_json(value: str) -> str:
    """A value within a JSON string."""
    return json.dumps(value)[1:-1]


def in_path(value: str) -> str:
    """A value as a part of a path; the slashes of a greedy variable stay."""
    return quote(value, safe="/~!$&'()*,;=:@")


def clean(name: str, value: str) -> bytes:
    """A header's value, or BadValue when it could end the header."""
    if CONTROL.search(value):
        raise BadValue(f"a control character for header {name}")
    try:
        return value.strip().encode("latin-1")
    except UnicodeEncodeError:
        return quote(value.strip(), safe=" !#$&'()*+,/:;=?@[]~").encode()


def one_name(name: bytes) -> bytes:
    """A header's name as it may be read: CGI and WSGI tell `_` and `-` not apart."""
    return name.lower().replace(b"_", b"-")


class Mapping:
    """Changes to a request before its backend, or to a response before its client.

    Args:
        rules: `append|overwrite|remove:header.x`, `overwrite:path`, `overwrite:statuscode`, and templates.

    Raises: ValueError that names the rule.
    """

    def __init__(self, rules: dict[str, str]) -> None:
        self._headers: list[tuple[str, bytes, Template]] = []
        self._path: Template | None = None
        self._status: Template | None = None
        for rule, text in rules.items():
            found = _RULE.fullmatch(rule)
            if found is None:
                raise ValueError(
                    f"mapping must be as 'overwrite:header.x', 'overwrite:path' or ':statuscode', not {rule!r}"
                )
            try:
                self._add(found[1], found[2], found[3], text)
            except BadValue as error:
                raise ValueError(f"mapping {rule!r}: {error}") from error

    def _add(self, verb: str, header: str, other: str, text: str) -> None:
        """One rule, or BadValue for what is wrong with it whatever is filled in."""
        template = Template(text, in_path if other == "path" else str)
        if other == "path":
            if not text.startswith(("/", "$")):
                raise BadValue(f"a path must begin with /, not as {text!r}")
            if not template.names:
                decode(text.encode())
            self._path = template
        elif other == "statuscode":
            if not template.names:
                _status(text)
            self._status = template
        elif header.lower().encode() in RESERVED:
            raise BadValue("the gateway itself writes this header")
        else:
            clean(header, text)
            self._headers.append((verb, header.lower().encode(), template))

    def __bool__(self) -> bool:
        return bool(self._headers or self._path or self._status)

    def headers(self, headers: Headers, scope: Scope) -> Headers:
        """The headers after the mapping."""
        for verb, name, template in self._headers:
            if verb != "append":
                same = one_name(name)
                headers = [header for header in headers if one_name(header[0]) != same]
            if verb != "remove":
                headers = [*headers, (name, clean(name.decode(), template.fill(scope)))]
        return headers

    def path(self, path: str, scope: Scope) -> str:
        """The encoded path after the mapping; what a value makes ambiguous is a BadPath."""
        if self._path is None:
            return path
        path = self._path.fill(scope)
        decode(path.encode())
        return path

    def status(self, status: int, scope: Scope) -> int:
        """The status after the mapping."""
        if self._status is None:
            return status
        return _status(self._status.fill(scope))


def _status(text: str) -> int:
    if not re.fullmatch(r"[2-5]\d\d", text):
        raise BadValue(f"{text!r} is no status")
    return int(text)
