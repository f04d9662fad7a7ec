"""Mocks, and backends at addresses."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ..._configuration.base import model
from ..._configuration.fields import Check, Flag, Many, Number, Shorthand, Text, Whole, between, matching, no_names
from ..._configuration.problems import Problem
from ..routing.table import OWN_METHODS
from .fields import HeaderTemplates, TemplateText, Timeout


@model
class Mock:
    """An answer of the gateway itself. Its body and headers may have `$context.x`, `$request.path.x` and the like."""

    status: Annotated[Whole, between(200, 599)] = 200
    """The status of the answer."""
    headers: HeaderTemplates = Field(default_factory=no_names)
    """The headers of the answer; content-type is application/json by default."""
    body: TemplateText = ""
    """The body of the answer."""


Address = Annotated[
    Text, matching(r"(?:https?|wss?)://[^/].*", "an address that begins with http://, https://, ws:// or wss://")
]


@model
class Proxy:
    """A backend at one or several addresses, which take turns."""

    to: Annotated[Many[Address], Check("at least one address", bool, minItems=1)]
    """Addresses such as `http://127.0.0.1:9000/pets/{id}`. `{id}` and `{proxy+}` are variables of the route and
    `${stageVariables.x}` one of the stage. An address without a path gets the whole path of the request."""
    timeout: Timeout = 29.0
    """Seconds until the answer begins, from 0.05 to 30."""
    max_fails: Annotated[Whole, between(1, 2**31 - 1)] = 1
    """After so many failures in a row an address gets no requests for `fail_timeout` seconds. An answer with 502, 503
    or 504 is one, too."""
    fail_timeout: Annotated[Number, between(0, 86_400, "seconds")] = 10.0
    """Seconds for which an address that failed gets no requests."""
    verify: Flag = True
    """Check the certificate of https and wss addresses."""
    method: Annotated[Text, matching("|".join(OWN_METHODS), f"one of {', '.join(OWN_METHODS)}")] | None = None
    """The method of all requests to the backend. Without it, that of the client's request is used."""
    keep_host: Flag = False
    """Pass the Host of the client on, in place of that of the address."""

    def problems(self) -> Iterator[Problem]:
        if not self.verify and not any(address.startswith(("https:", "wss:")) for address in self.to):
            yield Problem(("verify",), "expected an https or wss address with it: the others have no certificate")

        if self.method and self.websocket:
            yield Problem(("method",), "expected an http or https address with it: a WebSocket begins with GET")

    @property
    def websocket(self) -> bool:
        """Whether an address is a WebSocket's."""
        return any(address.startswith("ws") for address in self.to)


Backend = Annotated[Proxy, Shorthand("to", "One address.", lists=True)]
