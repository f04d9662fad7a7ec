"""A backend sees the requests that RFC 9112 reads in the bytes, alone and behind proxies, and every answer is to its own.

`DIFFERENTIAL_CASES` sets how many connections are tried for each front, `DIFFERENTIAL_SEED` which ones.
"""

import os
import random
import re
import socket

import h11
import pytest
from fronts import Recorder, Tap, proxied
from gateway_harness import Server
from rfc_reader import read_all

CASES = int(os.environ.get("DIFFERENTIAL_CASES", "900"))
SEED = os.environ.get("DIFFERENTIAL_SEED", "1")
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\nX-Id: hidden\r\n\r\n"
END = b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Id: %bend\r\n\r\n"
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"PURGE", b"get", b"CONNECT"]
TARGETS = [
    b"/", b"/a/b?c=d", b"/a%20b", b"http://a/x", b"http://a", b"HTTPS://b:8/x?y", b"http://u@a/", b"*", b"/a#b", b"//a",
    b"/a/../b", b"a", b"http:///a", b"/\xc3\xa4", b"/?", b"/a?b?c",
]  # fmt: skip
HOSTS = [b"a", b"a:80", b"[::1]", b"", b"a b", b"a, b", b"a/b", b"u@a", b" a ", b"a\t"]
LENGTHS = [b"%d", b" %d ", b"+%d", b"%d, %d", b"0%d", b"0x%x", b"%d\t", b"", b"-%d", b"%d;", b"1_%d"]
CODINGS = [
    b"chunked",
    b"Chunked",
    b"chunked ",
    b"gzip, chunked",
    b"chunked, identity",
    b"xchunked",
    b"chunked;q=1",
    b"",
]
UPGRADES = [
    b"Connection: Upgrade\r\nUpgrade: foo\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
    b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket \r\nSec-WebSocket-Version: 13\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n",
    b"Connection: close, upgrade\r\nUpgrade: h2c, websocket\r\n",
]
ODD = [
    b"X : y\r\n", b" X: y\r\n", b"X\r\n", b":\r\n", b"X:y\0z\r\n", b"X: \x80\xff\r\n", b"X: y\n", b"X: y\rz\r\n", b"X:\r\n",
    b"Expect: 100-continue\r\n", b"TE: chunked\r\n", b"Trailer: X\r\n", b"Keep-Alive: 1\r\n", b"Content_Length: 9\r\n",
    b"Transfer-Encoding : chunked\r\n", b"Connection: close\r\n", b"Connection: Content-Length\r\n", b"Host: b\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"\x0bX: y\r\n",
    b"X" * 70_000 + b": y\r\n", b"Y: y\r\n" * 130, b"Proxy-Connection: keep-alive\r\n",
]  # fmt: skip


def choose(chance, common, others, often=0.85):
    return common if chance.random() < often else chance.choice(others)


def request(chance, id):
    """One request, mostly as it should be."""
    method = choose(chance, chance.choice([b"GET", b"POST"]), METHODS)
    target = choose(chance, b"/r/%d" % chance.randrange(100), TARGETS)
    version = choose(chance, b"1.1", [b"1.0", b"1.1", b"2.0", b"0.9", b"1.2", b"11", b"1.1 "], 0.95)
    lines = [b"X-Id: %b\r\n" % id]
    if chance.random() < 0.98:
        lines.append(b"Host: %b\r\n" % choose(chance, b"a", HOSTS, 0.9))
    if chance.random() < 0.4:
        lines.append(chance.choice(UPGRADES))
    body = chance.choice([b"", b"x", HIDDEN, HIDDEN * 3, b"y" * 1_000, HIDDEN + b"z" * chance.randrange(70_000)])
    if chance.random() < 0.35:
        step = chance.choice([1_000, 7_000, 100_000])
        pieces = [body[i : i + step] for i in range(0, len(body), step)]
        extension = choose(chance, b"", [b";a=b", b" ", b";", b';a="b"', b"\t"], 0.9)
        framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
        trailers = choose(
            chance,
            b"",
            [
                b"X-Trailer: y\r\n",
                b"Content-Length: 9\r\n",
                b"bad\r\n",
                b"X-Id: other\r\n",
                b"Connection: close\r\n",
                b"Connection: upgrade\r\nUpgrade: foo\r\n",
            ],
            0.9,
        )
        lines.append(b"Transfer-Encoding: %b\r\n" % choose(chance, b"chunked", CODINGS, 0.9))
        body = framed + b"0\r\n" + trailers + b"\r\n"
    elif body or chance.random() < 0.2:
        said = len(body) + choose(chance, 0, [-1, 1, 40, -40], 0.95)
        length = choose(chance, b"%d", LENGTHS, 0.9)
        said = max(0, said)
        lines.append(b"Content-Length: %b\r\n" % (length % ((said,) * length.count(b"%"))))
    if chance.random() < 0.15:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(ODD))
    if chance.random() < 0.1:
        lines.append(chance.choice(lines))
    chance.shuffle(lines)
    return b"%b %b HTTP/%b\r\n" % (method, target, version) + b"".join(lines) + b"\r\n" + body


def connection(chance, own):
    """The bytes of a connection, and the segments in which they are sent."""
    data = b"".join(request(chance, own + b"%d" % i) for i in range(chance.choice([1, 1, 1, 2, 3])))
    if chance.random() < 0.1:
        at = before_an_id(data, chance.randrange(min(len(data), 300)))
        data = (
            data[:at]
            + chance.choice([b"", b"\r\n", b"\n", b"\0", b" ", bytes([chance.randrange(256)])])
            + data[at + chance.randrange(2) :]
        )
    data += chance.choice([b"", b"", b"\r\n"]) + END % own
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice([0, 0, 1, 5])))
    return data, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def before_an_id(data, at):
    """A place, or the beginning of the line around it if that has an id: an answer is known by it."""
    lines = (found.span() for found in re.finditer(rb"X-Id: [^\r\n]*", data))
    return next((begin for begin, end in lines if begin <= at <= end), at)


def exchange(port, segments, incomplete):
    """All bytes that come back until the connection ends."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for segment in segments:
                client.sendall(segment)
            if incomplete:
                client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65_536):
                found += chunk
        except ConnectionError:
            pass  # refused while it was still sending
    return found


def answers_in(data, methods):
    """The statuses and ids of the final answers, read by h11."""
    found = []
    while data:
        parser = h11.Connection(h11.CLIENT)
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        parser.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(data)
        status, body = None, b""
        while (event := parser.next_event()) is not h11.PAUSED and not isinstance(event, h11.EndOfMessage):
            if event is h11.NEED_DATA and status >= 400 and len(found) >= len(methods):
                break  # what was refused may have been a HEAD
            assert event is not h11.NEED_DATA, f"half an answer: {data[:300]!r}"
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        id = body.partition(b'"id": "')[2].partition(b'"')[0] if status == 200 else b""
        found.append((status, id))
        data = parser.trailing_data[0]
    return found


@pytest.fixture(scope="module")
def recorder():
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture(scope="module")
def gateway(recorder, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("differential"), proxied(recorder.url))
    yield server
    assert "Traceback" not in server.log.read_text()
    server.stop()


def second_opinion(data, readings):
    """h11 reads the same requests, as far as it reads any."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=10**6)
    parser.receive_data(data)
    read, request, body = 0, None, b""
    try:
        while read < len(readings):
            event = parser.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert (request.method, body) == (readings[read].method, readings[read].body)
                read += 1
                parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                parser.send(h11.EndOfMessage())
                if parser.our_state is h11.MUST_CLOSE:
                    return
                parser.start_next_cycle()
            else:
                return
    except h11.RemoteProtocolError:
        return  # it is stricter about blank lines, or more lenient where the reading is refused


def test_a_backend_sees_what_the_bytes_say(gateway, recorder):
    chance = random.Random(SEED)
    served = refused = 0
    for number in range(CASES):
        data, segments = connection(chance, b"")
        readings, ends = read_all(data)
        second_opinion(data, readings)
        recorder.seen.clear()
        came = exchange(gateway.port, segments, ends == "incomplete")
        where = f"case {number} of seed {SEED}: {data[:2_000]!r}\nanswers {came[:1_000]!r}\nsaw {recorder.seen}"
        answers = answers_in(came, [one.method for one in readings])
        expected = [one for one in readings if one.passes()]
        if ends == "incomplete":  # a client that stops sending may get no answer
            assert is_part_of(seen_by(recorder), expected), where
        else:
            assert seen_by(recorder) == [one.content() for one in expected], where
            # A request that is refused behind one without an answer ends the connection unanswered.
            assert len(readings) <= len(answers) <= len(readings) + (ends == "refused"), where
        assert is_in_order([id for status, id in answers if id], [one.id for one in expected]), where
        if len(answers) > len(readings):
            assert answers[-1][0] >= 400, where
        served += len(recorder.seen)
        refused += ends == "refused"
    assert served > CASES // 3
    assert refused > CASES // 20


@pytest.mark.parametrize("front", ["nginx", "haproxy"])
def test_a_backend_sees_what_the_bytes_of_a_proxy_say(gateway, recorder, proxy_before, front):
    """Clients share the proxy's connections, whose bytes are read at the end of all. Each gets its own answers."""
    tap = Tap(gateway.port)
    port = proxy_before(front, tap.port)
    chance = random.Random(SEED)
    recorder.seen.clear()
    for number in range(CASES // 3):
        own = b"%d-" % number
        data, segments = connection(chance, own)
        before = len(recorder.seen)
        came = exchange(port, segments, read_all(data)[1] == "incomplete")
        where = f"case {number} of seed {SEED}: {data[:2_000]!r}\nanswers {came[:1_000]!r}"
        ids = re.findall(rb'"id": "([^" ]*)', came)  # HAProxy joins it with a line behind it that begins with a blank
        assert all(id.startswith(own) for id in ids), where
        assert is_in_order(ids, re.findall(rb"(?i)x-id: ([^\r\n]*)", data)), where
        assert not any("hidden" in one for one in recorder.ids()[before:]), where
    tap.stop()
    seen = seen_by(recorder)
    for sent in tap.connections:
        readings, ends = read_all(bytes(sent))
        expected = [one.content() for one in readings if one.passes()]
        for one in expected[:-1] if ends != "open" else expected:
            assert one in seen, (one, ends, bytes(sent[-3_000:]))
            seen.remove(one)
        if ends != "open" and expected and expected[-1] in seen:  # the proxy may have left before it was passed on
            seen.remove(expected[-1])
    assert seen == []
    assert len(recorder.seen) > CASES // 10


def seen_by(recorder):
    return [
        (one["method"].encode(), one["target"].encode("latin-1"), one["body"].encode("latin-1"))
        for one in recorder.seen
    ]


def is_part_of(seen, expected):
    left = [one.content() for one in expected]
    return all(one in left and (left.remove(one) is None) for one in seen)


def is_in_order(ids, all_ids):
    """Whether the ids are a subsequence."""
    rest = iter(all_ids)
    return all(id in rest for id in ids)
