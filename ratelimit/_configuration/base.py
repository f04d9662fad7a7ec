"""The decorator of the classes of the configuration."""

from dataclasses import fields
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from .problems import ConfigurationError, faults, problems_of

T = TypeVar("T")
# Validators are made when they are needed: of all classes but Configuration that is never, when a file is read.
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)


class _Model(type):
    """Makes instances; the constructor of the class raises a ConfigurationError with all problems."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        named = dict(zip(names, args, strict=False))  # so that an error has the name of the field
        try:
            return super().__call__(*args[len(named) :], **named, **given)
        except ValidationError as error:
            raise ConfigurationError(problems_of(error, cls)) from None


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def model(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked, and then what its method `problems` finds, if any."""
    namespace = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    if hasattr(cls, "problems"):
        namespace["_checked"] = model_validator(mode="after")(_checked)
    made: Any = _Model(cls.__name__, cls.__bases__, namespace)
    return dataclass(frozen=True, slots=True, config=CONFIG)(made)  # type: ignore[return-value]


def _checked(self: Any) -> Any:
    problems = list(self.problems())
    if problems:
        raise faults(problems)
    return self
