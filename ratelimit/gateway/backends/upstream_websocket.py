"""WebSockets to backends, one for each client."""

import websockets

from ..exchange import Exchange
from ..http.errors import Refusal
from ..http.headers import end_to_end
from ..http.response import Response
from ..observability.meter import stopwatch_ns
from .balancer import NOT_TO_CLIENTS, UNAVAILABLE
from .proxy import ProxyIntegration


async def open_upstream(
    proxy: ProxyIntegration, exchange: Exchange, max_message: int
) -> websockets.ClientConnection | Response:
    """Connect to the backend for one client; it reads no more than the client takes.

    Returns: the connection, or the backend's answer that refuses it.

    Raises: Refusal when no address can be reached.
    """
    target = proxy.target(exchange, "GET", b"")
    headers, path = target.headers, target.path.decode()
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    protocols = exchange.request.scope.get("subprotocols") or None
    problem: Exception | None = None
    for address in proxy.balancer.order():
        scheme, began = "wss" if address.scheme == "https" else "ws", stopwatch_ns()
        host = (target.host or address.authority).decode("latin-1")
        try:
            connection = await _Direct(
                f"{scheme}://{host}{path}", host=address.host, port=address.port,
                server_hostname=None if address.context is None else address.host, additional_headers=texts,
                subprotocols=protocols, open_timeout=proxy.timeout, ssl=address.context, proxy=None,
                compression=None, user_agent_header=None, max_size=max_message, max_queue=1,
            )  # fmt: skip
            address.fails = 0
            address.record(began, 101)
            return connection
        except (OSError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
            if isinstance(error, websockets.InvalidStatus) and 300 <= error.response.status_code <= 599:
                exchange.outcome.integration_status = status = error.response.status_code
                address.record(began, status)
                if status in UNAVAILABLE:
                    proxy.balancer.failed(address)
                else:
                    address.fails = 0
                return _denial(error.response)
            if not isinstance(error, websockets.InvalidURI):  # an error of our own
                proxy.balancer.failed(address)
                address.record(began)
            if isinstance(error, TimeoutError):
                raise Refusal("INTEGRATION_TIMEOUT", "the backend opens no WebSocket in time") from error
            problem = error
    raise Refusal("INTEGRATION_FAILURE", repr(problem)) from problem


class _Direct(websockets.connect):
    """Opens a WebSocket at its address and follows no redirect."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _denial(answer: websockets.Response) -> Response:
    """Return the answer of a backend that does not open a WebSocket, as the client gets it."""
    fields = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.raw_items()]
    headers = end_to_end(fields, NOT_TO_CLIENTS | {b"content-length"})
    return Response(answer.status_code, headers, bytes(answer.body or b""))
