"""A client that is slow, or wants more than its share, holds up no other."""

import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time

import pytest
from fronts import Client, ask, proxied
from gateway_harness import App, raw
from ports import free_port, until_open
from waiting import PATIENCE, until

from ratelimit._configuration.addresses import Networks
from ratelimit.gateway import Configuration
from ratelimit.gateway.http.body import BODY_MEMORY
from ratelimit.gateway.server.admission import Admission

UPLOAD = "def take(event):\n    return str(len(event['body'] or ''))\n"


def status_of(answer):
    return int(answer[9:12]) if answer else None


def test_a_backends_connection_is_not_lent_to_a_request_that_trickles(serve, recorder):
    """More requests than the backend has connections, each with a byte of its body: another client is served."""
    server = serve("body_timeout: 60\n" + proxied(recorder.url))
    with contextlib.ExitStack() as stack:
        for _ in range(1_010):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        began = time.monotonic()
        assert ask(server.port, "GET / HTTP/1.1", "Host: a")[0] == 200
        assert time.monotonic() - began < 10
        assert len(recorder.seen) == 1


def test_a_client_has_only_its_share_of_a_backends_connections(serve, backend):
    """Requests that flow, and then stop, hold half of the connections at most."""

    async def silent(head, reader, writer):
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            await reader.read()

    server = serve("body_timeout: 60\n" + proxied(backend(silent).url) + "\ntrusted_proxies: 127.0.0.1\n")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 100000\r\n\r\n"
    refused = 0
    with contextlib.ExitStack() as stack:
        for _ in range(510):
            client = stack.enter_context(Client(server.port, 60))
            client.send(head + b"x" * 66_000)
            client.socket.setblocking(False)
        clients = list(stack._exit_callbacks)
        assert len(clients) == 510
        other = ["GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 192.0.2.2"]
        assert ask(server.port, *other, seconds=60)[2] == b"ok"
        own = raw(server.port, head + b"x" * 66_000)
        refused += status_of(own) == 503
    assert refused == 1


@pytest.fixture
def slow_reader():
    """Opens connections that receive into a small buffer."""
    opened = []

    def open_one(port, request):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(60)
        reader.connect(("127.0.0.1", port))
        reader.sendall(request)
        opened.append(reader)
        return reader

    yield open_one
    for one in opened:
        one.close()


async def large(head, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(200):
        writer.write(b"x" * 100_000)
        await writer.drain()


def test_a_reader_below_the_minimum_rate_is_disconnected(serve, backend, slow_reader):
    """A few hundred bytes a second keep no connection of the backend."""
    behind = backend(large)
    server = serve("send_timeout: 1\n" + proxied(behind.url))
    reader = slow_reader(server.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    ended = threading.Event()

    def trickle():
        with contextlib.suppress(OSError):
            while reader.recv(20):
                ended.wait(0.1)
        ended.set()

    threading.Thread(target=trickle, daemon=True).start()
    # The reader can still read what has arrived, so the end of the gateway is looked at.
    until(lambda: not established(server.port))
    ended.set()


def test_a_reader_above_the_minimum_rate_gets_all(serve, backend, slow_reader):
    server = serve("send_timeout: 1\n" + proxied(backend(large).url))
    reader = slow_reader(server.port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    began, count = time.monotonic(), 0
    while chunk := reader.recv(65_536):
        count += len(chunk)
        while count > (time.monotonic() - began) * 8_000_000:
            threading.Event().wait(0.005)
    assert count > 20_000_000


def established(port):
    """The connections to a port that are not closing, by the kernel's table."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]


def test_bodies_are_bounded_in_all(serve, tmp_path):
    """Forty uploads of 10 MB to a function at once: some are answered 503, and memory stays bounded."""
    (tmp_path / "take.py").write_text(UPLOAD)
    server = serve('apis: {a: {routes: {POST /: {function: "take:take"}}, stages: {$default: {}}}}')
    before = server.memory()
    size, statuses = 10_000_000, []
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    largest = [before]

    def upload():
        with Client(server.port, 120) as client:
            client.send(head)
            for _ in range(100):
                client.send(b"x" * (size // 100))
            answer = client.answer()
            statuses.append(answer and answer[0])

    uploads = [threading.Thread(target=upload) for _ in range(40)]
    for one in uploads:
        one.start()
    while any(one.is_alive() for one in uploads):
        largest.append(server.memory())
        threading.Event().wait(0.02)
    assert len(statuses) == 40
    assert set(statuses) <= {200, 503, None}
    assert 200 in statuses or 503 in statuses
    assert max(largest) - before < 300_000_000
    assert ask(server.port, "POST / HTTP/1.1", "Host: a", "Content-Length: 2", body=b"hi")[2] == b"2"


@pytest.mark.parametrize("integration", [{"proxy": "http://127.0.0.1:1"}, {"function": lambda event: "ok"}])
def test_bodies_in_memory_are_bounded_for_every_integration(integration):
    """The beginning of a body counts for a backend, too: thousands of clients could leave theirs unfinished."""
    api = {"routes": {"POST /": integration}, "stages": {"$default": {}}}
    app = App(Configuration(apis={"a": api}, max_bodies=1_000))
    for size, refused in ((1_000, False), (1_001, True), (1_000, False)):
        assert (app("POST", "/", content=b"x" * size).status_code == 503) == refused
    assert BODY_MEMORY.used == 0


# --- connections


def test_websockets_count_as_connections(serve):
    """With `--limit-concurrency`, further WebSockets are refused as HTTP requests are."""
    server = serve(
        "apis: {a: {type: websocket, routes: {say: {mock: {}}}, stages: {prod: {}}}}", "--limit-concurrency", "20"
    )
    handshake = (
        b"GET /prod HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    statuses = []
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            client.sendall(handshake)
            statuses.append(status_of(client.recv(65_536)))
    assert statuses.count(101) < 20
    assert statuses.count(503) == 40 - statuses.count(101)


@contextlib.contextmanager
def few_files(tmp_path, text):
    """Run a gateway that may open 256 files, so that it serves 96 connections, 48 of each client."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n" + (
        "sys.argv = ['ratelimit', 'gateway', *sys.argv[1:]]; from ratelimit.__main__ import main; sys.exit(main())"
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", limited, str(file), "--port", str(port)], stdout=out, stderr=out
        )
    try:
        until_open(port)
        yield port, log
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_connections_are_bounded_by_the_open_files(tmp_path):
    """Silent clients beyond what the process can open receive 503, and the log has one line about them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 2_000), hard))
    text = "head_timeout: 60\napis: {a: {routes: {GET /: {mock: {body: ok}}}, stages: {$default: {}}}}"
    with few_files(tmp_path, text) as (port, log):
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(300)]
            told = [one for one in silent[150:] if status_of(one.recv(65_536)) == 503]
            assert len(told) == 150
        until(lambda: ask(port, "GET / HTTP/1.1", "Host: a", seconds=60)[0] == 200)
        lines = log.read_text().splitlines()
        assert len([line for line in lines if "connections refused" in line]) == 1
        assert "Traceback" not in log.read_text()


def test_websockets_behind_a_proxy_count_for_their_client(tmp_path):
    """One client behind a trusted proxy has its share; the proxy's other clients, and its HTTP requests, go on."""
    text = """
trusted_proxies: 127.0.0.1
domains: {"*": {/ws: chat, /: shop/prod}}
apis:
  chat: {type: websocket, routes: {say: {mock: {}}}, stages: {prod: {}}}
  shop: {type: rest, resources: {/: {GET: {mock: {}}}}, stages: {prod: {}}}
"""
    handshake = (
        "GET /ws/prod HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: %s\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with few_files(tmp_path, text) as (port, _), contextlib.ExitStack() as stack:

        def connected(client):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            one.sendall((handshake % client).encode())
            return status_of(one.recv(65_536))

        addresses = [f"2001:db8:1:1::{number:x}" for number in range(60)]  # of one network of 64 bits
        assert [connected(address) for address in addresses].count(101) == 48
        assert connected("6.6.6.6, [2001:db8:1:1::9]:4711") == 503
        assert connected("203.0.113.5") == connected("2001:db8:1:2::1") == 101
        assert ask(port, "GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 2001:db8:1:1::1", seconds=60)[0] == 200


def test_a_client_has_only_its_share_of_the_connections():
    now = [0.0]
    admission = Admission(10, 5, clock=lambda: now[0])
    a, b, c = "192.0.2.1", "2001:db8::1", "192.0.2.3"
    assert [admission.enter(a) for _ in range(5)] == [None] * 5
    assert "one client" in admission.enter(a)
    assert [admission.enter(b) for _ in range(4)] == [None] * 4
    assert "10 connections" in admission.enter(c)
    for client in (a, a, c):
        admission.leave(client)
    assert admission.enter(c) is None


def test_a_connection_of_a_proxy_becomes_that_of_its_client():
    """A connection that is refused stays the proxy's, and nothing is counted when all have left."""
    admission, proxy = Admission(20, 2, Networks(["10.0.0.1"])), "10.0.0.1"
    assert [admission.enter(proxy) for _ in range(8)] == [None] * 8
    moves = [(client, admission.move(proxy, client)) for client in ("1.1.1.1", "1.1.1.1", "1.1.1.1", "2.2.2.2", "", "")]
    assert [reason is None for _, reason in moves] == [True, True, False, True, True, True]
    assert admission.move(proxy, "") is not None
    for client in [proxy] * 3 + [client for client, reason in moves if reason is None]:
        admission.leave(client)
    assert (admission._total, dict(admission._by_client)) == (0, {})


def test_refused_connections_are_logged_once_a_minute(caplog):
    now = [0.0]
    admission = Admission(0, 0, clock=lambda: now[0])
    for second in range(121):
        now[0] = float(second)
        admission.enter("a")
    assert [record.getMessage().split()[0] for record in caplog.records] == ["1", "60", "60"]
