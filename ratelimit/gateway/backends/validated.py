"""Requests that are checked before their integration is asked."""

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from ..exchange import Exchange
from ..http.body import EAGER_BYTES, read_body
from ..http.errors import Refusal
from ..http.request import Request
from ..http.response import Response
from ..schemas import BodySchema
from .integration import Integration

DEFAULT = "$default"  # the content type that stands for all others
PARAMETER = r"header\.[!#$%&'*+.^_`|~0-9A-Za-z-]+|querystring\.\S+"
CONTENT_TYPE = r"\$default|[^\s;/]+/[^\s;/]+"


class ValidatedIntegration:
    """Refuses the requests that lack something; asks the integration to answer the others.

    Args:
        integration: see there.
        parameters: that a request must have, and not empty: `header.NAME` and `querystring.NAME`.
        bodies: the schemas of bodies, by content type in lower case, or `$default`.
        max_body: bytes of a request's body.
    """

    def __init__(
        self, integration: Integration, parameters: Sequence[str], bodies: Mapping[str, BodySchema], max_body: int
    ) -> None:
        split = [one.partition(".")[::2] for one in sorted(parameters)]
        self._integration = integration
        self._headers = [name for place, name in split if place == "header"]
        self._query = [name for place, name in split if place == "querystring"]
        self._bodies = bodies
        self._max_body = max_body

    async def answer(self, exchange: Exchange) -> Response:
        request = exchange.request
        missing = self._missing(request)
        if missing:
            text = f"Missing required request parameters: [{', '.join(missing)}]"
            raise Refusal("BAD_REQUEST_PARAMETERS", text, shown=text)
        if self._bodies and [name for name, _ in request.raw_headers].count(b"content-type") > 1:
            raise Refusal("BAD_REQUEST", "content-type twice: the integration might read another one")
        schema = self._schema(request)
        if schema is not None:
            body = await read_body(request, self._max_body)
            # A large one takes a while, in which other requests go on.
            check = schema.problems
            problems = check(body) if len(body) <= EAGER_BYTES else await asyncio.to_thread(check, body)
            if problems:
                raise Refusal("BAD_REQUEST_BODY", f"[{', '.join(problems)}]")
        return await self._integration.answer(exchange)

    def _missing(self, request: Request) -> list[str]:
        """Return the names of the parameters that are not there, or blank."""
        missing = [name for name in self._headers if not (request.header(name) or "").strip()]
        if self._query:
            given = {name for name, value in parse_qsl(request.raw_query.decode("latin-1")) if value.strip()}
            missing += [name for name in self._query if name not in given]
        return missing

    def _schema(self, request: Request) -> BodySchema | None:
        """Return the schema for the content type of a request, which is JSON where it has none."""
        kind = (request.header("content-type") or "application/json").partition(";")[0].strip().lower()
        return self._bodies.get(kind) or self._bodies.get(DEFAULT)
