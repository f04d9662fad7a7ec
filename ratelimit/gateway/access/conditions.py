"""Conditions of IAM policies, on the address of a client and on identities of AWS, which no request has."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from ..._configuration.addresses import Networks
from ..._configuration.problems import expected

ADDRESS = "aws:sourceip"
# Keys that only a caller inside of AWS has.
_ABSENT = re.compile(
    r"aws:(sourcevpce?|sourcevpcarn|vpcsourceip|sourceaccount|sourcearn|sourceorg\w+|principal\w+(/.*)?|userid|username"
    r"|federatedprovider|tokenissuetime|multifactorauth\w+|calledvia\w*)"
)
_OPERATOR = re.compile(r"(ForAllValues:|ForAnyValue:)?(\w+?)(IfExists)?")


def holds(condition: Mapping[str, Any], client: str) -> bool | None:
    """Return whether a condition holds for a client; None where that cannot be known.

    Args:
        condition: as in a statement.
        client: an address; empty where it is not known.
    """
    found = [_holds(operator, key, values, client) for operator, key, values in _tests(condition)]
    found += [None for keys in condition.values() if not keys]
    return False if False in found else None if None in found else True


def check_condition(condition: Any) -> None:
    """Raise a ValueError for a value that is not a condition."""
    for operator, key, values in _tests(condition):
        if key == ADDRESS and operator.endswith("IpAddress"):
            _networks(values)


def unknown_keys(condition: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the keys of a condition that are not those of a client, and whether no request here has them."""
    for operator, key, values in _tests(condition):
        if _holds(operator, key, values, "192.0.2.1") is None or _ABSENT.fullmatch(key):
            yield key, _ABSENT.fullmatch(key) is not None


def _tests(condition: Any) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield operator, key in lower case, and values."""
    if not isinstance(condition, Mapping) or not all(isinstance(one, Mapping) for one in condition.values()):
        raise ValueError(f"Condition: {expected('operators with keys and values', condition)}")
    for operator, keys in condition.items():
        for key, values in keys.items():
            yield str(operator), str(key).lower(), tuple(map(str, values if isinstance(values, list) else [values]))


def _holds(text: str, key: str, values: tuple[str, ...], client: str) -> bool | None:
    found = _OPERATOR.fullmatch(text)
    each, operator, if_exists = found.groups() if found else (None, "", None)
    if _ABSENT.fullmatch(key):
        if operator == "Null":
            return "true" in [one.lower() for one in values]
        is_negated = "Not" in operator and each is None  # ForAnyValue asks for a value that is there
        return is_negated or each == "ForAllValues:" or if_exists is not None
    if key == "aws:securetransport" and operator == "Bool":  # there every request comes by TLS
        return "true" in [one.lower() for one in values]
    if key != ADDRESS or not client:
        return None
    if operator == "Null":
        return "false" in [one.lower() for one in values]
    if operator in ("IpAddress", "NotIpAddress"):
        return (client in _networks(values)) is (operator == "IpAddress")
    return None


@lru_cache(1_000)
def _networks(values: tuple[str, ...]) -> Networks:
    """Return networks; an address with the bits of a host stands for its network."""
    return Networks(str(ip_network(one, strict=False)) for one in values)
