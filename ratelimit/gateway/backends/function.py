"""Functions as backends."""

import logging
from typing import Any

from ..exchange import Exchange
from ..functions.answers import response_of
from ..functions.events import Events
from ..functions.invocation import Function
from ..functions.process import has_traceback
from ..http.body import read_body
from ..http.errors import Refusal
from ..http.response import Response
from ..templates.transform import Transform
from .integration import timed_integration

log = logging.getLogger("ratelimit.gateway")


class FunctionIntegration:
    """Calls a function with an event and makes its result the answer.

    Args:
        function: what is called.
        events: makes its events.
        timeout: seconds that it may take.
        max_body: bytes of a request's body.
        transform: changes to the headers, the path and the query of the event.
    """

    def __init__(self, function: Function, events: Events, timeout: float, max_body: int, transform: Transform) -> None:
        self._function = function
        self._events = events
        self._timeout = timeout
        self._max_body = max_body
        self._transform = transform

    async def answer(self, exchange: Exchange) -> Response:
        body = await read_body(exchange.request, self._max_body)
        headers, path, query = None, "", exchange.request.raw_query
        if self._transform:
            headers = self._transform.headers(exchange.request.vouched_headers(), exchange)
            path, query = self._transform.path("", exchange), self._transform.query(query, exchange)
        event = self._events.make(exchange, body, headers, path, query)
        with timed_integration(exchange):
            result = await self._call(exchange, event)
            try:
                response = response_of(result, self._events, exchange)
            except (TypeError, ValueError, AttributeError, RecursionError) as error:
                log.error("the result of a function is not an answer: %s", error)
                raise Refusal("FUNCTION_FAILURE", str(error)) from error
        exchange.outcome.integration_status = response.status
        return response

    async def _call(self, exchange: Exchange, event: dict[str, Any]) -> Any:
        try:
            return await self._function.invoke(event, self._timeout, exchange.request)
        except Refusal:
            raise
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT", "the function takes too long") from error
        except Exception as error:
            route, traceback = exchange.destination.route, has_traceback(error)
            log.error("function of route %s failed: %s", route, error, exc_info=traceback)
            raise Refusal("FUNCTION_FAILURE", repr(error)) from error
