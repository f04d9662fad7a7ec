"""Malformed requests, hostile clients and backends that misbehave: each gets its documented answer.

In one file: the cases have their servers and clients in common.
"""

import asyncio
import contextlib
import itertools
import random
import re
import socket
import ssl
import threading
import time

import httpx
import pytest
from gateway_harness import App, Server, get, raw, reset
from waiting import PATIENCE, pace, pace_async, until

from ratelimit.gateway import Api, Configuration, Proxy, Route, Stage
from ratelimit.gateway.backends.address import Address
from ratelimit.gateway.backends.balancer import Balancer

MOCK = "apis: {a: {routes: {ANY /: {mock: {body: ok}}}, stages: {$default: {}}}}"


def proxied(url, **options):
    more = ", ".join(f"{name}: {value}" for name, value in options.items())
    return f"apis: {{a: {{routes: {{$default: {{proxy: {{to: {url}, {more}}}}}}}, stages: {{$default: {{}}}}}}}}"


def before_nginx(nginx, folder, timeouts=""):
    """Run a gateway before nginx, with a route for /admin that admits no client; yield its port."""
    server = Server(
        folder,
        f"""
max_head: 8192
{timeouts}
apis:
  a:
    routes:
      ANY /admin: {{deny: 0.0.0.0/0, mock: {{}}}}
      ANY /admin/{{proxy+}}: {{deny: 0.0.0.0/0, mock: {{}}}}
      $default: {{proxy: "http://127.0.0.1:{nginx}"}}
    stages: {{$default: {{}}}}
""",
    )
    yield server.port
    server.stop()


@pytest.fixture(scope="module")
def front(nginx, tmp_path_factory):
    yield from before_nginx(nginx, tmp_path_factory.mktemp("front"))


@pytest.fixture(scope="module")
def impatient(nginx, tmp_path_factory):
    """Run the gateway with timeouts of a second."""
    yield from before_nginx(nginx, tmp_path_factory.mktemp("impatient"), "head_timeout: 1\nbody_timeout: 1")


@pytest.mark.parametrize(
    "target",
    [
        "/admin", "/admin/x", "//admin", "/x/../admin", "/./admin", "/%2e%2e/admin", "/x/%2e%2e/admin",
        "/x%2f..%2fadmin",
        "/%2fadmin", "/admin%2fx", "/admin%00", "/%61dmin", "/%61%64min/x", "\\admin", "/x\\..\\admin", "/x/..%5cadmin",
        "/x/..", "/admin/..;/x", "/x/..;/admin", "/x/..;a=b/admin", "/x/%2e%2e;/admin", "/admin/.", "//", "/x//admin",
    ],
)  # fmt: skip
def test_no_path_bypasses_a_route(front, target):
    """No request reaches nginx that nginx could take for /admin."""
    status, body = get(front, target)
    assert status in (400, 403), body
    assert b"admin page" not in body


@pytest.mark.parametrize(
    "target", ["/%", "/%zz", "/%ff", "/%c3%28", "/%00", "/a%0d%0ab", "/a%7f", "x", "", "*", "/\u00ff", "/a\x01"]
)
def test_rejects_malformed_targets(front, target):
    status, _ = get(front, target)
    assert status == 400


def test_accepts_a_target_in_absolute_form(front):
    """Its path is used; the host is that of the Host header."""
    assert get(front, "http://other.example/x")[1].startswith(b"GET /x host=127.0.0.1:")
    assert get(front, "http://other.example/admin")[0] == 403


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: a\r\nX-Api-Key: b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : space\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    ],
)
def test_rejects_malformed_requests(front, request_):
    """The status is 400, and no later bytes of the connection are taken for a request."""
    answer = raw(front, request_ + b"GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"smuggled" not in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_trailers_are_not_taken_for_headers(serve, backend):
    """A trailer can change neither the client's identity nor a header that was already checked."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    back = backend(answer)
    server = serve("trusted_proxies: 127.0.0.1\n" + proxied(back.url))
    head = (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: ann\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    trailers = b"0\r\nAuthorization: root\r\nX-Forwarded-For: 192.0.2.9\r\nX-Extra: 1\r\n\r\n"
    assert raw(server.port, head + b"2\r\nhi\r\n" + trailers).startswith(b"HTTP/1.1 200")
    for word in (b"root", b"192.0.2.9", b"x-extra"):
        assert word not in back.heads[0]
    assert b"authorization: ann" in back.heads[0]


@pytest.mark.parametrize(
    "rest", [b"0\r\n" + b"X-A: b\r\n" * 20_000, b"0\r\nX-A: " + b"b" * 99_999, b"2;" + b"e" * 99_999]
)
def test_rejects_endless_trailers_and_chunk_extensions(front, rest):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(front, head + rest).startswith(b"HTTP/1.1 431 ")


def test_small_chunks_do_not_count_towards_the_head(front):
    """Their framing is many times longer than max_head."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(front, head + b"1;e\r\nx\r\n" * 10_000 + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_drops_headers_that_a_backend_could_read_as_others(serve, backend):
    """CGI and WSGI do not distinguish `_` and `-` in the name of a header."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    back = backend(answer)
    server = serve(proxied(back.url))
    get(
        server.port,
        "/",
        "Transfer_Encoding: chunked",
        "Content_Length: 9",
        "X_Real_IP: 1.1.1.1",
        "X_Forwarded-For: 1.1.1.1",
    )
    assert b"1.1.1.1" not in back.heads[0]
    assert b"_" not in back.heads[0]


@pytest.mark.parametrize("sent", ["X-User", "X_User", "x_user", "X-USER"])
@pytest.mark.parametrize("rule", ["overwrite:header.X-User", "overwrite:header.x_user", "remove:header.x-user"])
def test_client_cannot_send_a_header_that_a_mapping_overwrites(backend, sent, rule):
    """Another spelling of the header does not give the client another identity at the backend."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    behind = backend(answer)
    route = Route(proxy=Proxy([behind.url]), request={rule: "ann"})
    ask = App(Configuration({"a": Api(routes={"GET /": route}, stages={"$default": Stage()})}))
    assert ask.get("/", headers={sent: "root"}).text == "ok"
    assert b"root" not in behind.heads[0]


@pytest.mark.parametrize("status", [204, 304])
def test_bodies_are_dropped_where_http_allows_none(serve, backend, status):
    """A client would take a body for the beginning of the next answer."""

    async def answer(head, reader, writer):
        kept = b"304 Not Modified" if b" /kept" in head else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % kept + b"hello" * (b" /kept" not in head))

    server = serve(f"""
apis:
  a:
    routes:
      GET /mock: {{mock: {{status: {status}, body: hello}}}}
      GET /mapped: {{proxy: "{backend(answer).url}", response: {{"overwrite:statuscode": "{status}"}}}}
      GET /kept: {{proxy: "{backend(answer).url}"}}
      GET /end: {{mock: {{body: end}}}}
    stages: {{$default: {{}}}}
""")
    requests = [b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"mock", b"mapped", b"kept", b"end")]
    requests[-1] = requests[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = raw(server.port, b"".join(requests)).split(b"HTTP/1.1 ")[1:]
    assert [int(one[:3]) for one in answers] == [status, status, 304, 200]
    for one in answers[:3]:
        assert one.endswith(b"\r\n\r\n")
        assert b"content-length" not in one
        assert b"hello" not in one


def test_framing_is_the_gateways_own(serve, backend):
    """A client's headers about connections and framing do not reach the backend."""

    async def show(head, reader, writer):
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 9\r\nContent-Length: 2\r\n\r\nok"
        )
        await writer.drain()

    behind = backend(show)
    server = serve(proxied(behind.url))
    status, body = get(
        server.port, "/x", "Connection: X-Hop", "X-Hop: 1", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: x",
        "Proxy-Authorization: x", "X_Forwarded_For: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Prefix: /6.6.6.6",
        "X-Ok: 1",
    )  # fmt: skip
    assert (status, body[-2:]) == (200, b"ok")
    head = behind.heads[0].lower()
    for name in (b"x-hop", b"te:", b"upgrade", b"proxy-auth", b"6.6.6.6", b"keep-alive"):
        assert name not in head
    assert b"x-ok: 1" in head
    answer = httpx.get(server.url)
    assert not {"x-gone", "keep-alive"} & set(answer.headers)


def test_pipelined_requests_are_answered_in_order(front):
    both = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = raw(front, both)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"GET /1 ") < answer.index(b"GET /2 ")


@pytest.mark.parametrize("lines", [[f"X-{i}: {'x' * 100}" for i in range(200)], ["X: " + "x" * 20_000]])
def test_rejects_huge_heads(front, lines):
    assert get(front, "/", *lines)[0] == 431


@pytest.mark.parametrize("pieces", [1, 2, 50])
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_limit_of_a_head_is_exact(serve, pieces, more, status):
    """It depends neither on the cuts between reads nor on earlier requests of the connection."""
    port = serve("max_head: 1000\n" + MOCK).port
    first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: "
    head += b"y" * (1000 + more - len(head) - 4) + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(first)
        answer = connection.recv(65_536)
        for i in range(pieces):
            connection.sendall(head[i * len(head) // pieces : (i + 1) * len(head) // pieces])
            pace(0.001)
        while chunk := connection.recv(65_536):
            answer += chunk
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"%d" % status]


def test_many_requests_in_one_read(serve):
    """Together they are longer than max_head, and no cut between two reads makes one of them too long."""
    port = serve("max_head: 1000\n" + MOCK).port
    one = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 50
    data = (one + b"\r\n\r\n") * 200
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(data + one)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < 200:
            answer += connection.recv(65_536)
        connection.sendall(b"\r\nConnection: close\r\n\r\n")
        while chunk := connection.recv(65_536):
            answer += chunk
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"] * 201


def test_rejects_a_head_without_end(impatient):
    """It is rejected while it arrives; the bytes that follow are dropped for a while."""
    with socket.create_connection(("127.0.0.1", impatient), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            until(lambda: connection.sendall(b"x" * 4096))


@pytest.mark.parametrize("beginning", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_slow_heads_time_out(impatient, beginning):
    began = time.monotonic()
    answer = raw(impatient, beginning)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_slow_bodies_time_out(impatient, framing):
    answer = raw(impatient, b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"message":"Request Timeout"}')


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize(("path", "size", "status"), [(b"/", 30_000_000, b"413"), (b"/admin", 8_000_000, b"403")])
def test_client_that_sends_everything_before_reading_gets_the_answer(front, path, size, status, close):
    """The answer is not lost although the connection is closed with unread bytes in it."""
    head = b"POST %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (path, close, size)
    with socket.create_connection(("127.0.0.1", front), PATIENCE) as connection:
        connection.sendall(head + b"x" * size)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("framing", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_client_that_sends_a_long_head_before_reading_gets_the_answer(front, framing):
    with socket.create_connection(("127.0.0.1", front), PATIENCE) as connection:
        connection.sendall(b"POST /admin HTTP/1.1\r\nHost: a\r\n" + framing + b"X: " + b"x" * 4_000_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("then", [b"\r\n", b"x"])
def test_bytes_after_a_final_answer_do_not_keep_the_connection_open(impatient, then):
    """The rest of a request that was refused, or blank lines, keep no connection open."""
    length = b"Content-Length: 1000\r\n" if then == b"x" else b""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient), PATIENCE) as connection:
        connection.sendall(b"GET /admin HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 403")
        with pytest.raises(ConnectionError):
            until(lambda: connection.sendall(then))
    assert time.monotonic() - began > 0.9


def test_rubbish_after_a_request_does_not_appear_in_its_answer(serve, backend):
    """The answer that is under way is whole, and that to the rubbish is the last."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            writer.write(b"2\r\nab\r\n")
            await pace_async(0.1)
        writer.write(b"0\r\n\r\n")

    port = serve(proxied(backend(answer).url)).port
    one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for many in (1, 2):
        for rubbish in (b"\0\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, upgrade):
            answers = raw(port, one * many + rubbish)
            whole, _, last = answers.rpartition(b"0\r\n\r\n")
            assert whole.count(b"HTTP/1.1 ") == whole.count(b"HTTP/1.1 200") == many
            assert whole.count(b"2\r\nab\r\n") == 4 * many
            assert last.startswith(b"HTTP/1.1 4")
            assert last.count(b"HTTP/1.1 ") == 1


def test_http_1_0_client_gets_no_interim_answer(front):
    old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    assert raw(front, old).startswith(b"HTTP/1.1 200")


def sending(pause, pieces, piece=b"x"):
    async def body():
        for _ in range(pieces):
            yield piece
            await pace_async(pause)

    return body()


async def read_body(head, reader):
    """Read the whole body of a request, in chunks or of a length."""
    length = re.search(rb"content-length: (\d+)", head.lower())
    if length:
        await reader.readexactly(int(length[1]))
        return
    end = b""
    while not end.endswith(b"0\r\n\r\n"):
        received = await reader.read(65_536)
        if not received:
            raise asyncio.IncompleteReadError(end, None)
        end = (end + received)[-5:]


@pytest.mark.parametrize("to", ["function", "proxy"])
def test_a_body_that_trickles_times_out(backend, to):
    """The whole body must arrive within `body_timeout`, however often a piece arrives."""

    async def answer(head, reader, writer):
        await read_body(head, reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    routes = {"function": Route(function=lambda event: "ok"), "proxy": Route(proxy=Proxy([backend(answer).url]))}
    api = Api(routes={"POST /": routes[to]}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}, body_timeout=1))
    assert ask("POST", "/", content=sending(0.1, 1_000)).status_code == 408
    assert ask("POST", "/", content=sending(0.001, 5)).text == "ok"


def test_a_body_must_come_at_a_minimum_rate(backend, monkeypatch):
    """A client that trickles is refused long before `body_timeout`; one that pauses and goes on is not."""
    monkeypatch.setattr("ratelimit.gateway.http.request.GRACE", 0.5)
    api = Api(routes={"POST /": Route(function=lambda event: "ok")}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}, body_timeout=10 * PATIENCE, min_rate=10_000))
    assert ask("POST", "/", content=sending(0.1, 10_000)).status_code == 408
    assert ask("POST", "/", content=sending(0.2, 5, b"x" * 10_000)).text == "ok"


def test_slow_clients_are_not_held_against_a_backend(backend):
    """Its `timeout` stops while the gateway waits for the client, so it is not marked as failed.

    The bodies are so large that they flow: the gateway asks no backend before a small one is complete.
    """
    large = b"x" * 70_000

    async def answer(head, reader, writer):
        await read_body(head, reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    behind = [backend(answer), backend(answer)]
    route = Route(proxy=Proxy([one.url for one in behind], timeout=1))
    api = Api(routes={"POST /": route}, stages={"$default": Stage()})
    patient, ask = (App(Configuration({"a": api}, body_timeout=seconds)) for seconds in (PATIENCE, 1.5))
    assert patient("POST", "/", content=sending(0.3, 5, large)).text == "ok"
    assert [ask("POST", "/", content=sending(PATIENCE, 2, large)).status_code for _ in range(2)] == [408, 408]
    assert [ask("POST", "/", content=sending(0, 2, large)).status_code for _ in range(4)] == [200] * 4
    assert [len(one.heads) for one in behind] in ([4, 3], [3, 4])


def test_a_backend_that_answers_before_the_end_of_a_body(backend):
    """It also closes the connection. The client gets its answer and may continue to send."""
    refusing = backend(answering(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"))
    api = Api(routes={"POST /": Route(proxy=Proxy([refusing.url]))}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}))
    for _ in range(3):
        answer = ask("POST", "/", content=sending(0.05, 10))
        assert (answer.status_code, answer.text) == (413, "big")


def test_client_that_disconnects_in_mid_body(front):
    """The gateway continues to serve others."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", front), PATIENCE) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    assert get(front, "/alive")[0] == 200


def test_rejects_unknown_hosts(serve):
    server = serve("""
apis: {a: {routes: {GET /x: {mock: {body: $context.stage}}}, stages: {$default: {}, dev: {}}}}
domains: {api.example.com: {/v1: a, /v1/beta: a/dev}, "[::1]": {/: a}}
""")

    def ask(host, path):
        with httpx.Client() as client:
            answer = client.get(server.url + path, headers={"host": host})
        return answer.status_code, answer.text

    assert ask("api.example.com", "/v1/x") == (200, "$default")
    assert ask("API.Example.com:8443", "/v1/beta/x") == (200, "dev")
    assert ask("api.example.com.", "/v1/dev/x") == (200, "dev")
    assert ask("[::1]:80", "/x") == (200, "$default")
    for host, path in (
        ("evil.example", "/v1/x"),
        ("api.example.com", "/x"),
        ("api.example.com", "/v1x/x"),
        ("", "/v1/x"),
    ):
        assert ask(host, path) == (404, '{"message":"Not Found"}')
    assert raw(server.port, b"GET /v1/x HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404 ")


# --- backends


def answering(data, then=None):
    async def answer(head, reader, writer):
        writer.write(data)
        await writer.drain()
        if then == "hang":
            await asyncio.Event().wait()
        elif then == "reset":
            reset(writer)

    return answer


FAILURE = '{"message":"Network error communicating with endpoint"}'
TIMEOUT = '{"message":"Endpoint request timed out"}'


# The bytes that a backend sends, what it does then, and the message that the client gets.
WRONG = [
    (b"", None, FAILURE),
    (b"", "reset", FAILURE),
    (b"", "hang", TIMEOUT),
    (b"rubbish\r\n\r\n", None, FAILURE),
    (b"HTTP/1.1 200", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", "reset", FAILURE),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", "hang", TIMEOUT),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nhi", None, FAILURE),
    (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", None, FAILURE),
    (b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", None, FAILURE),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", None, FAILURE),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", None, FAILURE),
    (b"\x16\x03\x01\x02\x00" + bytes(300), None, FAILURE),
]
HALF = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
]
THEN = [None, "reset", "hang"]


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """Run a gateway before a backend whose behaviour the path selects: `/wrong/number` or `/half/number/then`."""
    from gateway_harness import Backend, Server

    async def answer(head, reader, writer):
        kind, number, *then = head.split(b" ")[1].decode()[1:].split("/")
        data, after = WRONG[int(number)][:2] if kind == "wrong" else (HALF[int(number)], THEN[int(then[0])])
        await answering(data, after)(head, reader, writer)

    behind = Backend(answer)
    server = Server(tmp_path_factory.mktemp("wrong"), proxied(behind.url, timeout=2))
    yield server
    server.stop()
    behind.stop()


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_failures_of_a_backend_have_their_answers(wrong, number):
    answer = httpx.get(f"{wrong.url}/wrong/{number}")
    assert (answer.status_code, answer.text) == (504, WRONG[number][2])


@pytest.mark.parametrize("then", range(len(THEN)))
@pytest.mark.parametrize("number", range(len(HALF)))
def test_backend_that_fails_in_mid_body_truncates_the_answer(wrong, number, then):
    """The connection ends without the end of the body, so that the client detects it."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{wrong.url}/half/{number}/{then}")
    assert "Traceback" not in wrong.log.read_text()


def test_answer_that_cannot_be_sent_releases_its_connection(backend):

    async def refusing(message):
        raise RuntimeError("not this header")

    async def ask():
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", b"a")]}
        await gateway({**scope, "client": ("192.0.2.1", 1)}, whole, refusing)

    async def whole():
        return {"type": "http.request"}

    url = backend(answering(HALF[1], "hang")).url
    route = Route(proxy=Proxy([url]))
    gateway = App(Configuration({"a": Api(routes={"GET /": route}, stages={"$default": Stage()})})).gateway
    with pytest.raises(RuntimeError, match="not this header"):
        asyncio.run(ask())
    assert not gateway.site.used[0].pool.busy


@pytest.mark.parametrize("value", [b"a \t", b" \ta", b"\t", b"", b"a\tb", "ä".encode(), b"\xff\x80"])
def test_unusual_headers_reach_the_backend(serve, backend, value):
    """A client that sends some does not make the backend count as failed."""
    behind = backend(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    port = serve(proxied(behind.url)).port
    assert raw(port, b"GET / HTTP/1.0\r\nX: " + value + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert b"x: " + value.strip() + b"\r\n" in behind.heads[-1]


def test_backend_that_refuses_connections(serve):
    answer = httpx.get(serve(proxied("http://127.0.0.1:1")).url)
    assert (answer.status_code, answer.text) == (504, FAILURE)


def test_nothing_leaks_between_requests(serve, backend):
    """Of hundreds of concurrent clients, some disconnect; each other one gets the answer to its own request."""

    async def echo(head, reader, writer):
        while head:
            await pace_async(random.random() / 100)
            body = head.split(b" ")[1] + b" " + head.partition(b"x-mine: ")[2].partition(b"\r")[0]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return

    server = serve(proxied(backend(echo).url))

    async def run():
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=40)) as client:

            async def some(first):
                found = []
                for i in range(first, first + 10):
                    timeout = 0.005 if i % 5 == 0 else PATIENCE
                    try:
                        answer = await client.get(f"{server.url}/{i}", headers={"x-mine": str(i)}, timeout=timeout)
                        found.append(answer.text == f"/{i} {i}")
                    except httpx.TimeoutException:
                        found.append(None)
                return found

            found = await asyncio.gather(*(some(first) for first in range(0, 300, 10)))
            return list(itertools.chain.from_iterable(found))

    answers = asyncio.run(run())
    assert set(answers) <= {True, None}
    assert answers.count(True) >= 240


@pytest.mark.parametrize("query", ["status=99&value=x", "status=200&value=%0d%0a"])
def test_answer_that_cannot_be_mapped_releases_its_connection(backend, query):
    """Otherwise its clients could exhaust the connections of a backend."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000)
        await reader.read()

    mapping = {"overwrite:statuscode": "$request.querystring.status", "append:header.x": "$request.querystring.value"}
    route = Route(proxy=Proxy([backend(answer).url]), response=mapping)
    ask = App(Configuration({"a": Api(routes={"GET /": route}, stages={"$default": Stage()})}))
    assert ask.get(f"/?{query}").status_code == 400
    assert not any(address.pool.busy for address in ask.gateway.site.used)


@pytest.mark.parametrize("length", [1, 3, 100])
def test_backend_that_sends_two_lengths(serve, backend, length):
    """The chunks are used, and the other length does not reach the client."""

    async def answer(head, reader, writer):
        both = b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % length
        writer.write(b"HTTP/1.1 200 OK\r\n" + both + b"\r\n3\r\nabc\r\n0\r\n\r\n")

    answered = httpx.get(serve(proxied(backend(answer).url)).url)
    assert (answered.text, "content-length" in answered.headers) == ("abc", False)


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + EVIL),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n" + EVIL),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n" + EVIL),
    ],
)
def test_bytes_after_a_backends_answer_are_dropped(serve, backend, method, says):
    """They are not taken for the answer to the next request on the same connection."""

    async def answer(head, reader, writer):
        while True:
            evil = head.startswith(method.encode() + b" /evil ")
            writer.write(says if evil else b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
            head = await reader.readuntil(b"\r\n\r\n")

    server = serve(proxied(backend(answer).url))
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            assert client.request(method, "/evil").status_code in (200, 204)
            assert [client.get("/good").text for _ in range(2)] == ["good", "good"]


FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("size", [4, 2**14, 2**16], ids=["short", "a record of TLS", "what is read at once"])
@pytest.mark.parametrize("tls", [False, True])
def test_unread_bytes_after_a_backends_answer_are_dropped(serve, backend, certificate, tls, size):
    """A second answer may be in the buffer of the socket or of TLS behind the first one."""
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*reversed(certificate))
    body = b"x" * (size - len(FIRST % size))
    sent = threading.Semaphore(0)

    async def answer(head, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)  # takes all at once
        while True:
            says = [FIRST % len(body) + body, EVIL] if head.startswith(b"GET /evil ") else [FIRST % 4 + b"good"]
            for record in says if tls else [b"".join(says)]:
                writer.transport.write(record)
            sent.release()
            head = await reader.readuntil(b"\r\n\r\n")

    server = serve(proxied(backend(answer, context).url, **({"verify": "false"} if tls else {})))
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            for path, text in (("/evil", body), ("/good", b"good"), ("/good", b"good")):
                assert client.get(path).content == text
                sent.acquire(timeout=PATIENCE)  # what comes later is the answer to the next request


def test_upstreams_take_turns_and_failed_ones_rest(serve, backend):
    """Passive health checks: an address that fails is skipped, and tried again later."""
    names = {"one": True, "two": True}

    def named(name):
        async def answer(head, reader, writer):
            if not names[name]:
                reset(writer)
                return
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n" + name.encode())
            await writer.drain()

        return answer

    behind = [backend(named(name)) for name in names]
    server = serve(proxied(f"[{behind[0].url}, {behind[1].url}]", fail_timeout=4))

    def ask(count):
        return sorted(httpx.get(server.url).text for _ in range(count))

    assert ask(4) == ["one", "one", "two", "two"]
    names["one"] = False
    assert ask(6) == ["two"] * 6
    assert len(behind[0].heads) == 3  # one failure, and then it was left alone
    names["one"] = True
    until(lambda: httpx.get(server.url).text == "one")
    assert ask(4) == ["one", "one", "two", "two"]


def test_unreachable_address_leaves_time_for_another(serve, backend):

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):  # who comes after these is left without an answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        urls = f"[{backend(answer).url}, 'http://127.0.0.1:{full.getsockname()[1]}']"
        url = serve(proxied(urls, timeout=1, max_fails=100)).url
        assert [httpx.request(method, url).status_code for method in ("GET", "GET", "POST", "POST")] == [200] * 4


def test_remaining_upstreams_share_evenly():
    addresses = [Address("http", "127.0.0.1", port, True) for port in range(1, 5)]
    balancer = Balancer(addresses, max_fails=1, fail_timeout=60)
    balancer.failed(addresses[2])
    turns = [balancer.order() for _ in range(300)]
    assert [sum(turn[0] is address for turn in turns) for address in addresses] == [100, 100, 0, 100]
    assert {len(turn) for turn in turns} == {3}


def test_a_request_is_not_sent_twice(serve, backend):
    """A POST that may have been received is not sent to another address; one that could not connect is."""
    silent, fine = backend(answering(b"", "reset")), backend(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    server = serve(proxied(f"[{silent.url}, {fine.url}]", fail_timeout=0))
    statuses = sorted(httpx.post(server.url, content=b"x").status_code for _ in range(4))
    assert statuses == [200, 200, 504, 504]
    server = serve(proxied(f"['http://127.0.0.1:1', {fine.url}]", fail_timeout=0))
    assert [httpx.post(server.url, content=b"x").status_code for _ in range(4)] == [200] * 4


def test_slow_readers_do_not_delay_other_clients(front, nginx):
    """A client that reads nothing costs a buffer, not the gateway."""
    connections = []
    for _ in range(10):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", front))
        connection.sendall(b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n")
        connections.append(connection)
    assert get(front, "/x")[0] == 200
    for connection in connections:
        connection.close()
