"""Problems of a configuration, each at a path, and the error that carries all of them."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from reprlib import Repr
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

Path = tuple[str | int, ...]
MAX_PROBLEMS = 200
MAX_SHOWN = 25  # problems in the text of one error
MAX_CHOICES = 20  # names in "choose from"
_short = Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxtuple = 2, 3, 4, 4
_short.maxstring = _short.maxlong = _short.maxother = 80


class Problem(NamedTuple):
    """One thing that is wrong, or that deserves a warning.

    Args:
        path: where it is, such as `("apis", "shop", "stages", "prod")`.
        message: such as "expected a number, got 'many'".
        name: of the path's object, the name whose line is meant; by default the line is the path's own.
        line: in the file; 0 where it is not known.
    """

    path: Path
    message: str
    name: str = ""
    line: int = 0

    def located(self, line_of: Callable[[Path], int]) -> "Problem":
        """Return the same problem with its line in the file, found by path."""
        return self if self.line else self._replace(line=line_of((*self.path, self.name)))

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


class ConfigurationError(ValueError):
    """A configuration that cannot be used.

    The text has one line for each problem: `file:line: path: expected X, got Y`; without a file `path: …`.

    Args:
        problems: at least one.
        file: the name of the file, for problems that have a line.
    """

    def __init__(self, problems: Iterable[Problem], file: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(lines(self.problems, file)))


@contextmanager
def located(file: str, locate: Callable[[Problem], Problem]) -> Iterator[None]:
    """Add file and line to a ConfigurationError that is raised within. `locate` gives a problem its line."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError([locate(one) for one in error.problems], file) from error.__cause__


def lines(problems: Sequence[Problem], file: str = "", kind: str = "") -> Iterator[str]:
    """Yield the line of each problem, in the order of the file."""
    for problem in sorted(problems, key=lambda problem: problem.line)[:MAX_SHOWN]:
        yield (f"{file}:{problem.line}: " if file and problem.line else "") + f"{kind}{problem}"
    if len(problems) > MAX_SHOWN:
        yield "and more"


class Problems(list[Problem]):
    """Problems that are collected, to be raised together."""

    def add(self, path: Path, message: str, name: str = "") -> None:
        """Note one problem, once."""
        problem = Problem(path, message, name)
        if problem not in self:
            self.append(problem)

    @contextmanager
    def at(self, *path: str | int, name: str = "") -> Iterator[None]:
        """Note what is raised within, as a problem at this path."""
        try:
            yield
        except ConfigurationError as error:
            self.extend(problem._replace(path=(*path, *problem.path)) for problem in error.problems)
        except (TypeError, ValueError, OSError, MemoryError) as error:
            self.add(path, str(error), name)

    def raise_any(self) -> None:
        """Raise a ConfigurationError if there is a problem."""
        if self:
            raise ConfigurationError(self)


# --- messages


def dotted(path: Path) -> str:
    """Return a path as text: `apis.shop.routes['GET /'].proxy.to[0]`."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and re.fullmatch(r"[\w$-]+", part)
        text += f".{part}" if plain else f"[{part}]" if isinstance(part, int) else f"[{excerpt(part)}]"
    return text.removeprefix(".")


def excerpt(value: object) -> str:
    """Return a value for an error, in at most 100 characters."""
    text = _short.repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the message about an unknown name."""
    choices = list(dict.fromkeys(known))
    near = get_close_matches(str(name)[:100], choices, 1)
    listed = [*choices[:MAX_CHOICES], "..."] if len(choices) > MAX_CHOICES else choices
    hints = ([f"did you mean {near[0]!r}?"] if near else []) + ([f"choose from {', '.join(listed)}"] if listed else [])
    return f"unknown {what} {excerpt(name)}" + (f" ({' '.join(hints)})" if hints else "")


def expected(phrase: str, value: object) -> str:
    """Return the message about a value of the wrong kind."""
    return f"expected {phrase}, got {excerpt(value)}"


# --- from pydantic

_TYPES = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "date_type": "a day such as 2026-01-31",
    "sequence_str": "a list",
    "list_type": "a list",
    "is_instance_of": "a list",
    "dict_type": "names and their values",
    "mapping_type": "names and their values",
    "model_type": "names and their values",
    "dataclass_type": "names and their values",
}


def fault(phrase: str, secret: bool = False) -> PydanticCustomError:
    """Return the error of a validator that expects another value."""
    return PydanticCustomError("expected", "expected {phrase}", {"phrase": phrase, "secret": secret})


def faults(problems: Iterable[Problem]) -> PydanticCustomError:
    """Return the error of a validator that found problems below its own value."""
    return PydanticCustomError("problems", "see the problems", {"problems": list(problems)})


def problems_of(error: ValidationError, model: Any) -> list[Problem]:
    """Return the problems in pydantic's error about a model, and only the first ones if there are very many."""
    schema = Schema(model)
    found = (problem for one in error.errors(include_url=False) for problem in _problems_of(one, schema))
    return list(islice(found, MAX_PROBLEMS))


def _problems_of(error: Any, schema: "Schema") -> Iterator[Problem]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    path: Path = error["loc"][:-1] if error["loc"][-1:] == ("[key]",) else error["loc"]
    name = str(path[-1]) if path else ""
    if kind == "missing":
        yield Problem(path[:-1], f"missing required {name}")
    elif kind == "unexpected_keyword_argument":
        yield Problem(path[:-1], unknown("name", name, schema.names_at(path[:-1])), name)
    elif kind == "problems":
        yield from (problem._replace(path=(*path, *problem.path)) for problem in context["problems"])
    elif kind == "expected":
        phrase = context["phrase"]
        yield Problem(path, f"expected {phrase}" if context["secret"] else expected(phrase, value))
    elif kind == "literal_error":
        choices = re.findall("'([^']*)'", context["expected"])
        if path == error["loc"]:
            yield Problem(path, expected(f"one of {', '.join(choices)}", value))
        else:  # the name of an entry
            yield Problem(path[:-1], unknown("name", name, choices), name)
    elif kind == "value_error":
        yield Problem(path, str(context["error"]))
    else:
        phrase = _TYPES.get(kind, "")
        yield Problem(path, expected(phrase, value) if phrase else f"{error['msg'].lower()}, got {excerpt(value)}")


class Schema:
    """The JSON schema of a model, queried by path."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._root: Any = None

    def names_at(self, path: Path) -> list[str]:
        """Return the names that the object at a path may have."""
        self._root = self._root or TypeAdapter(self._model).json_schema()
        node = self._object(self._root)
        for part in path:
            if isinstance(part, int):
                inner = node.get("items", {})
            else:
                others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
                inner = node.get("properties", {}).get(part) or next(filter(None, others), {})
            node = self._object(inner)
        return list(node.get("properties", {}))

    def _object(self, node: Any) -> Any:
        """Return the target of a reference; of several, the one that describes an object or a list."""
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                node = self._root["$defs"][node["$ref"].rpartition("/")[2]]
            else:
                node = next((one for one in node["anyOf"] if one.get("type") in (None, "object", "array")), {})
        return node
