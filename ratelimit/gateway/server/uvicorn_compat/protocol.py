"""An HTTP connection of a client: its requests, one after the other, and the change to a WebSocket."""

import asyncio
from functools import partial
from itertools import chain
from typing import Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from ...http.handshake import handshake_problem, is_handshake
from ...http.request import REFUSED
from ...http.target import BadTarget, host_name, parse_target
from ..admission import Admission
from ..patience import Patience
from .cycle import Cycle, Out, nothing, nowhere, until_closed


class BoundedProtocol(Patience, HttpToolsProtocol):
    """Reads requests by RFC 9112, with bounds on the size of a head, its lines, and the time that it takes.

    The application answers also what cannot be read: the scope of such a request has the extension `REFUSED`, a
    gateway response's type and a reason. Trailers and chunk extensions are bounded like a head, and trailers are
    dropped: they come too late to be checked. So is what comes behind an answer: the rest of its request, or blank
    lines.
    """

    admission: ClassVar[Admission] = Admission(10_000, 10_000)
    max_head: ClassVar[int] = 65_536
    max_fields: ClassVar[int] = 128
    head_timeout: ClassVar[float] = 10.0

    _head = 0  # bytes of a head that has not ended, or since the last of a body
    _ended: Any = object()  # the scope whose head has ended; the next one is made when its head begins
    _began = True  # whether the head that comes began in an earlier part of what came
    _moved = False  # whether a head or a message has ended, or there was some of a body
    _deaf = False  # whether what comes is dropped
    _crowded = False  # whether there are too many connections, so that this one ends at once
    _timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0  # when the last answer ended, by the loop's time
    _problem: tuple[str, str] | None = None  # why the parser was stopped
    _running: RequestResponseCycle | None = None  # that of the application; `cycle` may be one that waits behind it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._out: Any = Out(self.transport, self.end)
        self._counted = self.client[0] if self.client else ""
        reason = self.admission.enter(self._counted)
        if reason is None:
            self._start_timer()
        else:
            self._crowded = True
            self._refuse("OVERLOADED", reason)

    def end(self) -> None:
        """Close after an answer; while something is still coming, not at once."""
        if not self._lost and not self._crowded and (self._deaf or self.cycle.more_body):
            self._linger()
        else:
            self.transport.close()
            self.watch()

    def _linger(self) -> None:
        """Close once the client has, or soon: what came unread would reset the connection, and take the answer back."""
        self._deaf = True
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_timeout, self.transport.close)
        self.watch()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._start_keep_alive(self.timeout_keep_alive)

    def _start_keep_alive(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close if nothing came since the last answer. One timer serves many requests: there may have been some."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._timer is not None or not self.cycle.response_complete:
            return
        rest = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self._start_keep_alive(rest)
        else:
            self.transport.close()
            self.watch()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False
            cycle.send = partial(until_closed, cycle, cycle.send)  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.admission.leave(self._counted)
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    # --- what comes

    def data_received(self, data: bytes) -> None:
        while data and not self._deaf and not self.transport.is_closing():
            part, data = data[: self.max_head - self._head], data[self.max_head - self._head :]
            self._began, self._moved = self.scope is not self._ended, False
            self._feed(part)
            if self._deaf:
                return
            self._head = 0 if self._moved else self._head + len(part)
            if self._head >= self.max_head:  # with its last byte it would have ended
                self._refuse("HEADERS_TOO_LARGE", f"more than {self.max_head} bytes")
            elif self._timer is None and (self.scope is not self._ended or self.cycle.response_complete):
                self._start_timer()  # in a head, or behind an answer

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = self._upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                self._refuse(*(self._problem or ("BAD_REQUEST", str(error))))
                return

    def _upgrade(self, rest: bytes) -> bytes:
        """Open a WebSocket, or return what is to be parsed in place of a head with another Upgrade.

        The parser takes a message with an Upgrade for over at the end of its head. Where the Upgrade is ignored, a new
        parser reads the same head without it, so that the body is framed as in any other request.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            self._refuse("BAD_REQUEST", "no tunnels")
        elif is_handshake(method, version, self.headers):
            self._open_websocket(rest)
        else:
            lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return b"\r\n".join([*lines, b"", rest])
        return b""

    def _handshake_problem(self) -> tuple[str, str] | None:
        """Why no WebSocket is opened, as the type of a gateway response and a reason; None when one is."""
        if self.cycle is not None and not self.cycle.response_complete:  # its answer would come within the WebSocket
            return "BAD_REQUEST", "a WebSocket behind a request that has no answer yet"
        if self._is_full():
            return "OVERLOADED", "too many connections"
        problem = handshake_problem(self.headers, self.url, MAX_NUM_HEADERS, MAX_LINE_LENGTH)
        if problem is not None:
            return problem
        try:
            self._read_target()
        except BadTarget as error:
            return "BAD_REQUEST", str(error)
        client = self.admission.client_of(self._counted, self.headers)
        reason = self.admission.move(self._counted, client)
        if reason is not None:
            return "OVERLOADED", reason
        self._counted = client
        return None

    def _open_websocket(self, rest: bytes) -> None:
        scope, problem = self.scope, self._handshake_problem()
        if problem is not None:
            self._refuse(*problem)
            return
        self._deaf = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        lines = [b"GET %b%b HTTP/1.1" % (scope["raw_path"], query)]
        lines += [b"%b: %b" % header for header in scope["headers"] if header[0] != b"content-length"]
        assert self.ws_protocol_class is not None
        protocol: Any = self.ws_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.leave = partial(self.admission.leave, self._counted)
        protocol.connection_made(self.transport)
        protocol.data_received(b"\r\n".join([*lines, b"", b""]))
        self.transport.set_protocol(protocol)
        if rest:
            protocol.data_received(rest)

    # --- what the parser finds

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value, headers = name.lower(), value.strip(b" \t"), self.headers
        if len(headers) >= self.max_fields:
            self._stop("HEADERS_TOO_LARGE", f"more than {self.max_fields} header lines")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._moved = True
        if self.parser.should_upgrade():
            return  # see _upgrade
        self._ended = self.scope
        self._stop_timer()
        if self._began:  # perhaps in the midst of a part, so `_head` is not all of it
            size = len(self.url) + 4 * len(self.headers) + sum(map(len, chain.from_iterable(self.headers)))
            if size > self.max_head:
                self._stop("HEADERS_TOO_LARGE", f"more than {self.max_head} bytes")
        version = self.parser.get_http_version()
        if version != "1.1":
            self.scope["http_version"] = version
            if version != "1.0":
                self._stop("UNSUPPORTED_VERSION", f"HTTP/{version}")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        try:
            self._read_target()
        except BadTarget as error:
            self._stop("BAD_REQUEST", str(error))
        self.scope["extensions"] = {}
        if self._is_full():
            self.scope["extensions"][REFUSED] = {"type": "OVERLOADED", "reason": "too many connections"}
        before, self.cycle = self.cycle, self._cycle(version != "1.0" and self.parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _is_full(self) -> bool:
        limit = self.limit_concurrency
        return limit is not None and max(len(self.connections), len(self.tasks)) >= limit

    def _cycle(self, keep_alive: bool) -> Cycle:
        return Cycle(
            scope=self.scope,
            transport=self._out,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def _read_target(self) -> None:
        """Note path and query. The authority of a target in absolute form takes the place of Host."""
        path, query, authority = parse_target(self.url)
        text = path.decode("ascii")
        self.scope["path"] = self.root_path + (unquote(text) if "%" in text else text)
        self.scope["raw_path"] = self.root_path.encode("ascii") + path
        self.scope["query_string"] = query
        if authority is not None:
            for name, value in self.headers:
                if name == b"host":
                    host_name(value)
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]

    def on_chunk_header(self) -> None:
        self._moved = True
        self.headers = []  # not those of the request: what comes now are trailers

    def on_body(self, body: bytes) -> None:
        self._moved = True
        if not self.cycle.response_complete:
            self.cycle.body += body
            if len(self.cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._moved = True
        if not self.parser.should_upgrade():
            self.cycle.more_body = False
            if not self.parser.should_keep_alive():  # a trailer may say so
                self.cycle.keep_alive = False
            if not self.cycle.response_complete:
                self.cycle.message_event.set()

    def _stop(self, type: str, reason: str) -> None:
        """End parsing from within one of the parser's calls: the head that is read is that of a refused request."""
        self._problem, self._ended = (type, reason), None
        raise ValueError(reason)

    # --- what cannot be read

    def _start_timer(self) -> None:
        reason = f"no whole head in {self.head_timeout:g} s"
        self._timer = self.loop.call_later(self.head_timeout, self._refuse, "REQUEST_TIMEOUT", reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, type: str, reason: str) -> None:
        """Read no further, and let the application answer why: at most one answer for each request, in order."""
        self._stop_timer()
        cycle: Any = self.cycle
        if self.transport.is_closing():
            return
        self._deaf = True
        if cycle is not None and cycle.more_body:  # it is within that request's body
            if cycle.response_complete:
                self._linger()
            elif cycle.response_started:
                self.transport.close()
            else:
                cycle.refuse(type, reason)
            return
        if self.scope is None or self.scope is self._ended:
            self.on_message_begin()
        path, _, query = self.url.partition(b"?")
        method = self.parser.get_method().decode("ascii") if self.url else "-"
        self.scope["method"], self.scope["path"] = method, path.decode("latin-1")
        self.scope["raw_path"], self.scope["query_string"] = path or b"-", query
        self.scope["extensions"] = {REFUSED: {"type": type, "reason": reason}}
        if cycle is None or cycle.response_complete:
            self.cycle = self._cycle(keep_alive=False)
            self.cycle.more_body = False
            self._start_asgi_task(self.cycle, self.app)
        else:  # that answer comes first, and is the last; the application only records this one
            cycle.keep_alive = False
            task = self.loop.create_task(self.app(self.scope, nothing, nowhere))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
