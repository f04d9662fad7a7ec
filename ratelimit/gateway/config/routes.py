"""Routes, and the tree of resources in which a REST API may have them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..._configuration.base import model
from ..._configuration.fields import Check, Flag, Names, Networks, Text, Texts, Whole, between, matching, no_names
from ..._configuration.problems import Problem
from ..routing.table import METHODS
from .backends import Backend, Mock, Proxy
from .fields import Function, Timeout, TransformRules
from .validation import Validation


@model
class Route:
    """The integration for the requests of one route key: exactly one of mock, proxy, function and aggregate."""

    mock: Mock | None = None
    """An answer of the gateway itself."""
    proxy: Backend | None = None
    """A backend: an address, a list of addresses, or an object with more settings."""
    function: Function | None = None
    """A function of the event: `package.module:name`, sync or async; the name of one of `functions`; or in Python a
    callable."""
    payload_format: Annotated[Text, matching(r"[12]\.0", "1.0 or 2.0")] = "2.0"
    """The form of the events of a function in an HTTP API: 2.0, or 1.0 as in REST APIs."""
    aggregate: Annotated[Names[Backend], Check("at least one backend", bool, minProperties=1)] | None = None
    """Backends by name. All are asked with GET, and their answers become one JSON object."""
    timeout: Timeout = 29.0
    """Seconds that a function or an aggregate may take, from 0.05 to 30."""
    api_key_required: Flag = False
    """Require a key of a usage plan for the stage in the header x-api-key."""
    authorizer: Text | None = None
    """The name of the authorizer that is asked first."""
    scopes: Texts = ()
    """Scopes of which a JSON Web Token must have one."""
    allow: Networks = ()
    """Networks such as `10.0.0.0/8`, from which alone requests are accepted. An empty list accepts all."""
    deny: Networks = ()
    """Networks from which requests are refused."""
    validate: Validation | None = None
    """In a REST API, the headers, parameters of the query and body that a request must have."""
    max_body: Annotated[Whole, between(0, 2**40)] = 10 * 1024 * 1024
    """The largest body of a request, in bytes."""
    route_response: Flag = True
    """In a WebSocket API: send what the integration returns to the client. Without it the route is one-way."""
    request: TransformRules = Field(default_factory=no_names)
    """Changes to the request before its backend: `append:header.x`, `overwrite:header.x`, `remove:header.x`,
    the same with `querystring.x`, and `overwrite:path`."""
    response: TransformRules = Field(default_factory=no_names)
    """Changes to the answer: `append:header.x`, `overwrite:header.x`, `remove:header.x`, `overwrite:statuscode`."""

    def problems(self) -> Iterator[Problem]:
        integrations = ("mock", "proxy", "function", "aggregate")
        given = [name for name in integrations if getattr(self, name) is not None]
        if len(given) != 1:
            yield Problem((), f"expected one of {', '.join(integrations)}, got {' and '.join(given) or 'none'}")
        if "errors" in (self.aggregate or {}):
            yield Problem(("aggregate", "errors"), "expected another name: the answer lists failed backends under it")
        if "overwrite:statuscode" in self.request:
            yield Problem(("request", "overwrite:statuscode"), "expected under response: a request has no status")
        for rule in self.response:
            if ":querystring." in rule:
                yield Problem(("response", rule), "expected under request: an answer has no query")
        if "overwrite:path" in self.response:
            yield Problem(("response", "overwrite:path"), "expected under request: an answer has no path")
        for name, proxy in (self.aggregate or {}).items():
            if proxy.method:
                yield Problem(("aggregate", name, "method"), "expected under proxy: an aggregate asks with GET")
        if self.mock is not None and self.request:
            yield Problem(("request",), "expected a backend: a mock does not read the request")
        if self.timeout != 29.0 and given in (["mock"], ["proxy"]):
            place = "in the proxy: " if self.proxy else "a function or an aggregate: "
            yield Problem(("timeout",), f"expected {place}this one is for a function or an aggregate")

    def backends(self) -> Iterator[tuple[tuple[str, ...], Proxy]]:
        """Its backends, each with its path below the route."""
        if self.proxy is not None:
            yield ("proxy",), self.proxy
        for name, proxy in (self.aggregate or {}).items():
            yield ("aggregate", name), proxy


class Resource(BaseModel):
    """A path of a REST API: its methods, and below it further paths, which begin with a slash."""

    model_config = ConfigDict(
        extra="allow", frozen=True,
        json_schema_extra=lambda schema: schema.update(
            patternProperties={"^/": schema["additionalProperties"]}, additionalProperties=False
        ),
    )  # fmt: skip
    __pydantic_extra__: dict[
        Annotated[str, Check(f"a path that begins with / or one of {', '.join(METHODS)}", lambda it: it[:1] == "/")],
        "Resource",
    ]
    GET: Route | None = None
    """The route of GET requests."""
    HEAD: Route | None = None
    """The route of HEAD requests."""
    POST: Route | None = None
    """The route of POST requests."""
    PUT: Route | None = None
    """The route of PUT requests."""
    PATCH: Route | None = None
    """The route of PATCH requests."""
    DELETE: Route | None = None
    """The route of DELETE requests."""
    OPTIONS: Route | None = None
    """The route of OPTIONS requests."""
    ANY: Route | None = None
    """The route of all methods that are not listed."""

    def walk(self, place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Route]]:
        """Yield the routes at and below this path: key, place in the tree, and the route."""
        path = "".join(part if part != "/" else "" for part in place) or "/"
        for method in METHODS:
            route = getattr(self, method)
            if route is not None:
                yield f"{method} {path}", (*place, method), route
        for name, below in (self.__pydantic_extra__ or {}).items():
            yield from below.walk((*place, name))


ResourcePath = Annotated[str, matching("/.*", "a path that begins with /")]
