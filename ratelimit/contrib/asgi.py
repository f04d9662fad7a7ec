"""A middleware for every ASGI application: Starlette, FastAPI, Litestar, Quart.

    app.add_middleware(RateLimitMiddleware, limit="100/minute; 10/second", shared="api")

It sees requests before the application's router does, so it covers all routers, mounts and WebSockets.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl

from .._configuration.addresses import client_key
from .._limiter.decision import Decision, limit_fields
from .._limiter.headers import Style
from ._addresses import ClientAddress
from ._answers import refusal
from ._policy import AnyLimiter, Ruling, check_function, check_own, resolved
from ._rules import Counts, Rules

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ANSWERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
POLICY_VIOLATION = 1008  # the code with which a WebSocket is closed
SWITCHING_PROTOCOLS = 101


class Connection:
    """The request or WebSocket handshake to limit, as `key`, `limit` and other functions receive it.

    Attributes:
        scope: the ASGI scope. An outer middleware may have set `scope["user"]` and the like.
    """

    def __init__(self, scope: Scope, client_address: ClientAddress) -> None:
        self.scope = scope
        self._client_address = client_address

    @property
    def kind(self) -> str:
        """ "http" or "websocket"."""
        kind: str = self.scope["type"]
        return kind

    @property
    def method(self) -> str:
        """The method, such as "GET", which a WebSocket also has."""
        method: str = self.scope.get("method", "GET")
        return method

    @property
    def path(self) -> str:
        """The path, decoded."""
        path: str = self.scope["path"]
        return path

    @cached_property
    def headers(self) -> dict[str, str]:
        """The header fields by their names in lower case; those of one name are joined by commas."""
        fields: dict[str, str] = {}
        for name, value in self.scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
        return fields

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the query; of several with one name the last."""
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))

    @property
    def address(self) -> str:
        """The client's address, an IPv6 address as its /64 network; "unknown" if it does not have one."""
        client = self.scope.get("client")
        peer = client[0] if client else None
        if not self._client_address.trusts_any:
            return client_key(peer or "")
        return self._client_address(peer, (self.headers.get("x-forwarded-for", ""),))


class RateLimitMiddleware:
    """Limit the requests and WebSocket handshakes of an ASGI application.

    Args:
        app: the application.
        limit: a text such as "100/minute; 10/second", a limiter, or a function of the Connection, sync or async, that
            returns either, or None for no limit.
        key: a function of the Connection, sync or async, that returns what is limited: str, bytes or int. By default
            the client's address.
        cost: a whole number, or a function of the Connection, sync or async.
        exempt: paths that are not limited (`"/static/*"` is all that begins so), or a function of the Connection.
        methods: the methods that are limited; by default all. A WebSocket has the method GET.
        shared: a name in shared memory. With it, all worker processes of the host count together.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, and "unix" for a Unix socket.
        count_if: a function of the Connection and the status of the answer, sync or async. A request for which it is
            false counts while it runs; after that, its cost is given back.
        on_refused: a function of the Connection and the Ruling, sync or async, that returns the answer to a refused
            HTTP request: an ASGI application, such as a Response of Starlette.
        messages: a limit for the messages that the clients with one key send over WebSockets. A connection whose
            message is refused is closed with the code 1008.
        headers: "draft", "legacy" or None: the header fields of every answer. Fields that the application set itself,
            such as those of a limit of one route, are kept.
        shadow: admit all, and log what would be refused.
        fail_open: admit requests if the limiter fails; otherwise answer 503.
        clock, max_keys: as for every limiter.

    Raises:
        TypeError, ValueError: an argument is not possible.

    A refused request is answered with 429 and Retry-After, and with problem details if the client accepts JSON. A
    refused handshake is answered in the same way by a server that can, and with 403 otherwise. An error in one of the
    functions is an error of the application, and nothing is counted then.
    """

    def __init__(
        self,
        app: App,
        limit: Any,
        *,
        key: Callable[[Connection], Any] | None = None,
        cost: int | Callable[[Connection], Any] = 1,
        exempt: Iterable[str] | Callable[[Connection], Any] = (),
        methods: Iterable[str] | None = None,
        shared: str | None = None,
        trusted_proxies: Iterable[str] = (),
        count_if: Callable[[Connection, int], Any] | None = None,
        on_refused: Callable[[Connection, Ruling], Any] | None = None,
        messages: Any = None,
        headers: Style = "draft",
        shadow: bool = False,
        fail_open: bool = True,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        for name, function in (("key", key), ("count_if", count_if), ("on_refused", on_refused)):
            check_function(name, function)
        if not isinstance(messages, str):
            check_own(limit, shared=shared, clock=clock, max_keys=max_keys)
        self._app = app
        self._client_address = ClientAddress(trusted_proxies)
        self._count_if, self._on_refused = count_if, on_refused
        self._counts = Counts.make(
            shared=shared, headers=headers, shadow=shadow, fail_open=fail_open, clock=clock, max_keys=max_keys
        )
        self._limiters, self._guard, self._headers = self._counts
        self._rules = Rules(limit, key=_address if key is None else key, cost=cost, exempt=exempt, methods=methods)
        limiter = None if callable(limit) else self._limiters.get(limit)
        try:
            self._messages = None if messages is None else self._limiters.get(messages, "messages")
        except (TypeError, ValueError) as error:
            raise type(error)(f"messages: {error}") from None
        self._cost = 1 if callable(cost) else int(cost)
        # The limiter of a middleware that only limits addresses, which needs neither a coroutine nor a Connection: they
        # are half of the whole cost.
        needs_more = key or count_if or callable(cost) or messages is not None or self._client_address.trusts_any
        self._simple = limiter if self._rules.limits_all and not needs_more else None
        if limiter is not None and limiter._is_remote:
            self._simple = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        ruling: Ruling | None
        if self._simple is not None:
            client = scope.get("client")
            key = client_key(client[0] or "" if client else "")
            decision = self._guard.spend(self._simple, key, self._cost)
            if decision is not None and decision.allowed:
                await self._app(scope, receive, self._with_fields(decision, send))
                return
            connection = Connection(scope, self._client_address)
            ruling = self._guard.judge(self._simple, key, self._cost, decision)
        else:
            connection = Connection(scope, self._client_address)
            ruling = await self._rules.decide_async(connection, self._counts)
        if ruling is None:
            await self._app(scope, receive, send)
            return
        if not ruling.allowed:
            await self._refuse(connection, ruling, receive, send)
            return
        if self._messages is not None and connection.kind == "websocket":
            receive = self._limited_messages(self._messages, ruling, receive, send)
        if self._count_if is not None:
            await self._serve_and_count(self._count_if, connection, ruling, receive, send)
        else:
            await self._app(scope, receive, self._with_fields(ruling.decision, send))

    def clear(self) -> None:
        """Forget all keys, for tests. A limiter that was given as `limit` is cleared, too."""
        self._limiters.clear()
        self._rules.clear()

    async def _serve_and_count(
        self,
        count_if: Callable[[Connection, int], Any],
        connection: Connection,
        ruling: Ruling,
        receive: Receive,
        send: Send,
    ) -> None:
        status = 500  # of an application that raises before it answers

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] in ANSWERS:
                status = message.get("status", SWITCHING_PROTOCOLS)
            await send(message)

        try:
            await self._app(connection.scope, receive, self._with_fields(ruling.decision, send_and_note))
        finally:
            if not await resolved(count_if(connection, status)):
                await ruling.refund_async()

    def _with_fields(self, decision: Decision | None, send: Send) -> Send:
        """Return `send` with the fields about limits."""
        fields = self._fields(decision)
        return partial(_send_with_fields, send, fields) if fields else send

    def _limited_messages(self, limiter: AnyLimiter, ruling: Ruling, receive: Receive, send: Send) -> Receive:
        closed = False

        async def receive_limited() -> Message:
            nonlocal closed
            message = {} if closed else await receive()
            if not closed and message["type"] == "websocket.receive":
                closed = not (await self._guard.decide_async(limiter, ruling.key)).allowed
                if closed:
                    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "too many messages"})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION} if closed else message

        return receive_limited

    async def _refuse(self, connection: Connection, ruling: Ruling, receive: Receive, send: Send) -> None:
        if connection.kind == "websocket" and "websocket.http.response" not in connection.scope.get("extensions", {}):
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if connection.kind == "http" and self._on_refused is not None:
            answer = await resolved(self._on_refused(connection, ruling))
            await answer(connection.scope, receive, self._with_fields(ruling.decision, send))
            return
        fields = self._fields(ruling.decision)
        content_type, body = refusal(ruling.status, connection.headers.get("accept", ""))
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body)), *fields]
        prefix = "websocket." if connection.kind == "websocket" else ""
        await send({"type": f"{prefix}http.response.start", "status": ruling.status, "headers": headers})
        await send({"type": f"{prefix}http.response.body", "body": b"" if connection.method == "HEAD" else body})

    def _fields(self, decision: Decision | None) -> list[tuple[bytes, bytes]]:
        return [] if decision is None else limit_fields(decision, self._headers)


def _send_with_fields(send: Send, fields: list[tuple[bytes, bytes]], message: Message) -> Awaitable[None]:
    """Add the fields to an answer, unless the application set such fields itself."""
    if message["type"] in ANSWERS:
        headers = list(message.get("headers") or ())
        first = fields[0][0]
        length = len(first)
        for name, _ in headers:
            if len(name) == length and name.lower() == first:
                break
        else:
            headers += fields
        message = {**message, "headers": headers}  # the application may send its own again
    return send(message)


def _address(connection: Connection) -> str:
    return connection.address
