"""An HTTP connection of a client: its requests, one after the other, and the change to a WebSocket."""

import asyncio
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from ...http.body import MAX_DIGITS
from ...http.handshake import handshake_problem, is_handshake
from ...http.request import REFUSED, WHOLE
from ...http.target import BadTarget, host_name, parse_target
from ..admission import Admission
from ..slow_clients import SlowClientTimeout
from .cycle import AnswerWriter, Cycle, send_by_http_1_0

BLANK_LINE = b"\r\n\r\n"
MAX_PART, MAX_PARTS = 4_096, 8  # bytes of what came on a connection, and how many such parts a turn of the loop reads


class BoundedProtocol(SlowClientTimeout, HttpToolsProtocol):
    """Reads requests by RFC 9112, with bounds on the size of a head, its lines, and the time that it takes.

    The application answers also what cannot be read: the scope of such a request has the extension `REFUSED`, a
    gateway response's type and a reason. Trailers and chunk extensions are bounded like a head, and trailers are
    dropped: they come too late to be checked. So is what comes behind an answer: the rest of its request, or blank
    lines.

    A request is read once the one before it has its answer, and a turn of the event loop reads little of one
    connection: however much a client sends at once, the others have their turns between.
    """

    admission: ClassVar[Admission] = Admission(10_000, 10_000)
    max_head: ClassVar[int] = 65_536
    max_fields: ClassVar[int] = 128
    head_timeout: ClassVar[float] = 10.0

    _head = 0  # bytes of a head that has not ended, or since the last of a body
    _ended: Any = object()  # the scope whose head has ended; the next one is made when its head begins
    _rest = 0  # bytes of a body of known length that have not come
    _last = b""  # the last bytes that were parsed: a blank line may have begun there
    _held = b""  # what came, and is parsed in a later turn of the event loop
    _turn: asyncio.Handle | None = None  # that turn, if it is the next one
    _progressed = False  # whether the last part ended a head or a message, or had some of a body
    _drops_input = False
    _is_surplus = False  # whether there are too many connections, so that this one ends at once
    _timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0  # when the last answer ended, by the loop's time
    _problem: tuple[str, str] | None = None  # why the parser was stopped
    _websocket: Any = None  # the protocol that follows this one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._out: Any = AnswerWriter(self.transport, self.end)
        self._counted = self.client[0] if self.client else ""
        reason = self.admission.enter(self._counted)
        if reason is None:
            self._start_timer()
        else:
            self._is_surplus = True
            self._refuse("OVERLOADED", reason)

    def end(self) -> None:
        """Close after an answer; while something is still coming, not at once."""
        if not self._lost and not self._is_surplus and (self._drops_input or self._held or self.cycle.more_body):
            self._linger()
        else:
            self.transport.close()
            self.watch()

    def _linger(self) -> None:
        """Close once the client has, or soon: what came unread would reset the connection, and take the answer back."""
        self._drops_input, self._held = True, b""
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
        if self._held:
            self._read_next_turn()
        else:
            self.flow.resume_reading()
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

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._turn is not None:
            self._turn.cancel()
        self.admission.leave(self._counted)
        super().connection_lost(exc)

    # --- what comes

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._hold(self._held + data)
        else:
            self._read(data)

    def _hold(self, data: bytes) -> None:
        self._held = data
        self.flow.pause_reading()

    def _read_next_turn(self) -> None:
        if self._turn is None:
            self._turn = self.loop.call_soon(self._read_held)

    def _read_held(self) -> None:
        data, self._held, self._turn = self._held, b"", None
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Parse what came, to the end of a request, or for as long as a turn of the event loop may take."""
        begin = parts = 0
        while begin < len(data) and not self._drops_input and not self.transport.is_closing():
            cycle = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:  # it waits for its answer
                self._hold(data[begin:])
                return
            if parts == MAX_PARTS:
                self._hold(data[begin:])
                self._read_next_turn()
                return
            end = min(self._message_end(data, begin), begin + self.max_head - self._head)
            self._read_part(data[begin:end])
            begin, parts = end, parts + 1
        if self._websocket is not None and begin < len(data):
            self._websocket.data_received(data[begin:])

    def _message_end(self, data: bytes, begin: int) -> int:
        """Return where a message may end, so that none begins within the same part: with its body or a blank line."""
        if self._rest > 0:
            return begin + self._rest
        found = (self._last + data[begin : begin + 3]).find(BLANK_LINE)
        if found >= 0:
            return begin + found + 4 - len(self._last)
        found = data.find(BLANK_LINE, begin, begin + MAX_PART)
        return begin + MAX_PART if found < 0 else found + 4

    def _read_part(self, part: bytes) -> None:
        self._progressed = False
        self._feed(part)
        if self._drops_input:
            return
        self._last = (self._last + part)[-3:] if len(part) < 3 else part[-3:]
        self._head = 0 if self._progressed else self._head + len(part)
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
            self._open_websocket()
        else:
            lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return b"\r\n".join([*lines, b"", rest])
        return b""

    def _handshake_problem(self) -> tuple[str, str] | None:
        """Why no WebSocket is opened, as the type of a gateway response and a reason; None when one is."""
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

    def _open_websocket(self) -> None:
        scope, problem = self.scope, self._handshake_problem()
        if problem is not None:
            self._refuse(*problem)
            return
        self._drops_input = True
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
        self._websocket = protocol

    # --- what the parser finds

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value, headers = name.lower(), value.strip(b" \t"), self.headers
        if len(headers) >= self.max_fields:
            self._stop("HEADERS_TOO_LARGE", f"more than {self.max_fields} header lines")
        if name == b"content-length" and len(value) > MAX_DIGITS:
            self._stop("BAD_REQUEST", f"a content-length of more than {MAX_DIGITS} digits")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._progressed = True
        parser, scope = self.parser, self.scope
        if parser.should_upgrade():
            return  # see _upgrade
        self._ended = scope
        self._stop_timer()
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
            if version != "1.0":
                self._stop("UNSUPPORTED_VERSION", f"HTTP/{version}")
        scope["method"] = parser.get_method().decode("ascii")
        try:
            self._read_target()
        except BadTarget as error:
            self._stop("BAD_REQUEST", str(error))
        self._rest = 0
        for name, value in self.headers:
            if name == b"content-length":
                self._rest = int(value)
        self.cycle = self._cycle(version != "1.0" and parser.should_keep_alive())
        scope["extensions"] = {WHOLE: self.cycle.answer}  # type: ignore[dict-item]
        if self._is_full():
            scope["extensions"][REFUSED] = {"type": "OVERLOADED", "reason": "too many connections"}
        # In the next turn of the event loop, when all that came has been read. If each request were read and answered
        # before the next one is read, each answer would wake a client that has just gone to sleep.
        self.loop.call_soon(self.cycle.serve, self.app, self._start_asgi_task)

    def _is_full(self) -> bool:
        limit = self.limit_concurrency
        return limit is not None and max(len(self.connections), len(self.tasks)) >= limit

    def _cycle(self, keep_alive: bool) -> Cycle:
        cycle = Cycle(
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
        if self.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False
            cycle.send = partial(send_by_http_1_0, cycle, cycle.send)  # type: ignore[method-assign]
        return cycle

    def _read_target(self) -> None:
        """Note path and query. The authority of a target in absolute form takes the place of Host."""
        path, query, authority = parse_target(self.url)
        text = path.decode("ascii")
        self.scope["path"] = self.root_path + (unquote(text) if "%" in text else text)
        self.scope["raw_path"] = self.root_path.encode("ascii") + path
        self.scope["query_string"] = query
        if authority is not None:
            hosts = [value for name, value in self.headers if name == b"host"]
            for host in hosts:
                host_name(host)
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]
            if not hosts and self.parser.get_http_version() == "1.0":  # which requires none
                self.headers.append((b"host", authority))

    def on_chunk_header(self) -> None:
        self._progressed = True
        self.headers = []  # not those of the request: what comes now are trailers

    def on_body(self, body: bytes) -> None:
        self._progressed = True
        self._rest -= len(body)  # below 0 for chunks, whose length is not known
        if not self.cycle.response_complete:
            self.cycle.body += body
            if len(self.cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._progressed = True
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
        self._drops_input = True
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
        self.cycle = self._cycle(keep_alive=False)
        self.cycle.more_body = False
        self._start_asgi_task(self.cycle, self.app)
