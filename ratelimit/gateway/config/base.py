"""The decorator of the classes of the configuration."""

from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from .problems import ConfigurationError, faults, problems_of

T = TypeVar("T")
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def model(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked, and then what its method `problems` finds, if any.

    Its constructor raises a ConfigurationError that has all problems.
    """
    if hasattr(cls, "problems"):
        cls._checked = model_validator(mode="after")(_checked)  # type: ignore[attr-defined]
    made: Any = dataclass(frozen=True, slots=True, config=CONFIG)(cls)
    construct = made.__init__
    names = [field.name for field in fields(made)]

    @wraps(construct)
    def init(self: T, *args: Any, **given: Any) -> None:
        named = dict(zip(names, args, strict=False))  # so that an error has the name of the field
        try:
            construct(self, *args[len(named) :], **named, **given)
        except ValidationError as error:
            raise ConfigurationError(problems_of(error, made)) from None

    made.__init__ = init
    return made  # type: ignore[no-any-return]


def _checked(self: Any) -> Any:
    problems = list(self.problems())
    if problems:
        raise faults(problems)
    return self
