"""The types of the fields that only a gateway has: the values in a file, and their JSON schema for editors."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, WithJsonSchema

from ..._configuration.fields import Names, Number, Text, between
from ..._configuration.problems import Problem, fault, faults
from ..._configuration.tree import plain
from ..templates.template import Template
from ..templates.transform import Transform

FUNCTION = r"[\w.]+:\w+|[A-Za-z0-9_-]+"


def _template(text: str) -> str:
    Template(text)
    return text


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    _transform({f"overwrite:header.{name}": text for name, text in headers.items()}, "overwrite:header.")
    return headers


def _transform(rules: Mapping[str, str], prefix: str = "") -> Mapping[str, str]:
    problems = []
    for rule, text in rules.items():
        try:
            Transform({rule: text})
        except ValueError as error:
            problems.append(Problem((rule.removeprefix(prefix),), str(error)))
    if problems:
        raise faults(problems)
    return rules


def _function(function: Any) -> Any:
    if not callable(function) and not (isinstance(function, str) and re.fullmatch(FUNCTION, function)):
        raise fault("a callable, or a text such as 'package.module:name'")
    return function


def nested(expected: str, check: Callable[[Any], None]) -> PlainValidator:
    """Return what reads an object of any depth, which `check` may refuse."""

    def checked(value: Any) -> Any:
        if not isinstance(value, dict):
            raise fault(expected)
        value = plain(value)
        check(value)
        return value

    return PlainValidator(checked)


TemplateText = Annotated[Text, AfterValidator(_template)]
Function = Annotated[
    Callable[..., Any] | str,
    PlainValidator(_function),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{FUNCTION})$"}),
]
Timeout = Annotated[Number, between(0.05, 30, "seconds")]
Variables = Names[Text]
HeaderTemplates = Annotated[Names[TemplateText], AfterValidator(_headers)]
TransformRules = Annotated[Names[Text], AfterValidator(_transform)]
