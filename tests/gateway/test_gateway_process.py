"""The gateway as a process: its options, its signals, clients that take nothing, and its end.

In one file: the tests have the started process in common.
"""

import asyncio
import base64
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack

import httpx
import pytest
from gateway_harness import raw
from ports import free_port
from waiting import PATIENCE, pace, until, until_async, until_still

from ratelimit import Table
from ratelimit.gateway.clients import Clients
from ratelimit.gateway.server import worker
from ratelimit.gateway.server.peers import Peers

MOCK = "apis: {a: {routes: {GET /: {mock: {body: hello}}}, stages: {$default: {}}}}\n"


def refused(tmp_path, *options):
    """Return the error of a gateway that does not start."""
    file = tmp_path / "gateway.yaml"
    file.write_text(MOCK)
    command = [sys.executable, "-m", "ratelimit", "gateway", str(file), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode > 0
    assert "Traceback" not in done.stderr
    return done.stderr


# --- options


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_rejects_invalid_ports(tmp_path, port):
    assert port in refused(tmp_path, f"--port={port}")


def test_rejects_missing_and_malformed_tls_files(tmp_path, certificate):
    key, right = certificate
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    assert "none.pem" in refused(tmp_path, "--ssl-certfile", right, "--ssl-keyfile", tmp_path / "none.pem")
    assert "wrong.pem" in refused(tmp_path, "--ssl-certfile", wrong, "--ssl-keyfile", key)
    assert "wrong.pem" in refused(tmp_path, "--ssl-certfile", right, "--ssl-keyfile", key, "--ssl-ca-certs", wrong)
    assert "--ssl-certfile" in refused(tmp_path, "--ssl-keyfile", key)
    assert "--ssl-certfile" in refused(tmp_path, "--ssl-ca-certs", right)


def test_requires_client_certificates_of_the_given_authorities(serve, certificate):
    key, own = certificate
    server = serve(MOCK, "--ssl-keyfile", key, "--ssl-certfile", own, "--ssl-ca-certs", own)
    context = ssl.create_default_context(cafile=own)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.1:{server.port}", verify=context)
    context.load_cert_chain(own, key)
    assert httpx.get(f"https://127.0.0.1:{server.port}", verify=context).text == "hello"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_leaves_only_the_tables_behind(serve, tmp_path, monkeypatch, workers):
    with tempfile.TemporaryDirectory() as folder:  # a short name, as sockets need
        monkeypatch.setenv("TMPDIR", folder)
        shared = set(os.listdir("/dev/shm"))
        server = serve(MOCK, "--workers", workers)
        server.stop()
        assert os.listdir(folder) == []
    assert not {name for name in set(os.listdir("/dev/shm")) - shared if str(server.process.pid) in name}


def test_workers_that_cannot_start_do_not_serve(serve, tmp_path, monkeypatch):
    """For example in a folder whose name is too long for a socket."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with pytest.raises(RuntimeError, match=r"no socket for the other workers at .*AF_UNIX path too long"):
        serve(MOCK, "--workers", "2")


def test_killed_worker_is_asked_once(tmp_path, caplog):
    gone = tmp_path / "abcd1234.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(gone))
    clients = Clients()
    clients.ask_worker = Peers(clients, str(tmp_path)).ask
    assert asyncio.run(clients.command("GET", "abcd1234-x", b"")) == (410, {"message": "Gone"})
    assert not gone.exists()
    assert not caplog.records


# --- reload


@pytest.mark.parametrize("text", ["def f(event)\n", "raise RuntimeError('boom')\n"])
def test_module_that_cannot_be_loaded_does_not_end_reloading(serve, tmp_path, text):
    (tmp_path / "broken.py").write_text(text)
    (tmp_path / "whole.py").write_text("def f(event): return 'whole'\n")
    server = serve(MOCK)
    for module, told in (("broken", "not reloaded"), ("whole", "reloaded /")):
        server.file.write_text(MOCK.replace("mock: {body: hello}", f"function: '{module}:f'"))
        server.wait_for(told)
    assert "function 'broken:f' cannot be loaded" in server.log.read_text()
    assert httpx.get(server.url).text == "whole"


def test_file_that_is_not_reloaded_changes_no_bound(serve):
    server = serve(MOCK)
    server.file.write_text("max_head: 1024\n" + MOCK.replace("mock: {body: hello}", "function: 'none:f'"))
    server.wait_for("not reloaded")
    assert httpx.get(server.url, headers={"x-long": "x" * 2000}).text == "hello"


def test_file_that_is_being_written_is_not_read(monkeypatch):
    """It is read when two checks find it unchanged: half of a file may be valid."""
    states = [(1, 10), (2, 20), (3, 30), (3, 30), (3, 30)]
    looks, read_at = [], []

    def state(file):
        looks.append(states[min(len(looks), len(states) - 1)])
        return looks[-1]

    class Read:
        configuration, warnings, located = None, (), staticmethod(contextlib.nullcontext)

    class Served:
        async def load(self, configuration):
            read_at.append(len(looks))

    monkeypatch.setattr(worker, "_state", state)
    monkeypatch.setattr(worker, "_read", lambda file, tables, options: Read())
    monkeypatch.setattr(worker, "_bound", lambda configuration: None)

    async def follow():
        task = asyncio.create_task(worker._follow(Served(), "file", "memory", True, states[0]))
        await until_async(lambda: len(looks) >= 6)
        task.cancel()

    asyncio.run(follow())
    assert read_at == [4]


def test_reload_promotes_in_all_workers_and_their_replacements(serve):
    text = """
apis:
  a:
    deployments: {{v1: {{GET /: {{mock: {{body: v1}}}}}}, v2: {{GET /: {{mock: {{body: v2}}}}}}}}
    stages: {{$default: {{deployment: {}}}}}
"""
    server = serve(text.format("v1"), "--workers", "2")

    def served():
        return {httpx.get(server.url).text for _ in range(30)}

    def deploy(deployment, reloads):
        server.file.write_text(text.format(deployment))
        server.wait_for("reloaded", reloads)

    def replace_one():
        count = server.log.read_text().count("startup complete")
        os.kill(int(min(workers_of(server))), signal.SIGKILL)
        until(lambda: server.log.read_text().count("startup complete") > count)

    deploy("v2", reloads=2)
    assert served() == {"v2"}
    replace_one()
    assert served() == {"v2"}
    deploy("v1", reloads=4)
    assert served() == {"v1"}
    replace_one()
    assert served() == {"v1"}


def workers_of(server):
    """Return the process IDs of the workers."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as file:
        return {pid for pid in file.read().split() if b"spawn_main" in _command(pid)}


def test_killed_workers_delay_nothing(serve):
    """They are replaced at once, even while they start, and the gateway still stops when asked."""
    server = serve(MOCK, "--workers", "2")
    for i in range(8):
        before = workers_of(server)
        os.kill(int(max(before, key=int)), signal.SIGKILL)
        until(lambda before=before: workers_of(server) - before)
        pace(0.5 + i / 40)  # another moment of the half second after which the supervisor looks again
    os.kill(int(max(workers_of(server), key=int)), signal.SIGKILL)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0


def test_worker_survives_a_reload_signal_while_it_starts(serve):
    """The signal does not kill it, and it reads a file that was written while it started."""
    server = serve(MOCK, "--workers", "2", "--no-watch")
    before = workers_of(server)
    assert len(before) == 2
    os.kill(int(min(before)), signal.SIGKILL)
    until(lambda: workers_of(server) - before)
    (new,) = workers_of(server) - before
    server.file.write_text(MOCK.replace("hello", "again"))

    def started():  # under signals all the while
        os.kill(int(new), signal.SIGHUP)
        return server.log.read_text().count("startup complete") == 3

    until(started)
    os.kill(server.process.pid, signal.SIGHUP)
    until(lambda: {httpx.get(server.url).text for _ in range(10)} == {"again"})  # each worker when it has reloaded
    assert server.log.read_text().count("died") == 1


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


# --- clients


async def endless(head, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()


async def short(head, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")


PROXY = "apis: {{a: {{routes: {{$default: {{proxy: '{url}'}}}}, stages: {{$default: {{}}}}}}}}\n"


def test_http_1_0_client_gets_no_chunks(serve, backend):
    """A body of unknown length ends with the connection."""
    server = serve(PROXY.format(url=backend(short).url))
    head, _, body = raw(server.port, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"hello world"
    assert raw(server.port, b"HEAD / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")
    server.file.write_text(MOCK)
    server.wait_for("reloaded")
    head, _, body = raw(server.port, b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"content-length: 5" in head
    assert body == b"hello"


def reader_of_nothing(port):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", port))
    return connection


def test_client_that_reads_nothing_is_disconnected(serve, backend):
    """This holds in the middle of an endless answer; a client that reads a little now and then stays connected."""
    server = serve(PROXY.format(url=backend(endless).url) + "send_timeout: 1\n")
    before = server.sockets()
    with reader_of_nothing(server.port) as stuck, reader_of_nothing(server.port) as slow:
        for connection in (stuck, slow):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: server.sockets() >= before + 4)  # each client's, and its backend's
        took = 0
        while took < 1_000_000 or server.sockets() > before + 2:
            took += len(slow.recv(10_000))
            pace(0.002)
        assert server.sockets() == before + 2
    until(lambda: server.sockets() == before)


def test_client_that_reads_nothing_costs_little_memory(serve, backend):
    """Little is buffered of an endless answer that arrives faster than it is sent."""
    sent = []

    async def counted(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            sent.append(writer)

    server = serve(PROXY.format(url=backend(counted).url))
    httpx.get(server.url + "//")  # what is loaded only now
    before = server.memory()
    with ExitStack() as stack:
        for _ in range(20):
            reader = stack.enter_context(reader_of_nothing(server.port))
            reader.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until_still(lambda: len(sent))
        assert len(set(sent)) == 20
        assert server.memory() - before < 20 * 10**6


def test_client_that_disconnects_ends_the_request_to_the_backend(serve, backend, tmp_path):
    """The backend does not continue without a client, and the log has the reason."""
    log = f"access_log: {{file: {tmp_path}/access.log, format: $context.status $context.error.message}}\n"
    server = serve(PROXY.format(url=backend(endless).url) + log)
    before = server.sockets()
    with httpx.stream("GET", server.url, timeout=PATIENCE) as answer:
        chunks = answer.iter_raw()  # which closes the connection when it is forgotten
        next(chunks)
        assert server.sockets() == before + 2
    until(lambda: server.sockets() == before)
    assert server.lines(tmp_path / "access.log", 1) == ["200 the client went away"]


def test_websocket_client_that_reads_nothing_is_disconnected(serve):
    """The idle timeout and the maximum duration also end a connection whose client does not read the close."""
    server = serve(
        """
send_timeout: 1
apis:
  chat:
    type: websocket
    routes: {$default: {mock: {body: "%s"}}}
    stages: {prod: {}}
    limits: {idle: 1, life: 2}
"""
        % ("x" * 30_000)
    )
    before = server.sockets()
    with reader_of_nothing(server.port) as stuck:
        key = base64.b64encode(bytes(16))
        stuck.sendall(
            b"GET /prod HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert stuck.recv(4).startswith(b"HTTP")
        assert server.sockets() == before + 1
        stuck.sendall(b"\x81\x82\0\0\0\0{}" * 1_000)
        until(lambda: server.sockets() == before)
    assert "Traceback" not in server.log.read_text()


# --- the end


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_endless_answer_does_not_delay_the_shutdown(serve, backend, how, workers):
    """It is cut after the grace period."""
    server = serve(PROXY.format(url=backend(endless).url), "--grace", "1", "--workers", workers)

    reading = threading.Event()

    def read():
        with pytest.raises(httpx.TransportError), httpx.stream("GET", server.url, timeout=PATIENCE) as answer:
            for _ in answer.iter_raw():
                reading.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(PATIENCE)
    server.process.send_signal(how)
    server.process.wait(PATIENCE)
    reader.join(PATIENCE)
    assert not reader.is_alive()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_function_that_hangs_does_not_delay_the_shutdown(serve, tmp_path, how, workers):
    (tmp_path / "hangs.py").write_text(
        "import pathlib, threading\n"
        "def hang(event):\n    pathlib.Path(__file__ + '.called').touch()\n    threading.Event().wait()\n"
    )
    text = MOCK.replace("mock: {body: hello}", "function: 'hangs:hang'")
    server = serve(text, "--grace", "0.2", "--workers", workers)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until((tmp_path / "hangs.py.called").exists)
        server.process.send_signal(how)
        server.process.wait(PATIENCE)


def test_workers_do_not_outlive_their_supervisor(serve, tmp_path):
    """A supervisor that is killed cannot stop them, and the next one needs the port."""
    server = serve(MOCK, "--workers", "2")
    server.process.kill()
    server.process.wait()

    def free():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", server.port)) != 0

    until(free)
    serve(MOCK, port=server.port)
    until(lambda: not free())
    assert httpx.get(server.url).text == "hello"
    for name in Table.names():  # a killed supervisor does not remove them
        if name.startswith(f"gateway-{server.process.pid}-"):
            Table.shared(name).remove()


def test_reports_a_port_that_is_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        for workers in (1, 2):
            assert f"{port}" in refused(tmp_path, "--port", port, "--workers", workers)
