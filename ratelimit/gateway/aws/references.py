"""Dynamic references, `{{resolve:ssm:/shop/rate}}`: values that only an account, or `--parameter`, knows."""

import re
from collections.abc import Mapping
from typing import Any

PREFIX = "resolve:"  # of their names for --parameter
REFERENCE = re.compile(r"\{\{(resolve:[^{}]+)\}\}")


def filled(value: Any, given: Mapping[str, str]) -> Any:
    """Return a value with the dynamic references replaced whose values are given."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda found: given.get(found[1], found[0]), value) if "{{" in value else value
    if isinstance(value, list):
        return [filled(one, given) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, given) for name, one in value.items()}
    return value
