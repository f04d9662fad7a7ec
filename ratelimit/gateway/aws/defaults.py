"""Defaults in place of numbers that are not known here."""

from typing import Any

from ..._configuration.problems import Path
from .draft import Draft
from .references import Unknown, parameter_of
from .stages import BURST, RATE

_REQUIRED: dict[str, float] = {"rate": RATE, "burst": BURST, "percent": 0}  # others may be left out
_NUMBERS = {*_REQUIRED, "limit", "offset", "timeout", "memory", "ttl", "max_age"}
_TEXTS = ("variables", "environment", "models", "policy", "headers", "responses", "validate", "api_keys", "domains")


def default_numbers(draft: Draft, value: Any, path: Path = ()) -> None:
    """Put a default in place of each value that should be a number of a configuration, and is not known; note it."""
    if not isinstance(value, dict):
        return
    for name, one in list(value.items()):
        parameter = parameter_of(one) if name in _NUMBERS else None
        if parameter is not None:
            used = _REQUIRED.get(name)
            if used is None:
                del value[name]
            else:
                value[name] = used
            instead = "no limit" if name == "limit" else "the default" if used is None else f"{used:g}"
            hint = f" without --parameter {parameter}=VALUE" if parameter else ""
            what = one.parameter or one if isinstance(one, Unknown) else one
            draft.template.note(draft.source(path), f"the {name} {what} is not known; {instead} is used{hint}")
        elif name not in _TEXTS:
            default_numbers(draft, one, (*path, name))
            if name == "quota" and isinstance(one, dict) and "limit" not in one:
                del value[name]
