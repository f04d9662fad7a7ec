"""Every request leaves a line in the access log, with the reason when the gateway itself answered."""

import json
import threading

import pytest
from fronts import Client, Recorder, ask
from gateway_harness import Server, raw
from waiting import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
SOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEYED = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UNREADABLE = {
    "length and coding": (CHUNKED + b"Content-Length: 2\r\n\r\n", 400, "BAD_REQUEST", "Transfer-Encoding"),
    "a head too long": (HEAD + b"X: " + b"x" * 30_000, 431, "HEADERS_TOO_LARGE", "20000 bytes"),
    "too many lines": (HEAD + b"X: x\r\n" * 200 + b"\r\n", 431, "HEADERS_TOO_LARGE", "128 header lines"),
    "rubbish": (b"\0\1\2\r\n\r\n", 400, "BAD_REQUEST", ""),
    "a name with a blank": (HEAD + b"X : x\r\n\r\n", 400, "BAD_REQUEST", ""),
    "another version": (b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n", 505, "UNSUPPORTED_VERSION", "HTTP/2.0"),
    "a fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST", ""),
    "a slow head": (HEAD, 408, "REQUEST_TIMEOUT", "1 s"),
    "a slow body": (HEAD + b"Content-Length: 9\r\n\r\n", 408, "REQUEST_TIMEOUT", ""),
    "a broken chunk": (CHUNKED + b"\r\nzz\r\n", 400, "BAD_REQUEST", ""),
    "endless trailers": (CHUNKED + b"\r\n0\r\n" + b"X: x\r\n" * 9_000, 431, "HEADERS_TOO_LARGE", ""),
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST", "no host"),
    "a bad host": (b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "BAD_REQUEST", "a b"),
    "a tunnel": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST", "tunnel"),
    "a handshake without a key": (HEAD + SOCKET + b"\r\n", 400, "BAD_REQUEST", "sec-websocket"),
    "a handshake with a body": (HEAD + SOCKET + KEYED + b"Content-Length: 2\r\n\r\nhi", 400, "BAD_REQUEST", "body"),
    "a length of many digits": (HEAD + b"Content-Length: " + b"0" * 5_000 + b"\r\n\r\n", 400, "BAD_REQUEST", "digits"),
    "a handshake with a length of many digits": (
        HEAD + SOCKET + KEYED + b"Content-Length: " + b"0" * 5_000 + b"\r\n\r\n", 400, "BAD_REQUEST", "digits"
    ),
    "a long handshake": (HEAD + SOCKET + KEYED + b"X: " + b"x" * 8_190 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE", ""),
    "a handshake at no WebSocket API": (HEAD + SOCKET + KEYED + b"\r\n", 404, "RESOURCE_NOT_FOUND", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with an access log; one for all tests, since each start is slow."""
    folder, recorder = tmp_path_factory.mktemp("logged"), Recorder()
    format = {
        "status": "$context.status", "type": "$context.error.responseType", "reason": "$context.error.reason",
        "method": "$context.httpMethod", "path": "$context.path", "id": "$context.requestId",
    }  # fmt: skip
    server = Server(
        folder,
        f"""
max_head: 20000
head_timeout: 1
body_timeout: 1
access_log: {{file: "{folder}/access.log", format: '{json.dumps(format)}'}}
apis: {{a: {{routes: {{$default: {{proxy: "{recorder.url}"}}}}, stages: {{$default: {{}}}}}}}}
""",
    )
    server.access_log = folder / "access.log"
    yield server
    server.stop()
    recorder.stop()


@pytest.fixture
def logged(gateway):
    """The gateway, whose `access` returns the lines since the beginning of the test."""
    before = len(gateway.access_log.read_text().splitlines())
    gateway.access = lambda count: [
        json.loads(line) for line in gateway.lines(gateway.access_log, before + count)[before:]
    ]
    return gateway


@pytest.mark.parametrize("sent", UNREADABLE)
def test_a_request_that_is_refused_leaves_a_line(logged, sent):
    data, status, type, reason = UNREADABLE[sent]
    answer = raw(logged.port, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    (line,) = logged.access(1)
    assert (line["status"], line["type"]) == (str(status), type)
    assert reason in line["reason"]
    assert line["reason"] != "-"
    if sent != "rubbish":
        assert line["path"].startswith(("/a", "a:80"))


@pytest.mark.parametrize("sent", ["length and coding", "a broken chunk"])
def test_what_cannot_be_read_behind_a_request_under_way_is_answered_in_its_turn(logged, sent):
    good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
    with Client(logged.port) as client:
        client.send(good + UNREADABLE[sent][0])
        assert client.answer()[0] == 200
        assert client.answer()[0] == 400
        assert client.answer() is None
    assert [line["status"] for line in logged.access(2)] == ["200", "400"]


def test_the_gateway_responses_of_the_configuration_are_for_unreadable_requests_too(serve):
    server = serve("""
responses: {BAD_REQUEST: {status: 422, body: '{"why": "$context.error.reason"}'}, DEFAULT_5XX: {headers: {x-a: b}}}
apis: {a: {routes: {$default: {mock: {}}}, stages: {$default: {}}}}
""")
    assert ask(server.port, "GET / HTTP/1.1", "Host: a", "X : y")[0] == 422
    status, headers, _ = ask(server.port, "GET / HTTP/2.0", "Host: a")
    assert (status, headers["x-a"]) == (505, "b")


def test_a_client_that_leaves_ends_what_runs_for_it_whatever_it_has_pipelined(serve, backend):
    """An answer without an end is left although another request waits behind it."""
    left = threading.Event()

    async def endless(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                await writer.drain()
        finally:
            left.set()

    server = serve(
        f'apis: {{a: {{routes: {{$default: {{proxy: "{backend(endless).url}"}}}}, stages: {{$default: {{}}}}}}}}'
    )
    with Client(server.port) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.socket.recv(10)
    assert left.wait(PATIENCE)


def test_a_message_that_is_not_text_leaves_no_traceback(serve):
    """A client closes its own WebSocket with that, and could fill the log of errors."""
    server = serve("apis: {a: {type: websocket, routes: {$default: {mock: {body: here}}}, stages: {prod: {}}}}")
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        client.send(b"\xff", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1007
    assert "Traceback" not in server.log.read_text()
    assert "ERROR" not in server.log.read_text()
