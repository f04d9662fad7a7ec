"""IAM policies, as Lambda authorizers return them."""

import re
from functools import lru_cache
from typing import Any

ACTION = "execute-api:Invoke"


def allows(policy: Any, arn: str) -> bool:
    """Whether a policy allows a request. A statement that denies wins; without one that allows, it is denied.

    A condition is not evaluated: a statement that allows by one does not, one that denies by one does.

    Raises: ValueError for a value that is not a policy.
    """
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        raise ValueError(f"expected a policy document with statements, got {policy!r}")
    allowed = False
    for statement in statements:
        effect = statement.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise ValueError(f"Effect: expected Allow or Deny, got {effect!r}")
        if not (_covers(statement, "Action", ACTION, re.IGNORECASE) and _covers(statement, "Resource", arn, 0)):
            continue
        if effect == "Deny":
            return False
        allowed = allowed or not statement.get("Condition")
    return allowed


def _covers(statement: dict[str, Any], name: str, value: str, flags: int) -> bool:
    """Whether a statement is about an action or a resource."""
    inverse = f"Not{name}" in statement
    patterns = statement.get(f"Not{name}" if inverse else name)
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise ValueError(f"{name}: expected a text or a list of texts, got {patterns!r}")
    return any(_pattern(one, flags).fullmatch(value) is not None for one in patterns) is not inverse


@lru_cache(1_000)
def _pattern(text: str, flags: int) -> re.Pattern[str]:
    """Return a pattern in which `*` stands for any text and `?` for one character."""
    parts = {"*": ".*", "?": "."}
    collapsed = re.sub(r"\*+", "*", text)
    return re.compile("".join(parts.get(char) or re.escape(char) for char in collapsed), flags | re.DOTALL)
