"""A text with `$variables`."""

import html
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from .variables import check_name

_VARIABLE = re.compile(r"\$\{([\w.$-]+)\}|\$((?:context|stageVariables|request)\.[\w.-]*\w)", re.ASCII)
_QUOTED = re.compile(r"\$(\{)?context\.error\.messageString\b(?(1)\})")  # the message with its quotes


class Scope(Protocol):
    """A source of the values of variables."""

    def lookup(self, name: str) -> Any:
        """Return the value of a name such as `context.stage`, or None."""


class Template:
    """A text whose `$context.x`, `$request.header.x` and `${stageVariables.x}` are filled in.

    Args:
        text: the text.
        escape: applied to each value.
        missing: written in place of a variable without a value.

    Raises: BadValue for an unknown variable.
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
        """Return the text with its values; a text without variables needs no scope."""
        if scope is None or not self._parts:
            return self._tail
        out = []
        for literal, name in self._parts:
            value = scope.lookup(name)
            out.append(literal)
            out.append(self.missing if value is None or value == "" else self.escape(str(value)))
        out.append(self._tail)
        return "".join(out)


def escape_of(content_type: str, otherwise: Callable[[str], str]) -> Callable[[str], str]:
    """Return what escapes the values in a body of a content type, if it is JSON, HTML or XML."""
    kind = content_type.partition(";")[0].strip().lower()
    return html.escape if kind.endswith(("html", "xml")) else in_json if kind.endswith("json") else otherwise


def in_json(value: str) -> str:
    """Escape a value within a JSON string."""
    return json.dumps(value)[1:-1]
