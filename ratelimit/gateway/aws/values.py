"""The values of a template, whatever it has in their place."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from .references import Unknown

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def as_mapping(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one for a value of another kind."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list; a single value is a list of one, and nothing an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with those of Globals: objects are merged, lists joined, other values replaced."""
    found = dict(shared)
    for name, value in own.items():
        before = found.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            found[name] = merged(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            found[name] = [*before, *value]
        else:
            found[name] = value
    return found


def referred(document: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the object of a document to which a reference leads; an empty one if there is no such object."""
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = as_mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
    return as_mapping(value)


def as_number(value: Any) -> Any:
    """Return the number in a text; any other value as it is, for a default or an error in its place."""
    text = str(value).strip()
    if isinstance(value, bool | Unknown) or not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        return value
    return float(text) if float(text) % 1 else int(float(text))


def as_text(value: Any) -> str:
    """Return the text of a value, as CloudFormation reads it: `yes` is `true`, and an object or a list is JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value)
    return "" if value is None else str(getattr(value, "text", value))


def is_true(value: Any) -> bool:
    """Whether a property of a template is set."""
    return value in (True, "true", "True")
