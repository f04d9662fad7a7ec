"""Authorizers and CORS."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from ..._configuration.base import model
from ..._configuration.fields import Flag, Many, Number, Text, Texts, Whole, between, matching
from ..._configuration.problems import Problem
from ..access.jwt import is_url
from ..access.policies import check_policy
from ..templates.template import Template
from .fields import Function, TemplateText, nested

TTL = 300.0  # seconds


Policy = Annotated[
    Any,
    nested("an IAM policy with a Statement", check_policy),
    WithJsonSchema({"type": "object", "required": ["Statement"]}),
]
IDENTITY = r"[!#$%&'*+.^_`|~\w-]+"


def _source(text: str) -> str:
    if text.startswith("$"):
        Template(text)
    return text


IdentitySource = Annotated[Text, matching(IDENTITY, "the name of a header"), AfterValidator(_source)]


@model
class Jwt:
    """The JSON Web Tokens that an authorizer accepts."""

    issuer: Text
    """The `iss` of a token."""
    audience: Texts = ()
    """Values of which `aud`, or `client_id` where there is no `aud`, must have one. An empty list accepts all."""
    keys: Text | None = None
    """The public keys, a JWKS: a URL or a file. By default the issuer's own, by its OpenID configuration."""

    @property
    def keys_file(self) -> str | None:
        """The file of the keys; None for keys that come by HTTP."""
        return None if self.keys is None or is_url(self.keys) else self.keys


@model
class Authorizer:
    """A function that decides who may use a route, or the tokens that are accepted."""

    function: Function | None = None
    """A function of the event: `package.module:name`, the name of one of `functions`, or in Python a callable. It
    returns true, false, `{"isAuthorized": bool, "context": {...}, "usageIdentifierKey": an API key}`, or an IAM
    policy."""
    jwt: Jwt | None = None
    """In place of a function: JSON Web Tokens."""
    identity: Many[IdentitySource] = ("authorization",)
    """The identity of the client: headers by name, or variables such as `$request.querystring.token`, `$context.x` and
    `$stageVariables.x`. A request without one of them is refused with 401."""
    event: Literal["1.0", "2.0", "token"] | None = None
    """The form of the event: `token`, or a payload format; by default that of functions in the API."""
    pattern: Text | None = None
    """A regular expression that the whole identity must match; otherwise the request is refused with 401."""
    ttl: Annotated[Number, between(0, 3600, "seconds")] = TTL
    """Seconds for which an answer is kept for the same identity, stage and route; a policy for the same identity and
    stage. 0 asks every time."""
    cache_key: Many[TemplateText] = ()
    """The values on which an answer depends besides identity, stage and route, such as `$context.httpMethod` and
    `$context.path`. An answer that depends on more than these is used for requests for which it was not given."""

    def problems(self) -> Iterator[Problem]:
        if (self.function is None) == (self.jwt is None):
            yield Problem((), f"expected one of function, jwt, got {'both' if self.jwt else 'none'}")
        if self.jwt is not None:
            for name, given in (("event", self.event), ("cache_key", self.cache_key), ("ttl", self.ttl != TTL)):
                if given:
                    yield Problem((name,), "expected with a function: a token is checked as it is, until it expires")
        if not self.identity and self.ttl:
            yield Problem(("ttl",), f"expected 0 without an identity to distinguish clients, got {self.ttl:g}")
        if self.cache_key and not self.ttl:
            yield Problem(("cache_key",), "expected a ttl: no answer is kept without one")
        if self.jwt is not None and len(self.identity) != 1:
            yield Problem(("identity",), f"expected the one place of a token, got {len(self.identity)}")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            yield Problem(("pattern",), f"expected a regular expression: {error}")


@model
class Cors:
    """Which pages of other sites may read the answers of an HTTP API; the gateway answers their preflights."""

    allow_origins: Texts
    """Origins such as `https://shop.example`, `https://*.example`, or `*`."""
    allow_methods: Texts = ()
    """Methods, or `*`."""
    allow_headers: Texts = ()
    """Headers of requests, or `*`."""
    expose_headers: Texts = ()
    """Headers of answers that pages may read, or `*`."""
    max_age: Annotated[Whole, between(-1, 86_400, "seconds")] = 0
    """Seconds for which a browser keeps the answer to a preflight."""
    allow_credentials: Flag = False
    """Allow cookies and other credentials."""

    def problems(self) -> Iterator[Problem]:
        if self.allow_credentials and "*" in self.allow_origins:
            yield Problem(("allow_credentials",), "expected false with the origin *: any page could read the answers")
