"""A configuration file, in YAML or TOML, read into the dataclasses of `model`.

Their fields are the file's names. Each value is checked where it stands, and all together by making a Flow of them.
An error names the file, the line and the value.
"""

import re
import tomllib
import types
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml

from ..backends.address import Addresses
from ..routing.table import METHODS
from ..site import Site
from ..throttling.limiters import Limiters
from .model import AccessLog, Configuration, Proxy, Route


class ConfigurationError(ValueError):
    """A configuration that cannot be used: `file:line: what is wrong with which value`."""


class Node(NamedTuple):
    """A value and the line at which it stands."""

    value: Any  # dict[str, Node], list[Node] or a scalar
    line: int
    text: str = ""  # of a scalar, as it is written


def read_file(path: str | Path) -> Configuration:
    """The configuration of a `.yaml`, `.yml` or `.toml` file.

    Raises: ConfigurationError that names file, line and value; OSError.
    """
    path = Path(path)
    reader = Reader(str(path))
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        reader.fail(error.object.count(b"\n", 0, error.start) + 1, str(error))
    root = _from_toml(text, reader) if path.suffix == ".toml" else _from_yaml(text, reader)
    result: Configuration = reader.read(root, Configuration, "the configuration")
    with reader.at(root):
        Site(result, Limiters(max_keys=result.max_keys), Addresses())
    return result


class Loader(yaml.SafeLoader):
    """Makes a Node of each value. A name may stand once in a mapping, and again in what is merged into it."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Node:
        try:
            value = super().construct_object(node, deep=True)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
        return Node(value, node.start_mark.line + 1, node.value if isinstance(node, yaml.ScalarNode) else "")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            problem = f"{key.value!r} stands twice" if isinstance(key, yaml.ScalarNode) else "a name must be text"
            if not isinstance(key, yaml.ScalarNode) or key.value in names:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            names.add(key.value)
        self.flatten_mapping(node)  # puts what is merged first, so that the mapping's own values win
        return {key.value: self.construct_object(one)._replace(line=key.start_mark.line + 1) for key, one in node.value}


# Numbers are what they look like: not octal for a leading 0, not minutes and seconds for a colon (YAML 1.1).
_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9_]*)",
    "float": r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
Loader.yaml_implicit_resolvers = {
    first: [one for one in all if one[0].rpartition(":")[2] not in _NUMBERS]
    for first, all in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), list("-+.0123456789"))


def _from_yaml(text: str, reader: "Reader") -> Node:
    try:
        root: Node | None = Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        reader.fail(error.problem_mark.line + 1 if error.problem_mark else 1, f"no YAML: {error.problem}")
    except (yaml.YAMLError, RecursionError) as error:
        reader.fail(1, f"no YAML: {error}")
    return root or reader.fail(1, "the file is empty")


def _from_toml(text: str, reader: "Reader") -> Node:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        reader.fail(int(line[1]) if line else text.count("\n") + 1, f"no TOML: {error}")
    return _of_toml(data, text.splitlines(), 1)


def _of_toml(value: Any, lines: list[str], line: int) -> Node:
    """tomllib tells no lines: a name is looked for below the line of what it is in."""
    if isinstance(value, list):
        return Node([_of_toml(one, lines, line) for one in value], line)
    if not isinstance(value, dict):
        return Node(value, line)
    return Node({name: _of_toml(one, lines, _line_of(name, lines, line)) for name, one in value.items()}, line)


def _line_of(name: str, lines: list[str], line: int) -> int:
    named = re.compile(rf"(^|[\s.\[{{,])[\"']?{re.escape(name)}[\"']?\s*[.=\]]")
    return next((i + 1 for i in range(line - 1, len(lines)) if named.search(lines[i])), line)


class Reader:
    """Makes values of the types that dataclasses ask for.

    Args:
        file: for errors.
    """

    def __init__(self, file: str) -> None:
        self.file = file

    def fail(self, line: int, message: str) -> NoReturn:
        raise ConfigurationError(f"{self.file}:{line}: {message}")

    @contextmanager
    def at(self, node: Node, what: str = "") -> Iterator[None]:
        """What fails here is about something in this node."""
        try:
            yield
        except (TypeError, ValueError, OSError, MemoryError) as error:
            self.fail(_culprit(node, str(error)), f"{what}{error}")

    def read(self, node: Node, wanted: Any, what: str) -> Any:
        """The node's value as a `wanted`; `what` is its name."""
        origin, arguments = get_origin(wanted), get_args(wanted)
        if node.value is None and (is_dataclass(wanted) or origin is dict):
            node = Node({}, node.line)  # a name with nothing below it
        if origin in (Union, types.UnionType):
            return self._union(node, arguments, what)
        if is_dataclass(wanted):
            return self._object(node, wanted, what)
        if origin is dict:
            if not isinstance(node.value, dict):
                self.fail(node.line, f"{what} must be names and their values, not {_plain(node)!r}")
            inner = arguments[1]
            if inner is Any:  # the tree of a REST API
                return {name: self._in_tree(name, one, wanted, what) for name, one in node.value.items()}
            return {name: self.read(one, inner, f"{what}, {name!r}") for name, one in node.value.items()}
        if origin is list:
            many = node.value if isinstance(node.value, list) else [node]  # one may stand for a list of one
            return [self.read(one, arguments[0], what) for one in many]
        return self._scalar(node, wanted, what)

    def _in_tree(self, name: str, node: Node, wanted: Any, what: str) -> Any:
        if not name.startswith("/") and name not in METHODS:
            self.fail(node.line, f"{what}: a path begins with /, a method is one of {', '.join(METHODS)}, not {name!r}")
        return self.read(node, wanted if name.startswith("/") else Route, f"{what}, {name!r}")

    def _union(self, node: Node, arguments: tuple[Any, ...], what: str) -> Any:
        if node.value is None and type(None) in arguments:
            return None
        in_a_file = (one for one in arguments if one is not type(None) and get_origin(one) is not Callable)
        return self.read(node, next(in_a_file), what)

    def _scalar(self, node: Node, wanted: Any, what: str) -> Any:
        value = node.value
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(str(value))  # infinite, where it is too large
        if wanted is str and isinstance(value, (int, float, date)) and not isinstance(value, bool):
            return node.text or str(value)  # 1.10 is not 1.1
        if wanted is date and isinstance(value, date):
            return value
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            self.fail(node.line, f"{what} must be {NAMES[wanted]}, not {_plain(node)!r}")
        return value

    def _object(self, node: Node, wanted: Any, what: str) -> Any:
        if isinstance(node.value, (str, list)) and wanted in SHORT:
            node = Node({SHORT[wanted]: node}, node.line)
        if not isinstance(node.value, dict):
            self.fail(node.line, f"{what} must have names and their values, not {_plain(node)!r}")
        hints = _hints(wanted)
        known = {field.name: field for field in fields(wanted) if field.init}
        arguments = {}
        for name, one in node.value.items():
            if name not in known:
                self.fail(one.line, f"{what}: {name!r} is none of {', '.join(known)}")
            arguments[name] = self.read(one, hints[name], f"{what}, {name}")
        for name, field in known.items():
            if name not in arguments and field.default is MISSING and field.default_factory is MISSING:
                self.fail(node.line, f"{what}: {name} is missing")
        with self.at(node, f"{what}: "):
            return wanted(**arguments)


SHORT = {AccessLog: "file", Proxy: "to"}  # what a text or a list alone stands for
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", date: "a day as 2026-01-31"}


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    return get_type_hints(wanted)


def _plain(node: Node) -> Any:
    """The value without its lines."""
    if isinstance(node.value, dict):
        return {name: _plain(one) for name, one in node.value.items()}
    return [_plain(one) for one in node.value] if isinstance(node.value, list) else node.value


def _culprit(node: Node, message: str) -> int:
    """The line of what an error is about: of the last thing in quotes that stands below the node, or its own.

    If that stands several times, it is the one below most names that the error tells, too. What stands nowhere alone
    may be a part of a text.
    """
    quoted = re.findall(r"(?<!\w)'([^']+)'", message)[::-1]
    words = [*quoted, *(text.partition(" ")[0] for text in quoted), re.split("[ =]", message, maxsplit=1)[0]]
    told = {*quoted, *message.partition(",")[0].split("/")}  # it may begin with an API and its stage
    below = list(_below(node))
    alone = ([one for one in below if word in (one.text, one.text.removeprefix("/"))] for word in words)
    within = ([one for one in below if word in one.text] for word in quoted)
    found = next(filter(None, chain(alone, within)), None)
    return max(found, key=lambda one: len(told.intersection(one.names))).line if found else node.line


class Word(NamedTuple):
    """A name or a value, its line, and the names that it is below."""

    text: str
    line: int
    names: tuple[str, ...]


def _below(node: Node, names: tuple[str, ...] = ()) -> Iterator[Word]:
    """All names and then all values below a node."""
    named = node.value if isinstance(node.value, dict) else {}
    yield from (Word(name, one.line, names) for name, one in named.items())
    for name, one in named.items() or (("", one) for one in node.value):
        if isinstance(one.value, (dict, list)):
            yield from _below(one, (*names, name))
        else:
            yield Word(str(one.value), one.line, (*names, name))
