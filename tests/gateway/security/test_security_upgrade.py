"""An Upgrade that the gateway does not accept is ignored: the request's body stays its body (RFC 9110, 7.8)."""

import itertools

import pytest
from fronts import Client, Recorder, proxied
from gateway_harness import Server

HIDDEN = b"GET /admin HTTP/1.1\r\nHost: a\r\nX-Id: hidden\r\n\r\n"
FRONTS = ["alone", "nginx", "haproxy"]
UPGRADES = {
    "unknown": b"POST /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
    "h2c as Java sends it": b"POST /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n",
    "websocket by POST": b"POST /b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "websocket with a trailing blank": b"POST /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket \r\n",
    "several protocols": b"POST /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    "several lines": b"PUT /b HTTP/1.1\r\nHost: a\r\nConnection: x-hop\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\nUpgrade: foo\r\n",
    "by GET": b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
}
SIZES = [0, 48, 200_000]


def body_of(size):
    return (HIDDEN + b"x" * size)[:size]


def message(head, size, framing):
    """A request's segments: the head, and the body with its framing."""
    body = body_of(size)
    if framing == "length":
        return [head + b"X-Id: own\r\nContent-Length: %d\r\n\r\n" % size, body]
    chunks = [body[i : i + 30_000] for i in range(0, size, 30_000)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return [head + b"X-Id: own\r\nTransfer-Encoding: chunked\r\n\r\n", framed]


@pytest.fixture(scope="module")
def recorder():
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture(scope="module")
def gateway(recorder, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("upgrade"), proxied(recorder.url))
    yield server
    server.stop()


@pytest.fixture(params=FRONTS)
def port(request, gateway, proxy_before):
    return gateway.port if request.param == "alone" else proxy_before(request.param, gateway.port)


def cut(head, body, pieces):
    """The request in one segment, cut behind its head, or in many pieces."""
    if pieces == "one segment":
        return [head + body]
    if pieces == "two segments":
        return [head, body]
    whole, step = head + body, max(1, (len(head) + len(body)) // 7)
    return [whole[i : i + step] for i in range(0, len(whole), step)]


@pytest.mark.parametrize("pieces", ["one segment", "two segments", "many segments"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_ignores_an_upgrade_that_it_does_not_accept(port, recorder, upgrade, framing, pieces):
    """The backend sees one request with its whole body; a request behind it on the connection is the next."""
    for size in SIZES:
        recorder.seen.clear()
        with Client(port) as client:
            client.send(*cut(*message(UPGRADES[upgrade], size, framing), pieces))
            status, headers, answer = client.answer()
            if status == 400 and (headers.get("server", "").startswith("nginx") or b"<h1>400" in answer):
                assert recorder.seen == []  # the proxy itself refuses two Upgrade lines, or a WebSocket with a body
                continue
            assert (status, b'"id": "own"' in answer) == (200, True), (size, status, answer)
            client.send(b"GET /next HTTP/1.1\r\nHost: a\r\nX-Id: next\r\n\r\n")
            status, _, answer = client.answer()
            assert (status, b'"id": "next"' in answer) == (200, True), (size, status, answer)
        assert [one["target"] for one in recorder.seen] == ["/b", "/next"], size
        assert recorder.seen[0]["body"] == body_of(size).decode(), size


def test_answers_pipelined_requests_with_ignored_upgrades_in_order(gateway, recorder):
    recorder.seen.clear()
    requests = [b"".join(message(head, 48, "length")) for head in UPGRADES.values()]
    with Client(gateway.port) as client:
        client.send(b"".join(requests))
        for _ in requests:
            status, _, answer = client.answer()
            assert (status, b'"id": "own"' in answer) == (200, True)
    assert {one["target"] for one in recorder.seen} == {"/b"}
    assert len(recorder.seen) == len(requests)


@pytest.mark.parametrize("front", ["nginx", "haproxy"])
def test_no_request_reaches_around_a_proxy(gateway, recorder, proxy_before, front):
    """Clients of one proxy share connections to the gateway: none runs a request that another hid in a body."""
    port = proxy_before(front, gateway.port)
    recorder.seen.clear()
    for head, size in itertools.product(UPGRADES.values(), (len(HIDDEN), 1_000)):
        with Client(port) as attacker, Client(port) as victim:
            attacker.send(*message(head, size, "length"))
            assert attacker.answer()[0] in (200, 400)
            victim.send(b"GET /mine HTTP/1.1\r\nHost: a\r\nX-Id: victim\r\n\r\n")
            status, _, answer = victim.answer()
            assert (status, b'"id": "victim"' in answer) == (200, True), answer
    assert {one["target"] for one in recorder.seen} <= {"/b", "/mine"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("upgrade", ["foo", "websocket"])
def test_an_old_version_upgrades_nothing(gateway, recorder, version, upgrade):
    """RFC 9110, 7.8: a server ignores an Upgrade of HTTP/1.0; by POST no version opens a WebSocket."""
    recorder.seen.clear()
    head = b"POST /b HTTP/%b\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: %b\r\nX-Id: own\r\n" % (
        version.encode(),
        upgrade.encode(),
    )
    with Client(gateway.port) as client:
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN)
        assert client.answer()[0] == 200
        assert client.answer() is None
    assert [one["body"] for one in recorder.seen] == [HIDDEN.decode()]


def test_a_websocket_handshake_is_answered_once_whatever_is_behind_it(gateway, recorder):
    """A handshake with a body is refused, and the connection ends: nothing behind it is a request."""
    recorder.seen.clear()
    for more in (b"Content-Length: %d\r\n" % len(HIDDEN), b"Transfer-Encoding: chunked\r\n"):
        with Client(gateway.port) as client:
            client.send(
                b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                + more
                + b"\r\n"
                + HIDDEN
            )
            assert client.answer()[0] == 400
            assert client.answer() is None
    assert recorder.seen == []
