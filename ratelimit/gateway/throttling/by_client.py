"""The names of clients, by which a throttle has a bucket for each of them."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from ..._configuration.addresses import client_key
from ..templates.template import Scope, Template

EXPECTED = (
    "address, such as 'address/24/56' with prefixes, $request.header.NAME, $request.querystring.NAME, "
    "$request.path.NAME, $context.identity.apiKeyId or $context.authorizer.NAME"
)
API_KEY, AUTHORIZER, PATH = "context.identity.apiKeyId", "context.authorizer.", "request.path."
_ADDRESS = re.compile(r"address(?:/([1-9]|[12]\d|3[0-2])(?:/([1-9]|[1-9]\d|1[01]\d|12[0-8]))?)?")
_NAMES = (API_KEY, AUTHORIZER, PATH, "request.header.", "request.querystring.")


class ByClient:
    """Names the client of a request for a throttle.

    Args:
        by: `address`, the address of the client or, of an IPv6 address, its /64 network; `address/24/56`, its network
            of 24 bits by IPv4 and of 56 by IPv6; or a variable. Clients with the same values of all are one, and
            so are those without a value.

    Attributes:
        names: the variables.
        needs_caller: whether the client is known only when its credentials have been checked.

    Raises: ValueError for another text.
    """

    def __init__(self, by: Sequence[str]) -> None:
        self.names: list[str] = []
        self._values = [self._value(text) for text in by]
        self.needs_caller = any(name == API_KEY or name.startswith(AUTHORIZER) for name in self.names)

    def _value(self, text: str) -> Callable[[Scope], str]:
        """Return a function that gives one value of a request."""
        found = _ADDRESS.fullmatch(text)
        if found is not None:
            return partial(_network, int(found[1] or 32), int(found[2] or 64))
        names = Template(text).names
        if len(names) != 1 or text not in (f"${names[0]}", f"${{{names[0]}}}") or not names[0].startswith(_NAMES):
            raise ValueError(f"expected {EXPECTED}, got {text[:100]!r}")
        self.names += names
        return partial(_variable, names[0])

    def key(self, place: str, scope: Scope) -> str:
        """Return the key of the client of a request at a place such as a stage."""
        if len(self._values) == 1:
            return f"{place}\t{self._values[0](scope)}"
        values = [value(scope) for value in self._values]
        return "\t".join([place, *(f"{len(value)}:{value}" for value in values)])


def _network(ipv4: int, ipv6: int, scope: Scope) -> str:
    return client_key(scope.lookup("context.identity.sourceIp"), ipv4, ipv6)


def _variable(name: str, scope: Scope) -> str:
    value = scope.lookup(name)
    return value if isinstance(value, str) else "" if value is None else str(value)
