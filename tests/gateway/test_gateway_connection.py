"""A connection to a client, with a clock of the test: the bytes of answers, and how long it stays open."""

import asyncio
import random
from itertools import pairwise
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState
from waiting import until_async

from ratelimit.gateway.http.request import Pace, Request
from ratelimit.gateway.server.uvicorn_compat import BoundedProtocol
from ratelimit.gateway.server.uvicorn_compat.cycle import Cycle

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH = (b"content-length", b"2")


class Transport:
    def __init__(self):
        self.pieces, self.closed, self.is_read = [], False, True

    def write(self, data):
        self.pieces.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return None

    def get_write_buffer_size(self):
        return 0

    def can_write_eof(self):
        return False

    def pause_reading(self):
        self.is_read = False

    def resume_reading(self):
        self.is_read = True


class Loop:
    """Runs what is ready, turn by turn, and timers when the test lets time pass."""

    def __init__(self):
        self.now, self.timers, self.ready = 0.0, [], []

    def time(self):
        return self.now

    def call_later(self, seconds, function, *arguments):
        timer = SimpleNamespace(at=self.now + seconds, run=lambda: function(*arguments))
        timer.cancel = lambda: timer in self.timers and self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def call_soon(self, function, *arguments):
        call = SimpleNamespace(run=lambda: function(*arguments))
        call.cancel = lambda: call in self.ready and self.ready.remove(call)
        self.ready.append(call)
        return call

    def create_task(self, coroutine):
        self.call_soon(self.run, coroutine)
        return Mock()

    def run(self, coroutine):
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def turn(self):
        ready, self.ready = self.ready, []
        for call in ready:
            call.run()

    def wait(self, seconds):
        while self.ready:
            self.turn()
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.at <= self.now]:
            timer.cancel()
            timer.run()


async def hello(scope, receive, send):
    request = Request(scope, receive, send, 0, 0, Pace(1, 1))
    assert request.send_whole(200, [LENGTH], b"hi")


def protocol_for(app, loop):
    config = Config(app, lifespan="off", log_config=None, timeout_keep_alive=5)
    config.load()
    return BoundedProtocol(config, ServerState(), {}, _loop=loop)


@pytest.fixture
def connection():
    """Return a protocol, its transport and its loop; it is kept alive for 5 s, and a head may take 10 s."""
    transport, loop = Transport(), Loop()
    protocol = protocol_for(hello, loop)
    protocol.connection_made(transport)
    yield protocol, transport, loop
    protocol.connection_lost(None)
    assert loop.timers == []


def test_an_idle_connection_is_closed_some_time_after_its_last_answer(connection):
    protocol, transport, loop = connection
    for _ in range(4):
        protocol.data_received(GET)
        loop.wait(3)
        assert not transport.closed
    loop.wait(3)
    assert transport.closed
    assert len(transport.pieces) == 4


def test_one_timer_serves_many_requests(connection):
    protocol, _transport, loop = connection
    for _ in range(100):
        protocol.data_received(GET)
        loop.wait(0)
    assert len(loop.timers) == 1


def test_a_connection_within_a_head_is_not_idle(connection):
    protocol, transport, loop = connection
    protocol.data_received(GET)
    loop.wait(0)
    protocol.data_received(GET[:10])
    loop.wait(6)
    assert not transport.closed
    protocol.data_received(GET[10:])
    loop.wait(0)
    assert len(transport.pieces) == 2
    loop.wait(5)
    assert transport.closed


def most_answers_in_a_turn(transport, loop):
    counts = [len(transport.pieces)]
    while loop.ready:
        loop.turn()
        counts.append(len(transport.pieces))
    return max(after - before for before, after in pairwise(counts))


def test_each_turn_of_the_loop_reads_one_request_of_a_connection(connection):
    """The requests of others come between those that a client sends at once, and these take no memory."""
    protocol, transport, loop = connection
    protocol.data_received(GET * 50)
    protocol.data_received(GET)
    assert not transport.is_read
    assert most_answers_in_a_turn(transport, loop) == 1
    assert len(transport.pieces) == 51
    assert transport.is_read


class Application:
    """Answers at once, or in a task, or fails before it has one, by the path."""

    async def __call__(self, scope, receive, send):
        """Fail: the connection is to call `start`."""
        raise AssertionError(scope["path"])

    def start(self, scope, receive, send):
        if scope["path"] == "/wrong":
            raise ValueError(scope["path"])
        rest = hello(scope, receive, send)
        if scope["path"] == "/later":
            return rest
        with pytest.raises(StopIteration):
            rest.send(None)
        if scope["path"] == "/late":
            raise ValueError(scope["path"])
        return None


@pytest.fixture
def starting(connection):
    """Return the same connection, to an application with `start`."""
    connection[0].app = Application()
    return connection


def test_an_application_with_start_has_a_task_where_something_remains(starting):
    protocol, transport, loop = starting
    protocol.data_received(GET)
    loop.turn()
    assert (len(transport.pieces), loop.ready) == (1, [])
    protocol.data_received(GET.replace(b"/", b"/later", 1))
    loop.turn()
    assert len(transport.pieces) == 1
    loop.turn()
    assert (len(transport.pieces), loop.ready) == (2, [])


def test_each_turn_of_the_loop_answers_one_request_of_a_connection(starting):
    protocol, transport, loop = starting
    protocol.data_received(GET * 20)
    assert most_answers_in_a_turn(transport, loop) == 1
    assert len(transport.pieces) == 20
    assert transport.is_read


def test_a_body_that_comes_behind_its_answer_is_dropped(starting):
    protocol, transport, loop = starting
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGE")
    loop.wait(0)
    assert len(transport.pieces) == 1
    protocol.data_received(b"T " + GET)
    loop.wait(0)
    assert len(transport.pieces) == 2
    assert not transport.closed


def test_an_application_that_fails_at_its_start_is_answered_for(starting, caplog):
    protocol, transport, loop = starting
    protocol.data_received(GET.replace(b"/", b"/wrong", 1))
    loop.wait(0)
    assert b"".join(transport.pieces).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "ValueError: /wrong" in caplog.text


def test_an_application_that_fails_behind_its_answer_ends_the_connection(starting, caplog):
    protocol, transport, loop = starting
    protocol.data_received(GET.replace(b"/", b"/late", 1) + GET)
    loop.wait(0)
    assert len(transport.pieces) == 1
    loop.wait(10)
    assert transport.closed
    assert "ValueError: /late" in caplog.text


@pytest.mark.parametrize("data", [b"\r\n\r\n" * 10_000, CHUNKED + b"ffff\r\n" + b"\r\n\r\n" * 10_000])
def test_each_turn_of_the_loop_reads_few_pieces_of_a_connection(connection, data, monkeypatch):
    """A body of blank lines is read in many small pieces, since each of them could be the end of the request."""
    protocol, transport, loop = connection
    loop.run = lambda coroutine: coroutine.close()
    count, feed = 0, BoundedProtocol._feed

    def counting(self, data):
        nonlocal count
        count += 1
        feed(self, data)

    monkeypatch.setattr(BoundedProtocol, "_feed", counting)
    protocol.data_received(data)
    while not transport.is_read:
        assert count <= 8
        count = 0
        loop.turn()
    assert count <= 8


def test_requests_that_came_together_are_answered_one_after_the_other():
    """However their bytes are cut."""
    requests = [
        (b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"\r\n\r\nGET /%d HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b""),
        (b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na\r\n\r\nGET ", b"a\r\n\r\nGET "),
        (b"POST /%d HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (CHUNKED.replace(b"/", b"/%d", 1) + b"6\r\na\r\n\r\nb\r\n0\r\n\r\n", b"a\r\n\r\nb"),
        (CHUNKED.replace(b"/", b"/%d", 1) + b"1\r\nx\r\n0\r\nA: b\r\n\r\n", b"x"),
    ]
    chance = random.Random(1)

    async def run():
        seen, running = [], 0

        async def app(scope, receive, send):
            nonlocal running
            running += 1
            assert running == 1
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            seen.append((scope["path"], body))
            await hello(scope, receive, send)
            running -= 1

        transport = Transport()
        protocol = protocol_for(app, asyncio.get_running_loop())
        protocol.connection_made(transport)
        chosen = chance.choices(requests, k=20)
        data = b"".join(text % number for number, (text, _) in enumerate(chosen))
        while data:
            await until_async(lambda: transport.is_read)
            size = chance.choice([1, 2, 3, 10, 100, 10_000])
            protocol.data_received(data[:size])
            data = data[size:]
        await until_async(lambda: len(transport.pieces) == len(chosen))
        assert seen == [(f"/{number}", body) for number, (_, body) in enumerate(chosen)]
        protocol.connection_lost(None)

    for _ in range(20):
        asyncio.run(run())


def sent(kind, method, messages, keep_alive=True, fields=()):
    """Return the pieces that a cycle writes, whether it closes, and the type of an error."""
    transport = Transport()

    async def send():
        cycle = kind(
            scope={"method": method}, transport=transport, flow=SimpleNamespace(write_paused=False), logger=None,
            access_logger=None, access_log=False, default_headers=list(fields), message_event=asyncio.Event(),
            expect_100_continue=False, keep_alive=keep_alive, on_response=lambda: None,
        )  # fmt: skip
        rest = messages
        if kind is Cycle and is_whole(messages):
            start, body = messages[:2]
            rest = messages[2 * cycle.answer(start["status"], start["headers"], body.get("body", b"")) :]
        for message in rest:
            await cycle.send(message)
        assert cycle.response_complete

    try:
        asyncio.run(send())
    except (RuntimeError, AssertionError) as error:
        return b"".join(transport.pieces), transport.closed, type(error)
    return b"".join(transport.pieces), transport.closed, None


def is_whole(messages):
    """Whether messages begin with an answer whose body comes at once, which the gateway sends as one piece."""
    types = [message["type"] for message in messages[:2]]
    return types == ["http.response.start", "http.response.body"] and not messages[1].get("more_body")


def answer(*headers, body=b"hi", status=200):
    return [
        {"type": "http.response.start", "status": status, "headers": list(headers)},
        {"type": "http.response.body", "body": body},
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(
    "messages",
    [
        answer(LENGTH),
        answer(LENGTH, (b"X-One", b"a\tb\xff"), (b"x-one", b"")),
        answer((b"Content-Length", b"2")),
        answer((b"content-length", b"0"), body=b"", status=304),
        answer(),
        answer(LENGTH, body=b"more"),
        answer(LENGTH, body=b""),
        answer(LENGTH, (b"Connection", b"close")),
        answer(LENGTH, (b"connection", b"keep-alive")),
        answer(LENGTH, (b"transfer-encoding", b"chunked")),
        answer(status=204, body=b""),
        *(answer(LENGTH, (b"x-one", b"a%cb" % byte)) for byte in (0, 10, 13, 31, 127)),
        *(answer(LENGTH, (name, b"1")) for name in (b"a b", b"a:", b"a\r\nb", b"a\xffb", b"")),
        answer(LENGTH) + answer(LENGTH),
        answer(LENGTH)[1:],
        [*answer((b"content-length", b"0"))[:1], {"type": "http.response.body"}],
        [answer(LENGTH)[0], {**answer(LENGTH)[1], "more_body": True}, {"type": "http.response.body"}],
        [*answer(LENGTH)[:1], {"type": "http.response.body", "body": b"", "more_body": True}, answer(LENGTH)[1]],
    ],
)
def test_an_answer_has_the_bytes_that_uvicorn_sends(method, keep_alive, messages):
    date = [(b"date", b"Sat, 31 Jan 2026 12:00:00 GMT")]
    right = sent(RequestResponseCycle, method, messages, keep_alive, date)
    assert sent(Cycle, method, messages, keep_alive, date) == right


def test_a_whole_answer_is_written_as_one_piece(connection):
    protocol, transport, loop = connection
    protocol.data_received(GET)
    loop.wait(0)
    assert transport.pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"]


def test_a_websocket_behind_a_request_is_not_closed_as_idle(connection):
    protocol, transport, loop = connection
    protocol.data_received(GET)
    loop.wait(0)
    protocol.ws_protocol_class = lambda **options: SimpleNamespace(
        connection_made=lambda transport: None, data_received=lambda data: None
    )
    transport.set_protocol = lambda protocol: None
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    protocol.data_received(GET[:-2] + upgrade + b"AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    assert loop.timers == []
    assert len(transport.pieces) == 1
