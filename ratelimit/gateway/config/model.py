"""The configuration of a gateway as immutable data, under the names of a file.

Each class checks its own fields, in a file as in Python; `rules` checks what refers to what.
"""

from typing import Annotated, Literal

from pydantic import Field

from ..._configuration.base import model
from ..._configuration.fields import (
    ENGINE_URL,
    ByName,
    Check,
    Flag,
    NamesLike,
    Networks,
    Number,
    OrEmpty,
    Seconds,
    Shorthand,
    Text,
    Whole,
    matching,
    no_names,
    positive,
)
from ..throttling.key_file import NAME, NAME_TEXT, VALUE, VALUE_TEXT
from .apis import Api, Responses
from .fields import TemplateText
from .functions import FunctionProcess
from .throttles import ClientLimit, Limit, Plan, Throttle


@model
class AccessLog:
    """The access log: one line for each request."""

    file: Text
    """A path, or `-` for standard output."""
    format: TemplateText = (
        '$context.identity.sourceIp - $context.identity.apiKeyId [$context.requestTime] "$context.httpMethod '
        '$context.path $context.protocol" $context.status $context.responseLength "$context.error.reason" '
        "$context.requestId"
    )
    """The line, with `$context.x`. If it begins with `{`, values are escaped for JSON."""


@model
class Operator:
    """The pages of the gateway itself: status, metrics, usage, and `@connections` of WebSocket APIs."""

    path: Annotated[Text, matching(r"(?:/[A-Za-z0-9_-]+)?", "a path such as '/name', or '' for no pages")] = "/_gateway"
    """The path below which the pages are; empty for no pages."""
    allow: Networks = ("127.0.0.0/8", "::1/128")
    """Networks that may use the pages. They are served at an address, at `localhost`, and at the `domains`."""


Host = Annotated[
    str,
    matching(
        r"\*|([a-z0-9_-]+\.)*[a-z0-9_-]*[a-z0-9]|\[[0-9a-f:.]+\]",
        "a host such as 'shop.example', in lower case and without a port, or '*'",
    ),
]
BasePath = Annotated[str, matching(r"/|(?:/[A-Za-z0-9_.~-]+)+", "a base path such as '/v1'")]
KeyName = Annotated[str, matching(NAME, NAME_TEXT)]
KeyValue = Annotated[Text, matching(VALUE, VALUE_TEXT, secret=True)]


@model
class Configuration:
    """All settings of a gateway."""

    apis: Annotated[ByName[Api], Check("at least one API", bool, minProperties=1)]
    """APIs by name."""
    functions: ByName[Annotated[FunctionProcess, OrEmpty()]] = Field(default_factory=no_names)
    """Functions that run outside of the gateway, by name, for routes and authorizers to refer to."""
    api_keys: NamesLike[KeyName, KeyValue] = Field(default_factory=no_names, repr=False)
    """API keys by name: 20 to 128 printable ASCII characters each."""
    plans: ByName[Plan] = Field(default_factory=no_names)
    """Usage plans by name."""
    domains: NamesLike[Host, NamesLike[BasePath, Text]] = Field(default_factory=no_names)
    """For each host, or `*` for all others: base paths, and the API or the stage that each leads to, such as
    `/v1: petstore/prod`. A path below an API begins with the name of its stage. Without domains, every host reaches
    the only API."""
    throttle: Limit | None = Field(default_factory=lambda: Throttle(10_000.0, 5_000))
    """The limit of all requests together; null for no limit."""
    client_throttle: ClientLimit | None = None
    """The limit of each client, over all requests."""
    responses: Responses = Field(default_factory=no_names)
    """Answers of the gateway itself by case, for all APIs."""
    shadow: Flag = False
    """Count the requests that any throttle or quota would refuse, and admit them."""
    on_limiter_error: Literal["fail_open", "fail_closed"] = "fail_open"
    """The decision when a limiter fails: fail_open admits the request, fail_closed answers 503."""
    trusted_proxies: Networks = ()
    """Networks of proxies whose X-Forwarded-For is used as the address of the client."""
    encoded_slash: Flag = False
    """Accept `%2F` in a path, as part of one segment."""
    headers: Literal["draft", "legacy", "both", "none"] = "draft"
    """Headers about limits: draft (RateLimit and RateLimit-Policy), legacy (`X-RateLimit-*`), both or none."""
    problem_json: Flag = False
    """Answer 429 and 503 with application/problem+json."""
    tables: Annotated[
        Text,
        matching(
            rf"memory|shared:[A-Za-z0-9_.-]+|file:.+|{ENGINE_URL}",
            "memory, shared:NAME, file:FOLDER or valkey://HOST:PORT/0?name=NAME",
        ),
    ] = "memory"
    """Where counts are kept: memory, shared:NAME, file:FOLDER, or the URL of a Valkey or Redis server, for several
    hosts: `valkey://HOST:PORT/0?name=NAME`."""
    max_keys: Annotated[Whole, positive()] = 100_000
    """The number of keys in the table of each level, and in the table of counters: about 20 for each route in use,
    and one for each API key and day of the last 92."""
    max_head: Annotated[Whole, positive("bytes")] = 65_536
    """The largest request line with headers, in bytes. For `ratelimit gateway`."""
    head_timeout: Seconds = 10.0
    """Seconds in which a client must send the headers. For `ratelimit gateway`."""
    body_timeout: Seconds = 30.0
    """Seconds in which a client must send the body, and at `min_rate` after the first ten."""
    max_bodies: Annotated[Whole, positive("bytes")] = 64 * 1024 * 1024
    """The most bytes of bodies that are in memory at a time, in each worker: whole ones for functions, aggregates and
    messages, and the first 64 KB for backends. Beyond them the answer is 503."""
    send_timeout: Seconds = 30.0
    """Seconds in which a client must read `min_rate` bytes each, or all that waits for it. For `ratelimit gateway`."""
    min_rate: Annotated[Number, positive("bytes")] = 1_000.0
    """Bytes a second that a client must send of a body, and read, on average over `send_timeout`. The latter is for
    `ratelimit gateway`."""
    access_log: Annotated[AccessLog, Shorthand("file", "The file of the log, or - for standard output.")] | None = None
    """The access log."""
    operator: Annotated[Operator, OrEmpty()] = Field(default_factory=Operator)
    """The pages of the gateway itself."""
    tracing: Flag = False
    """Record spans with OpenTelemetry. It needs the extra `otel`."""
