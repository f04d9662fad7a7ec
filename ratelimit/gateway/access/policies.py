"""IAM policies, as Lambda authorizers return them and REST APIs have them."""

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from typing import Any

from ..._configuration.problems import expected
from .conditions import check_condition, holds

ACTION = "execute-api:Invoke"
_SHORT = "execute-api:"  # how a resource may begin, in place of the name of the API


def decide(policy: Any, arn: str, client: str) -> bool | None:
    """Return whether a policy allows (True) or denies (False) a request, or neither (None).

    A statement that denies wins. One whose condition cannot be evaluated denies, or does not allow.

    Args:
        policy: with statements.
        arn: the name of the request.
        client: its address; empty where it is not known.

    Raises: ValueError for a value that is not a policy.
    """
    allowed = None
    for statement in statements(policy):
        if not (
            _covers(statement, "Action", ACTION, re.IGNORECASE)
            and _covers(statement, "Resource", arn, 0)
            and _is_anonymous(statement)
        ):
            continue
        met = holds(statement.get("Condition") or {}, client)
        if statement["Effect"] == "Deny" and met is not False:
            return False
        if statement["Effect"] == "Allow" and met:
            allowed = True
    return allowed


def check_policy(policy: Any) -> None:
    """Raise a ValueError for a value that is not a policy."""
    for statement in statements(policy):
        _covers(statement, "Action", ACTION, 0)
        _covers(statement, "Resource", "", 0)
        check_condition(statement.get("Condition") or {})


def statements(policy: Any) -> Iterator[dict[str, Any]]:
    """Yield the statements of a policy."""
    found = policy.get("Statement") if isinstance(policy, dict) else None
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(expected("a policy document with statements", policy))
    for statement in found:
        effect = statement.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise ValueError(f"Effect: {expected('Allow or Deny', effect)}")
        yield statement


def names_everybody(principal: Any) -> bool:
    """Whether a principal is every caller."""
    values = principal.get("AWS") if isinstance(principal, dict) else principal
    return "*" in values if isinstance(values, list) else values == "*"


def _is_anonymous(statement: dict[str, Any]) -> bool:
    """Whether a statement is about callers without an identity of AWS, as all are here."""
    if "NotPrincipal" in statement:
        return bool(statement["Effect"] == "Deny")
    return "Principal" not in statement or names_everybody(statement["Principal"])


def _covers(statement: dict[str, Any], name: str, value: str, flags: int) -> bool:
    """Whether a statement is about an action or a resource."""
    inverse = f"Not{name}" in statement
    patterns = statement.get(f"Not{name}" if inverse else name)
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise ValueError(f"{name}: {expected('a text or a list of texts', patterns)}")
    if name == "Resource":
        api = value.partition("/")[0]
        patterns = [api + one.removeprefix(_SHORT) if one.startswith(_SHORT) else one for one in patterns]
    return any(_pattern(one, flags).fullmatch(value) is not None for one in patterns) is not inverse


@lru_cache(1_000)
def _pattern(text: str, flags: int) -> re.Pattern[str]:
    """Return a pattern in which `*` stands for any text and `?` for one character.

    It tries no other text for a `*` than the shortest, so a long path takes no long time.
    """
    return re.compile(translate(text.replace("[", "[[]")), flags)
