"""Dynamic references, `{{resolve:ssm:/shop/rate}}`: values that only an account, or `--parameter`, knows."""

import re
from collections.abc import Mapping
from typing import Any

PREFIX = "resolve:"  # of their names for --parameter
REFERENCE = re.compile(r"\{\{(resolve:[^{}]+)\}\}")


class Unknown(str):
    """A text in place of a value, or of a list of values, that only an account knows.

    Attributes:
        parameter: the name by which `--parameter` gives the value; empty for none.
    """

    parameter: str

    def __new__(cls, text: str, parameter: str = "") -> "Unknown":
        made = super().__new__(cls, text)
        made.parameter = parameter
        return made


def parameter_of(value: Any) -> str | None:
    """Return the name by which `--parameter` gives a value that is not known, empty for none; None for a known one."""
    if isinstance(value, Unknown):
        return value.parameter
    found = REFERENCE.search(value) if isinstance(value, str) else None
    return found[1] if found else None


class References:
    """The values of dynamic references.

    Args:
        given: by name, such as `resolve:ssm:/shop/rate`.

    Attributes:
        unused: the names of those that no value had so far.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.unused = set(given)

    def fill(self, value: Any) -> Any:
        """Return a value with the references replaced whose values are given."""
        if isinstance(value, str):
            return REFERENCE.sub(self._value, value) if "{{" in value else value
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, dict):
            return {name: self.fill(one) for name, one in value.items()}
        return value

    def _value(self, found: re.Match[str]) -> str:
        self.unused.discard(found[1])
        return self._given.get(found[1], found[0])
