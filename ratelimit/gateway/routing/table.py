"""From a method and a path to a route: literal segments before variables, full matches before greedy ones."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..http.paths import SLASH

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY")
OWN_METHODS = tuple(one for one in METHODS if one not in ("HEAD", "ANY"))  # of a backend, in place of the client's
VARIABLE = re.compile(r"\{([\w.:-]+)(\+?)\}", re.ASCII)  # the characters that AWS allows
_LITERAL = re.compile(r"[\w.~!$&'()*,;=:@-]+", re.ASCII)


class RouteKey(NamedTuple):
    """`METHOD /path`: segments are literals, `{variables}`, and at the end perhaps a greedy `{variable+}`."""

    method: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "RouteKey":
        """Read a route key; raise a ValueError that names the problem."""
        if text == "$default":
            return cls("ANY", ("{proxy+}",))
        method, _, path = text.partition(" ")
        if method not in METHODS or not path.startswith("/"):
            raise ValueError(f"route key: expected 'METHOD /path' with one of {', '.join(METHODS)}, got {text!r}")
        segments = tuple(path[1:].split("/")) if path != "/" else ("",)
        names: list[str] = []
        for i, segment in enumerate(segments):
            variable = VARIABLE.fullmatch(segment)
            if variable is None:
                if not _LITERAL.fullmatch(segment) and segment != "":
                    raise ValueError(f"route key {text!r}: segment {segment!r} is neither literal nor one variable")
                if segment in (".", "..") or (segment == "" and i < len(segments) - 1):
                    raise ValueError(f"route key {text!r}: no request has the segment {segment!r}")
                continue
            names.append(variable[1])
            if variable[2] and i < len(segments) - 1:
                raise ValueError(f"route key {text!r}: {segment} is allowed only at the end")
        if len(set(names)) < len(names):
            raise ValueError(f"route key {text!r} has a variable twice")
        return cls(method, segments)


class Match(NamedTuple):
    """A route key, what its variables stand for, and at which segment a greedy one begins (or -1)."""

    key: str
    variables: dict[str, str]
    rest: int = -1


@dataclass(slots=True)
class _Node:
    """A place in the tree of segments."""

    literals: "dict[str, _Node]" = field(default_factory=dict)
    variable: "_Node | None" = None
    keys: dict[str, str] = field(default_factory=dict)  # method -> route key, of paths that end here
    greedy: dict[str, str] = field(default_factory=dict)  # of paths that go on from here


class RouteTable:
    """Selects the route of a request; usable alone.

        routes = RouteTable(["GET /pets/{id}", "ANY /{proxy+}", "$default"])
        routes.match("GET", "/pets/7")  # Match(key='GET /pets/{id}', variables={'id': '7'})

    Args:
        keys: route keys.

    Raises: ValueError for a key that cannot be read, or that is the same as another but for variables' names.
    Immutable, hence safe to share between threads.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = tuple(keys)
        self._root = _Node()
        self._names: dict[str, list[tuple[int, str]]] = {}  # route key -> where its variables stand
        for text in self.keys:
            if text != "$default":
                self._add(text, RouteKey.parse(text))
        self._default = Match("$default", {}) if "$default" in self.keys else None

    def _add(self, text: str, key: RouteKey) -> None:
        node = self._root
        names = []
        ends = None
        for i, segment in enumerate(key.segments):
            variable = VARIABLE.fullmatch(segment)
            if variable is None:
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append((i, variable[1]))
            if variable[2]:
                ends = node.greedy
                break
            if node.variable is None:
                node.variable = _Node()
            node = node.variable
        ends = node.keys if ends is None else ends
        if key.method in ends:
            raise ValueError(f"route keys {ends[key.method]!r} and {text!r} are the same")
        ends[key.method] = text
        self._names[text] = names

    def match(self, method: str, path: str) -> Match | None:
        """Return the route of a decoded path (see `decode`), or None.

        `/a/` is `/a`, unless a route key has the slash itself. It is no other path for a greedy variable, which may
        have fewer guards.
        """
        if method not in METHODS:  # ANY and $default stand for those of a route key, not for TRACE and the like
            return None
        segments = path[1:].split("/")
        key = self._full(self._root, method, segments, 0)
        if key is None and not segments[-1]:
            key = self._full(self._root, method, segments[:-1], 0)
        key = key or self._greedy(self._root, method, segments, 0)
        if key is None:
            return self._default
        names = self._names[key]
        values = {name: segments[i].replace(SLASH, "/") for i, name in names}
        if not key.endswith("+}"):
            return Match(key, values)
        rest, name = names[-1]
        values[name] = "/".join(segments[rest:]).replace(SLASH, "/")
        return Match(key, values, rest)

    def _full(self, node: _Node, method: str, segments: list[str], i: int) -> str | None:
        if i == len(segments):
            return node.keys.get(method) or node.keys.get("ANY")
        literal = node.literals.get(segments[i])
        found = self._full(literal, method, segments, i + 1) if literal else None
        if found is None and node.variable and segments[i]:
            found = self._full(node.variable, method, segments, i + 1)
        return found

    def _greedy(self, node: _Node, method: str, segments: list[str], i: int) -> str | None:
        if i == len(segments) or (i == len(segments) - 1 and not segments[i]):
            return None
        literal = node.literals.get(segments[i])
        found = self._greedy(literal, method, segments, i + 1) if literal else None
        if found is None and node.variable and segments[i]:
            found = self._greedy(node.variable, method, segments, i + 1)
        return found or node.greedy.get(method) or node.greedy.get("ANY")
