"""JSON Schema, draft 4: models of request bodies, and what is wrong with a body in the words of Amazon API Gateway.

jsonschema is imported when a configuration has a schema: it would make each other start slower.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

BASE = "http://models.invalid/"  # each model is a document at its name below; nothing is ever fetched
MAX_PROBLEMS = 20  # of one body
MAX_TEXT = 200  # characters of one problem
_END = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", re.DOTALL)


def check_schema(schema: Any) -> None:
    """Raise a ValueError for a value that is not a JSON Schema of draft 4."""
    validator = _validator_class()
    best = min(validator(validator.META_SCHEMA).iter_errors(schema), key=lambda error: len(error.path), default=None)
    if best is not None:
        place = "".join(f".{part}" for part in best.absolute_path)
        raise ValueError(f"expected a JSON Schema of draft 4: {place.removeprefix('.')} {best.message[:MAX_TEXT]}")
    for node in _nodes(schema):
        patterns = node.get("patternProperties")
        names = list(patterns) if isinstance(patterns, Mapping) else []
        for pattern in [node.get("pattern"), *names]:
            if isinstance(pattern, str):
                _pattern(pattern)


class Models:
    """Schemas by name. A `$ref` names another one: `Pet`, or a part of it, `Pet#/properties/name`.

    Args:
        schemas: see above.
        checked: whether references to what does not exist are refused.

    Raises: ValueError for a reference to what does not exist.
    """

    def __init__(self, schemas: Mapping[str, Any], checked: bool = True) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT4

        self._resource: Any = DRAFT4.create_resource
        self._registry: Any = Registry().with_resources(
            [(BASE + name, self._resource(_document(schema))) for name, schema in schemas.items()]
        )
        for name, schema in schemas.items() if checked else ():
            self._check_references(schema, BASE + name, self._registry)

    def body(self, schema: Any) -> "BodySchema":
        """Return what checks a body by a schema; raise a ValueError for a reference to what does not exist."""
        registry = self._registry.with_resource(BASE, self._resource(_document(schema)))
        self._check_references(schema, BASE, registry)
        return BodySchema(_validator_class()({"$ref": BASE}, registry=registry))

    def _check_references(self, schema: Any, place: str, registry: Any) -> None:
        from referencing.exceptions import Unresolvable

        for node in _nodes(schema):
            reference = node.get("$ref")
            if isinstance(reference, str):
                try:
                    registry.resolver(place).lookup(reference)
                except (Unresolvable, ValueError):
                    raise ValueError(f"expected the name of a model, got $ref {reference[:MAX_TEXT]!r}") from None


class BodySchema:
    """Checks bodies by one schema."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def problems(self, body: bytes) -> list[str]:
        """Return what is wrong with a body; nothing if it fits. An empty one is an empty object."""
        try:
            value = json.loads(body, parse_constant=_refused) if body.strip() else {}
            return list(dict.fromkeys(_text(error) for error in islice(self._errors(value), MAX_PROBLEMS)))
        except RecursionError:
            return ["the body is nested too deeply"]
        except ValueError as error:  # also of bytes that are not text
            return [f"the body is not JSON: {str(error)[:MAX_TEXT]}"]

    def _errors(self, value: Any) -> Iterator[Any]:
        """Yield the errors, of those about required properties of one object the first."""
        seen = set()
        for error in self._validator.iter_errors(value):
            place = (tuple(error.absolute_path), error.validator)
            if error.validator != "required" or place not in seen:
                seen.add(place)
                yield error


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not a value")


def _document(schema: Any) -> Any:
    """Return a schema without the names that would give it another place or another draft."""
    if not isinstance(schema, Mapping):
        return schema
    return {name: value for name, value in schema.items() if name not in ("id", "$schema")}


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a schema."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node


# --- keywords


@lru_cache(1)
def _validator_class() -> Any:
    from jsonschema import Draft4Validator, validators

    return validators.extend(Draft4Validator, {"pattern": _check_pattern, "uniqueItems": _check_unique})


@lru_cache(10_000)
def _pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression; `$` stands for the end alone, not for a line break before it as well."""
    try:
        return re.compile(_END.sub(lambda found: found[1] or r"\Z", text))
    except re.error as error:
        raise ValueError(f"expected a regular expression, got {text[:MAX_TEXT]!r}: {error}") from None


def _check_pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and _pattern(pattern).search(instance) is None:
        yield ValidationError("")


def _check_unique(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[Any]:
    """Compare by text: jsonschema compares each pair, which a client could use to keep the gateway busy."""
    from jsonschema import ValidationError

    if unique and isinstance(instance, list):
        seen = {json.dumps(one, sort_keys=True) for one in instance}
        if len(seen) < len(instance):
            yield ValidationError("")


# --- the words of json-schema-validator, which Amazon API Gateway uses


def _listed(values: Any) -> str:
    return json.dumps(values, separators=(",", ":"))


def _types(error: Any) -> str:
    allowed = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    names = {*(one for one in allowed if isinstance(one, str)), *(["integer"] if "number" in allowed else [])}
    found = _type_of(error.instance)
    return f"instance type ({found}) does not match any allowed primitive type (allowed: {_listed(sorted(names))})"


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def _length(error: Any, word: str, bound: str) -> str:
    size, limit = len(error.instance), error.validator_value
    return f"string {_listed(error.instance)} is too {word} (length: {size}, {bound}: {limit})"


def _bound(error: Any, words: str, name: str, strict: str) -> str:
    limit = error.validator_value
    if error.schema.get(f"exclusive{name.title()}"):
        return f"numeric instance is not strictly {strict} {limit}"
    return f"numeric instance is {words} ({name}: {limit}, found: {_listed(error.instance)})"


_WORDS: dict[str, Callable[[Any], str]] = {
    "required": lambda error: "object has missing required properties "
    f"({_listed(sorted(name for name in error.validator_value if name not in error.instance))})",
    "type": _types,
    "enum": lambda error: f"instance value ({_listed(error.instance)}) not found in enum "
    f"(possible values: {_listed(error.validator_value)})",
    "additionalProperties": lambda error: "object instance has properties which are not allowed by the schema: "
    f"{_listed(sorted(_additional(error)))}",
    "minLength": lambda error: _length(error, "short", "required minimum"),
    "maxLength": lambda error: _length(error, "long", "maximum allowed"),
    "pattern": lambda error: f"ECMA 262 regex {_listed(error.validator_value)} does not match input string "
    f"{_listed(error.instance)}",
    "minimum": lambda error: _bound(error, "lower than the required minimum", "minimum",
                                    "greater than the required minimum"),
    "maximum": lambda error: _bound(error, "greater than the required maximum", "maximum",
                                    "lower than the required maximum"),
    "minItems": lambda error: f"array is too short: must have at least {error.validator_value} elements but instance "
    f"has {len(error.instance)} elements",
    "maxItems": lambda error: f"array is too long: must have at most {error.validator_value} elements but instance "
    f"has {len(error.instance)} elements",
    "uniqueItems": lambda error: "array must not contain duplicate elements",
    "minProperties": lambda error: f"object has too few properties (found {len(error.instance)} but schema requires "
    f"at least {error.validator_value})",
    "maxProperties": lambda error: f"object has too many properties (found {len(error.instance)} but schema requires "
    f"at most {error.validator_value})",
    "anyOf": lambda error: f"instance failed to match at least one required schema among {len(error.validator_value)}",
    "oneOf": lambda error: "instance failed to match exactly one schema "
    f"(out of {len(error.validator_value)})",
    "not": lambda error: "instance matched a schema which it should not have",
}  # fmt: skip


def _additional(error: Any) -> list[str]:
    known, patterns = error.schema.get("properties", {}), error.schema.get("patternProperties", {})
    return [name for name in error.instance if name not in known and not any(re.search(one, name) for one in patterns)]


def _text(error: Any) -> str:
    words = _WORDS.get(error.validator)
    return (words(error) if words else str(error.message))[:MAX_TEXT]
