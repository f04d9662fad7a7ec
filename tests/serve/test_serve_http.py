"""HTTP on a connection, byte by byte and under attack, without sockets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serve_harness import Service, answers_in

from ratelimit.serve.head import HeadReader
from ratelimit.serve.protocol import IDLE_TIMEOUT, LINGER, MAX_BODY, REQUEST_TIMEOUT
from ratelimit.serve.refused import BadRequest

HEAD = b"GET /check/api HTTP/1.1\r\nHost: a\r\n"
GOOD = HEAD + b"\r\n"


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path, "limits: {api: 2/minute}")


def test_answers_requests_that_were_sent_together_in_order(service):
    connection = service.connect()
    connection.data_received(GOOD * 3)
    assert [status for status, _, _ in answers_in(connection.transport.sent)] == [200, 200, 429]
    assert not connection.transport.closed


def test_answers_the_same_however_the_bytes_arrive(service):
    post = b"POST /check/api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    connection = service.connect()
    for byte in post + GOOD + post:
        connection.data_received(bytes([byte]))
    assert [status for status, _, _ in answers_in(connection.transport.sent)] == [200, 200, 429]


def test_every_method_asks_and_head_has_no_body(service):
    assert [service.status("/check/api", method=method) for method in ("GET", "DELETE", "POST")] == [200, 200, 429]
    status, fields, _ = service.ask("/check/api", method="HEAD")
    assert (status, fields["content-length"]) == (429, "18")


@pytest.mark.parametrize(
    ("request_", "last"),
    [
        (b"GET /health HTTP/1.0\r\n\r\n", True),
        (b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", True),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", True),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", False),
    ],
)
def test_keeps_or_closes_a_connection_as_the_client_asks(service, request_, last):
    connection = service.connect()
    connection.data_received(request_ + request_)
    answers = answers_in(connection.transport.sent)
    assert len(answers) == (1 if last else 2)
    assert (answers[0][1].get("connection") == "close") == connection.transport.closed == last


def test_a_client_that_waits_for_a_word_gets_it_before_the_body(service):
    connection = service.connect()
    connection.data_received(
        b"POST /check/api HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    assert connection.transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"ab")
    assert [status for status, _, _ in answers_in(connection.transport.sent)] == [100, 200]


REFUSED = {
    "two lengths": (400, HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, HEAD + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a signed length": (400, HEAD + b"Content-Length: +3\r\n\r\nabc"),
    "a negative length": (400, HEAD + b"Content-Length: -3\r\n\r\nabc"),
    "a length of many digits": (400, HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"),
    "chunks": (501, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunks and a length": (501, HEAD + b"Content-Length: 3\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n"),
    "a space before the colon": (400, HEAD + b"Content-Length : 3\r\n\r\nabc"),
    "a folded line": (400, HEAD + b"X-A: b\r\n c\r\n\r\n"),
    "a bare LF": (400, b"GET /check/api HTTP/1.1\nHost: a\n\n"),
    "a bare LF in a field": (400, HEAD + b"X-A: b\nContent-Length: 3\r\n\r\n"),
    "a bare CR": (400, HEAD + b"X-A: b\rc\r\n\r\n"),
    "a NUL": (400, HEAD + b"X-A: b\0c\r\n\r\n"),
    "a field without a name": (400, HEAD + b": b\r\n\r\n"),
    "no colon": (400, HEAD + b"X-A\r\n\r\n"),
    "no host": (400, b"GET /check/api HTTP/1.1\r\n\r\n"),
    "two hosts": (400, HEAD + b"Host: b\r\n\r\n"),
    "an absolute target": (400, b"GET http://a/check/api HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a connection to elsewhere": (400, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two spaces": (400, b"GET  /check/api HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /check/api\r\n"),
    "HTTP/2": (505, b"PRI /* HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50)),
    "an empty line first": (400, b"\r\n" + GOOD),
    "a huge head": (431, HEAD + b"X-A: " + b"a" * 20_000),
    "a huge target": (431, b"GET /" + b"a" * 20_000),
    "many fields": (431, HEAD + b"a:\r\n" * 5_000),
    "a huge body": (413, HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1)),
}


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_can_be_read_in_two_ways_and_what_is_too_large(service, status, data):
    connection = service.connect()
    connection.data_received(data + GOOD)  # nothing behind it is read as a request
    assert [(answer, fields["connection"]) for answer, fields, _ in answers_in(connection.transport.sent)] == [
        (status, "close")
    ]
    assert service.status("/check/api") == service.status("/check/api") == 200


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_refuses_it_in_small_pieces_too(service, status, data):
    connection = service.connect()
    for begin in range(0, len(data), 7):
        connection.data_received(data[begin : begin + 7])
    assert [answer for answer, _, _ in answers_in(connection.transport.sent)] == [status]


def test_a_request_that_does_not_end_is_answered_and_its_connection_closed(service):
    connection = service.connect()
    connection.data_received(HEAD)
    service.loop.now += REQUEST_TIMEOUT - 1
    connection.data_received(b"X-A")  # a byte now and then does not prolong it
    connection.look(service.loop.now)
    assert not connection.transport.sent
    connection.look(service.loop.now + 2)
    assert answers_in(connection.transport.sent)[0][0] == 408
    assert connection.transport.closed
    connection.look(service.loop.now + 3 + LINGER)
    assert connection.transport.aborted


def test_a_slow_body_is_a_request_that_is_not_finished(service):
    connection = service.connect()
    connection.data_received(HEAD + b"Content-Length: 3\r\n\r\n")
    connection.look(service.loop.now + REQUEST_TIMEOUT + 1)
    assert answers_in(connection.transport.sent)[0][0] == 408


def test_an_idle_connection_is_closed_and_one_in_use_is_not(service):
    idle, busy = service.connect(), service.connect()
    for _ in range(3):
        busy.data_received(GOOD)
        for connection in (idle, busy):
            connection.look(service.loop.now)
        service.loop.now += IDLE_TIMEOUT / 2 + 1
    for connection in (idle, busy):
        connection.look(service.loop.now)
    assert idle.transport.closed
    assert not idle.transport.sent
    assert not busy.transport.closed


def test_a_client_that_does_not_take_its_answers_is_read_no_further_and_ended(service):
    connection = service.connect()
    connection.data_received(GOOD)
    connection.pause_writing()
    assert not connection.transport.reading
    connection.resume_writing()
    assert connection.transport.reading
    connection.pause_writing()
    connection.look(service.loop.now + REQUEST_TIMEOUT + 1)
    assert connection.transport.aborted


def test_connections_beyond_the_bound_are_refused(service, monkeypatch):
    monkeypatch.setattr("ratelimit.serve.protocol.MAX_CONNECTIONS", 2)
    first, _, third = service.connect(), service.connect(), service.connect()
    assert answers_in(third.transport.sent)[0][0] == 503
    assert third.transport.closed
    third.connection_lost(None)
    first.connection_lost(None)
    assert not service.connect().transport.sent


def test_the_last_answers_of_a_service_that_stops_say_so(service):
    service.connections.stopping = True
    connection = service.connect()
    connection.data_received(GOOD)
    assert answers_in(connection.transport.sent)[0][1]["connection"] == "close"
    assert connection.transport.closed


TOKENS = st.sampled_from(
    [b"GET", b" ", b"/a", b"HTTP/1.1", b"\r\n", b"\r", b"\n", b"Host: a", b"X-A:", b"\0", b"\xff", b"Content-Length: 1"]
)


@given(st.lists(TOKENS, max_size=12).map(b"".join), st.integers(0, 40))
def test_a_head_is_read_whole_or_refused_or_waited_for(data, cut):
    """A prefix never is a whole request that its continuation is not; nothing behind the end matters."""
    reader = HeadReader({b"x-a"}, 1_000)

    def read(text):
        try:
            head = reader.read(text, 0)
        except BadRequest as error:
            return error.status
        return head and (head.method, head.target, head.fields, head.end, head.length, head.keep)

    whole, part = read(data), read(data[:cut])
    if part is not None:
        assert part == whole
    if isinstance(whole, tuple):
        assert data[: whole[3]].endswith(b"\r\n\r\n")
        assert read(data + b"\r\nX-A: behind") == whole
        assert reader.read(b"xyz" + data, 3).end == whole[3] + 3
