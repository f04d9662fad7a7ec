"""Answers that the gateway makes by itself."""

from collections.abc import Mapping

from ..http.headers import header_value
from ..http.response import Response
from ..templates.template import Scope, Template, escape_of, in_json


class MockIntegration:
    """Gives the same answer each time, except for the variables in it.

    Args:
        status, headers, body: of the answer; headers and body are templates.

    Attributes:
        constant: the answer, if it has no variables.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        headers = {"content-type": "application/json", **{name.lower(): text for name, text in headers.items()}}
        self._status = status
        self._body = Template(body, escape_of(headers["content-type"], in_json))
        self._headers = [(name, Template(text)) for name, text in headers.items()]
        constant = not any(template.names for template in (self._body, *dict(self._headers).values()))
        self.constant = self._fill(None) if constant else None

    def _fill(self, scope: Scope | None) -> Response:
        body = self._body.fill(scope).encode()
        headers = [(name.encode(), header_value(name, template.fill(scope))) for name, template in self._headers]
        return Response(self._status, [*headers, (b"content-length", b"%d" % len(body))], body)

    async def answer(self, exchange: Scope) -> Response:
        return self.constant or self._fill(exchange)
