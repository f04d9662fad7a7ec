"""Intrinsic functions of CloudFormation, evaluated without an account."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from itertools import islice
from typing import Any

from ..._configuration.problems import Path, Problems, unknown
from .references import Unknown, parameter_of

ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO: dict[str, Any] = {
    "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::StackName": "local",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/local/0", "AWS::URLSuffix": "amazonaws.com",
    "AWS::NotificationARNs": [],
}  # fmt: skip
MAX_TEXT = 1_000_000  # characters of one value
MAX_REPEATS = 10_000  # of Fn::ForEach, in all
_IN_SUB = re.compile(r"\$\{(!?)([^{}]*)\}")


class NoValue:
    """AWS::NoValue: the property is left out."""


NO_VALUE = NoValue()


class Invalid(Exception):
    """An intrinsic function that cannot be evaluated, and the reason."""


class Resolver:
    """Evaluates the values of a template.

    Args:
        values: parameters and pseudo parameters, by name.
        mappings: those of the template.
        conditions: the expressions of the template.
        reference: gives the value of a name of a resource, and of one of its attributes; raises Invalid.
        include: gives the content of a file that `Fn::Transform` names.
        problems: collects what is wrong.
        guess: gives a key in place of one that only an account, or `--parameter`, knows; None for any other.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        mappings: Mapping[str, Any],
        conditions: Mapping[str, Any],
        reference: Callable[[str, str | None], Any],
        include: Callable[[Any, Path], Any],
        problems: Problems,
        guess: Callable[[Any, list[str], Path], str | None],
    ) -> None:
        self._values = values
        self._mappings = mappings
        self._conditions = conditions
        self._reference = reference
        self._include = include
        self._problems = problems
        self._guess = guess
        self._active: list[tuple[str, str]] = []
        self._found: dict[str, bool] = {}  # conditions, each evaluated once
        self._repeats = 0
        self._place: Path = ()  # of the outermost intrinsic function that is being evaluated
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref, "Fn::GetAtt": self._get_att, "Fn::Sub": self._sub, "Fn::Join": self._join,
            "Fn::Select": self._select, "Fn::Split": self._split, "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda value: base64.b64encode(self._text(value).encode()).decode(),
            "Fn::GetAZs": lambda value: [f"{self._text(value) or self._values['AWS::Region']}{zone}" for zone in "abc"],
            "Fn::ImportValue": lambda value: Unknown(self._text(value)),
            "Fn::Cidr": self._cidr,
            "Fn::Length": lambda value: len(self._list(value)),
            "Fn::ToJsonString": lambda value: self._bounded(json.dumps(self.resolve(value, self._place))),
            "Fn::Equals": self._truth, "Fn::And": self._truth, "Fn::Or": self._truth, "Fn::Not": self._truth,
        }  # fmt: skip

    # --- values

    def resolve(self, value: Any, path: Path) -> Any:
        """Return a value without intrinsic functions. Problems are noted at its path."""
        if isinstance(value, list):
            found = [self.resolve(one, (*path, i)) for i, one in enumerate(value)]
            return [one for one in found if one is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Fn::If" or name in self._functions:
                before = self._place
                self._place = path = path or before
                try:
                    if name == "Fn::If":
                        return self._if(argument, (*path, name))
                    return self._functions[name](argument)
                except Invalid as error:
                    self._problems.add(path, str(error))
                    return ""
                finally:
                    self._place = before
        found_in = {}
        for name, one in value.items():
            if name.startswith("Fn::ForEach::"):
                found_in.update(self._for_each(one, (*path, name)))
                continue
            if name == "Fn::Transform":
                found_in.update(self._include(self.resolve(one, (*path, name)), path))
                continue
            resolved = self.resolve(one, (*path, name))
            if resolved is not NO_VALUE:
                found_in[name] = resolved
        return found_in

    def _text(self, value: Any) -> str:
        """Return the text of a value; that of an unknown one is still unknown."""
        found = self.resolve(value, self._place)
        if isinstance(found, Unknown):
            return found
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, str | int | float):
            return str(getattr(found, "text", found))
        if found is NO_VALUE or found is None:
            return ""
        raise Invalid(f"expected text, got {type(found).__name__}")

    def _list(self, value: Any) -> list[Any]:
        found = self.resolve(value, self._place)
        if isinstance(found, Unknown):
            return [found]
        if not isinstance(found, list):
            raise Invalid("expected a list")
        return found

    def _arguments(self, value: Any, least: int, most: int) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise Invalid(f"expected a list of {least}" + (f" or {most} values" if most > least else " values"))
        return value

    def _bounded(self, text: str) -> str:
        if len(text) > MAX_TEXT:
            raise Invalid(f"expected a text of at most {MAX_TEXT} characters")
        return text

    # --- references

    def _ref(self, name: Any) -> Any:
        name = self._name(name, "expected the name of a parameter or a resource")
        if name == "AWS::NoValue":
            return NO_VALUE
        return self._values[name] if name in self._values else self._follow(name, None)

    def _get_att(self, given: Any) -> Any:
        expectation = "expected the name of a resource and an attribute"
        parts = given.split(".", 1) if isinstance(given, str) else given
        if not isinstance(parts, list) or len(parts) != 2:
            raise Invalid(expectation)
        return self._follow(self._name(parts[0], expectation), self._text(parts[1]))

    def _name(self, given: Any, expectation: str) -> str:
        """Return a name, also one that AWS::LanguageExtensions lets an intrinsic function make."""
        if not isinstance(given, str | dict):
            raise Invalid(expectation)
        return self._text(given)

    def _follow(self, name: str, attribute: str | None) -> Any:
        with self.entered("resource", name):
            return self._reference(name, attribute)

    @contextmanager
    def entered(self, kind: str, name: str) -> Iterator[None]:
        """Evaluate a name; raise Invalid for one whose evaluation needs itself."""
        if (kind, name) in self._active:
            names = " -> ".join(one for _, one in [*self._active, (kind, name)])
            raise Invalid(f"circular reference: {names}")
        self._active.append((kind, name))
        try:
            yield
        finally:
            self._active.pop()

    # --- texts

    def _sub(self, given: Any) -> str:
        text, variables = given, {}
        if isinstance(given, list):
            text, variables = self._arguments(given, 2, 2)
        if not isinstance(text, str) or not isinstance(variables, dict):
            raise Invalid("expected a text, or a list of a text and its variables")
        values = {name: self._text(value) for name, value in variables.items()}
        pieces, size, end = [], len(text), 0
        for found in _IN_SUB.finditer(text):
            name = found[2].strip()
            if found[1]:
                value = "${" + found[2] + "}"
            elif name.startswith("stageVariables."):  # of the gateway
                value = found[0]
            elif name in values:
                value = values[name]
            else:
                value = self._text({"Fn::GetAtt": name} if "." in name else {"Ref": name})
            size += len(value)
            if size > MAX_TEXT:
                raise Invalid(f"expected a text of at most {MAX_TEXT} characters")
            pieces += [text[end : found.start()], value]
            end = found.end()
        pieces = [one for one in (*pieces, text[end:]) if one]
        return pieces[0] if len(pieces) == 1 else "".join(pieces)  # an unknown value alone is still unknown

    def _join(self, given: Any) -> str:
        delimiter, values = self._arguments(given, 2, 2)
        delimiter, texts, size = self._text(delimiter), [], 0
        for value in self._list(values):
            texts.append(self._text(value))
            size += len(texts[-1]) + len(delimiter)
            if size > MAX_TEXT:
                raise Invalid(f"expected a text of at most {MAX_TEXT} characters")
        return delimiter.join(texts)

    def _split(self, given: Any) -> list[str]:
        delimiter, text = self._arguments(given, 2, 2)
        return self._text(text).split(self._text(delimiter) or None)

    def _select(self, given: Any) -> Any:
        index, values = self._arguments(given, 2, 2)
        number, found = self._text(index), self._list(values)
        if not number.isdigit():
            raise Invalid(f"expected the number of a value, got {number!r}")
        return found[min(int(number), len(found) - 1)] if found else ""  # only an account knows the others

    def _cidr(self, given: Any) -> list[str]:
        texts = [self._text(one) for one in self._arguments(given, 2, 3)]
        elsewhere = [f"10.0.{i}.0/24" for i in range(256)]  # for what is only known in an account
        if any(parameter_of(one) is not None for one in texts):
            return elsewhere
        try:
            block = ip_network(texts[0], strict=False)
        except ValueError:
            return elsewhere
        try:
            count, bits = int(texts[1]), int(texts[2]) if texts[2:] else 8
            if not 1 <= count <= min(256, block.num_addresses >> bits):
                raise ValueError
            return [str(one) for one in islice(block.subnets(new_prefix=block.max_prefixlen - bits), count)]
        except ValueError:
            raise Invalid(f"expected a block, the number of its parts and the bits of each, got {texts}") from None

    def _find_in_map(self, given: Any) -> Any:
        name, first, second, *more = self._arguments(given, 3, 4)
        value: Any = self._mappings
        for given_key in (name, first, second):
            key = self._text(given_key)
            if isinstance(value, dict) and key not in value:
                key = self._guess(given_key, list(value), self._place) or key
            if not isinstance(value, dict) or key not in value:
                if more and isinstance(more[0], dict) and "DefaultValue" in more[0]:
                    return self.resolve(more[0]["DefaultValue"], self._place)
                raise Invalid(unknown("key of Mappings", key, list(value) if isinstance(value, dict) else []))
            value = value[key]
        return value

    # --- conditions

    def condition(self, name: str) -> bool:
        """Return whether a condition of the template holds; raise Invalid for one that does not exist."""
        if name not in self._conditions:
            raise Invalid(unknown("condition", name, list(self._conditions)))
        if name not in self._found:
            with self.entered("condition", name):
                self._found[name] = self._holds(self._conditions[name])
        return self._found[name]

    def _truth(self, argument: Any) -> bool:
        raise Invalid("a condition is expected under Conditions")

    def _if(self, given: Any, path: Path) -> Any:
        name, then, other = self._arguments(given, 3, 3)
        holds = self.condition(name) if isinstance(name, str) else self._holds(name)
        return self.resolve(then if holds else other, (*path, 1 if holds else 2))

    def _holds(self, value: Any) -> bool:
        if not isinstance(value, dict) or len(value) != 1:
            return self._text(value) == "true"
        ((name, given),) = value.items()
        if name == "Condition":
            return self.condition(self._text(given))
        if name == "Fn::Equals":
            one, other = self._arguments(given, 2, 2)
            return self._text(one) == self._text(other)
        if name == "Fn::Not":
            return not self._holds(self._arguments(given, 1, 1)[0])
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)([self._holds(one) for one in self._arguments(given, 1, 10)])
        return self._text(value) == "true"

    # --- loops

    def repeated(self, section: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any, Path]]:
        """Yield the entries of a section, also those of its loops, unevaluated; and the path of what each is in."""
        for name, value in section.items():
            if name.startswith("Fn::ForEach::"):
                for body in self._bodies(value, (*path, name)):
                    yield from self.repeated(body, (*path, name))
            else:
                yield name, value, path

    def _for_each(self, given: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for body in self._bodies(given, path):
            found.update(self.resolve(body, path))
        return found

    def _bodies(self, given: Any, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the body of a loop for each value of its list."""
        try:
            variable, values, body = self._arguments(given, 3, 3)
            if not isinstance(variable, str) or not isinstance(body, dict):
                raise Invalid("expected a variable, its values, and names with their values")
            for value in self._list(values):
                self._repeats += 1
                if self._repeats > MAX_REPEATS:
                    raise Invalid(f"expected at most {MAX_REPEATS} repetitions")
                yield _replaced(body, variable, self._text(value))
        except Invalid as error:
            self._problems.add(path, str(error))


def _replaced(value: Any, variable: str, by: str) -> Any:
    """Return a body of Fn::ForEach with the present value in place of its variable."""
    if isinstance(value, str):
        plain = re.sub(r"[^A-Za-z0-9]", "", by)
        return value.replace("${" + variable + "}", by).replace("&{" + variable + "}", plain)
    if isinstance(value, list):
        return [_replaced(one, variable, by) for one in value]
    if isinstance(value, dict):
        if value == {"Ref": variable}:
            return by
        return {_replaced(name, variable, by): _replaced(one, variable, by) for name, one in value.items()}
    return value
