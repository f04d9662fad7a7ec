"""The types of fields that configurations share: the values in a file, and their JSON schema for editors."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema
from pydantic_core import core_schema

from .problems import fault, unknown

ENGINE_URL = r"(?:valkeys?|rediss?)(?:\+[a-z]+)?://.+"  # where several hosts count together, see Table.at
K = TypeVar("K")
T = TypeVar("T")


class Check:
    """A condition on a value.

    Args:
        phrase: what is expected, for the error.
        accepts: whether a value is right.
        secret: keep the value out of the error.
        keywords: of the JSON schema, such as `minimum`.
    """

    def __init__(self, phrase: str, accepts: Callable[[Any], bool], secret: bool = False, **keywords: Any) -> None:
        self._phrase = phrase
        self._accepts = accepts
        self._secret = secret
        self._keywords = keywords

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: T) -> T:
        if not self._accepts(value):
            raise fault(self._phrase, self._secret)
        return value

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), **self._keywords}


def between(low: float, high: float, unit: str = "") -> Check:
    """Accept a number within the bounds, inclusive."""
    return Check(
        f"from {low} to {high} {unit}".rstrip(), lambda number: low <= number <= high, minimum=low, maximum=high
    )


def positive(unit: str = "") -> Check:
    """Accept a number above 0."""
    return Check(f"more than 0 {unit}".rstrip(), lambda number: number > 0, exclusiveMinimum=0)


def matching(pattern: str, phrase: str, secret: bool = False) -> Check:
    """Accept a string that matches a pattern completely; it must mean the same in Python and in JSON schema."""
    whole = re.compile(pattern)
    return Check(phrase, lambda text: whole.fullmatch(text) is not None, secret, pattern=f"^(?:{pattern})$")


class OneOf:
    """A text that is one of several names.

    Args:
        what: the names are, for the error.
        names: those that are known.
    """

    def __init__(self, what: str, names: Sequence[str]) -> None:
        self._what = what
        self._names = names

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        if name not in self._names:
            raise ValueError(unknown(self._what, name, self._names))
        return name

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self._names)}


class Shorthand:
    """An object that may be written as the value of one of its fields.

    Args:
        field: the field that a text, or a list of texts, stands for.
        lists: whether a list may stand for it, too.
        description: for the editor.
    """

    def __init__(self, field: str, description: str, lists: bool = False) -> None:
        self._field = field
        self._types = (str, list) if lists else (str,)
        short: dict[str, Any] = {"type": "string", "description": description}
        self._schemas = [short, {"type": "array", "items": {"type": "string"}}] if lists else [short]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._expanded, handler(source))

    def _expanded(self, value: Any) -> Any:
        return {self._field: value} if isinstance(value, self._types) else value

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(schema), *self._schemas]}


class OrEmpty:
    """An object whose name may have nothing below it, which is an object with all defaults."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: {} if value is None else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "null"}]}


def frozen(names: Mapping[str, T]) -> Mapping[str, T]:
    """Return a read-only copy."""
    return MappingProxyType(dict(names))


def no_names() -> Mapping[str, Any]:
    """Return the default of a mapping."""
    return MappingProxyType({})


def _as_written(value: Any) -> Any:
    """Return a number or a day that is meant as text as it is in the file: 1.10 is not 1.1."""
    return getattr(value, "text", value)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) or hasattr(value, "text") else value


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise fault(f"a network such as 10.0.0.0/8 ({error})") from None
    return text


Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Day = Annotated[date, Strict()]
Text = Annotated[str, Strict(), BeforeValidator(_as_written), WithJsonSchema({"type": ["string", "number"]})]
Seconds = Annotated[Number, positive("seconds")]
# A mapping and a list are copied, so that a configuration cannot change. One text may stand for a list of one.
NamesLike = Annotated[Mapping[K, T], AfterValidator(frozen), OrEmpty()]
Names = NamesLike[str, T]
ByName = NamesLike[Annotated[str, matching("[A-Za-z0-9_-]{1,128}", "a name of letters, digits, - and _")], T]
Many = Annotated[Sequence[T], AfterValidator(tuple), BeforeValidator(_listed)]
Texts = Annotated[
    Many[Text],
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]
Networks = Annotated[
    Many[Annotated[Text, AfterValidator(_network)]],
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]
