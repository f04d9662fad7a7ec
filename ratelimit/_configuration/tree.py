"""A YAML file as plain values, and the line of each of them."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any, NoReturn

import yaml

from .problems import Path, Problem, Problems, expected

MAX_DEPTH = 40  # of lists and mappings within each other
MAX_COPIES = 50_000  # of values, by aliases and merges
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
Entries = dict[str, tuple[yaml.Node, yaml.Node]]  # name -> the nodes of the name and of its value


class Tree:
    """The values of a YAML file.

    Raises a ConfigurationError for invalid YAML, for tags that make objects, for names that occur twice, and for
    more values or levels than a configuration needs: with aliases of aliases a small file could have any number.
    """

    def __init__(self) -> None:
        self._root: yaml.Node | None = None
        self._problems = Problems()
        self._entries: dict[int, Entries] = {}  # of each mapping node
        self._seen: set[int] = set()
        self._copies = 0

    def compose(self, content: bytes) -> None:
        """Parse a file."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._fail((), content.count(b"\n", 0, error.start) + 1, f"expected UTF-8: {error}")
        try:
            self._root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._fail((), line, f"expected YAML: {error.problem}")
        except (yaml.YAMLError, RecursionError) as error:
            self._fail((), 1, f"expected YAML: {' '.join(str(error).split())}")
        if self._root is None:
            self._fail((), 1, "expected a configuration, got an empty file")

    def line_of(self, path: Path) -> int:
        """Return the line of a path, or of the part of it that is in the file."""
        if self._root is None:
            return 1
        node, mark = self._root, self._root.start_mark
        for part in path:
            if isinstance(node, yaml.MappingNode) and part in (entries := self._entries_of(node, ())):
                key, node = entries[str(part)]
                mark = key.start_mark
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            else:
                break
        return int(mark.line) + 1

    def names(self) -> list[str]:
        """Return the names at the top of the file."""
        return list(self._entries_of(self._root, ())) if isinstance(self._root, yaml.MappingNode) else []

    def value(self) -> Any:
        """Return the file as dicts, lists and scalars. A number or a day has its text in the file as `text`."""
        assert self._root is not None
        value = self._value(self._root, ())
        self._problems.raise_any()
        return value

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._count(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._value(one, (*path, i)) for i, one in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            entries = self._entries_of(node, path)
            return {name: self._value(value, (*path, name)) for name, (_, value) in entries.items()}
        return self._tagged(node, path)

    def _tagged(self, node: yaml.Node, path: Path) -> Any:
        """Return the value of a node with a tag of another kind; here it is an error."""
        return self._note(node, path, f"expected no tag, got {node.tag.replace(_TAG, '!!')}")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind not in _SCALARS:
            return self._tagged(node, path)
        phrase, make = _SCALARS[kind]
        try:
            return make(node)
        except (ValueError, LookupError, AttributeError):  # PyYAML's, for a text that is not of the kind
            return self._note(node, path, expected(phrase, node.value))

    def _count(self, node: yaml.Node, path: Path) -> None:
        if id(node) in self._seen:
            self._copies += 1
            if self._copies > MAX_COPIES:
                self._fail(
                    path[:4], node.start_mark.line + 1, f"expected aliases that copy at most {MAX_COPIES} values"
                )
        self._seen.add(id(node))
        if len(path) > MAX_DEPTH:
            self._fail(path[:4], node.start_mark.line + 1, f"expected at most {MAX_DEPTH} levels")

    def _note(self, node: yaml.Node, path: Path, message: str) -> None:
        line = node.start_mark.line + 1
        if not any((problem.line, problem.message) == (line, message) for problem in self._problems):  # by an alias
            self._problems.append(Problem(path, message, line=line))

    def _fail(self, path: Path, line: int, message: str) -> NoReturn:
        self._problems.append(Problem(path, message, line=line))
        self._problems.raise_any()
        raise AssertionError("there is a problem")

    def _repeated(self, key: yaml.Node, path: Path, message: str) -> bool:
        """Note a name that occurs twice in a mapping. Return whether the second value is used."""
        self._note(key, path, message)
        return False

    # --- mappings

    def _entries_of(self, node: yaml.MappingNode, path: Path) -> Entries:
        """Return the entries of a mapping, including merged ones."""
        if id(node) not in self._entries:
            if len(path) > MAX_DEPTH:
                self._fail(path[:4], node.start_mark.line + 1, f"expected at most {MAX_DEPTH} levels")
            self._entries[id(node)] = dict(self._own_and_merged(node, path))
        return self._entries[id(node)]

    def _own_and_merged(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        own: Entries = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, path, "expected a name, got a list or a mapping")
            elif key.value in own:
                first = own[key.value][0].start_mark.line + 1
                if self._repeated(key, path, f"duplicate name {key.value!r} (first in line {first})"):
                    own[key.value] = key, value
            else:
                own[key.value] = key, value
        merged: Entries = {}
        for key, value in own.values():
            for one in (value.value if isinstance(value, yaml.SequenceNode) else [value]) if key.tag == _MERGE else ():
                if isinstance(one, yaml.MappingNode):
                    merged = {**self._entries_of(one, (*path, key.value)), **merged}
                else:
                    self._note(one, path, "expected a mapping after <<")
        yield from merged.items()
        yield from ((name, entry) for name, entry in own.items() if entry[0].tag != _MERGE)


# --- scalars


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes. Numbers are what they look like: not octal for a leading 0, nor minutes and seconds for a colon
    (YAML 1.1)."""


_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9_]*)",
    "float": r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_Loader.yaml_implicit_resolvers = {
    first: [one for one in all if one[0].removeprefix(_TAG) not in _NUMBERS]
    for first, all in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), list("-+.0123456789"))


class WrittenInt(int):
    """A number with its text in the file."""

    text: str

    def __repr__(self) -> str:
        return self.text


class WrittenFloat(float):
    """A number with its text in the file."""

    text: str

    def __repr__(self) -> str:
        return self.text


class WrittenDate(date):
    """A day with its text in the file."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _int(node: yaml.ScalarNode) -> WrittenInt:
    value = WrittenInt(_MAKE.construct_yaml_int(node))
    value.text = node.value
    return value


def _float(node: yaml.ScalarNode) -> WrittenFloat:
    value = WrittenFloat(_MAKE.construct_yaml_float(node))
    value.text = node.value
    return value


def _timestamp(node: yaml.ScalarNode) -> date:
    value = _MAKE.construct_yaml_timestamp(node)
    if type(value) is not date:
        return value
    day = WrittenDate(value.year, value.month, value.day)
    day.text = node.value
    return day


_MAKE = yaml.constructor.SafeConstructor()
_SCALARS: dict[str, tuple[str, Any]] = {  # tag -> what it expects, and what makes the value
    "null": ("nothing", lambda node: None),
    "bool": ("true or false", _MAKE.construct_yaml_bool),
    "str": ("text", lambda node: node.value),
    "int": ("a whole number", _int),
    "float": ("a number", _float),
    "timestamp": ("a day such as 2026-01-31", _timestamp),
}


def plain(value: Any) -> Any:
    """Return a copy of a value of a file as JSON has it."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, date):
        return str(getattr(value, "text", value))
    kind = next((one for one in (bool, int, float, str) if isinstance(value, one)), None)
    return value if kind is None else kind(value)
