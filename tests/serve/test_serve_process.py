"""`ratelimit serve` as processes: several workers on one port, and signals."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading

import pytest
from servers import PACKAGE, exactly
from waiting import PATIENCE, until

from ratelimit import Table

pytestmark = pytest.mark.slow  # processes start


def test_exactly_the_limit_passes_over_all_workers_which_reload_and_stop_together(service):
    before = set(Table.names())
    server = service("limits: {api: fixed-window 100/day, other: 1/day}", "--workers", "3")
    exactly(100, server, "/check/api")
    server.file.write_text("limits: {api: fixed-window 150/day}")
    server.process.send_signal(signal.SIGHUP)
    admitted: list[int] = []

    def has_admitted_the_rest():  # a worker that has not read the file yet refuses
        admitted.append(server.statuses(20, "/check/api").count(200))
        return sum(admitted) >= 50

    until(has_admitted_the_rest)
    until(lambda: server.statuses(20, "/check/other") == [404] * 20)
    assert sum(admitted) + server.statuses(100, "/check/api").count(200) == 50
    server.process.terminate()
    assert server.process.wait(timeout=PATIENCE) == 0
    assert set(Table.names()) <= before


def test_a_worker_that_ends_is_replaced_and_a_supervisor_that_ends_takes_its_workers_along(service):
    server = service("limits: {api: fixed-window 100/day}", "--workers", "2")
    workers = until(lambda: (found := children(server.process.pid)) and len(found) == 2 and found)
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(set(children(server.process.pid)) - set(workers)) == 1)
    exactly(100, server, "/check/api")
    server.process.kill()
    server.process.wait()
    until(lambda: refuses(server.port))
    for name in Table.names():  # a supervisor that is killed cannot remove them
        if name.startswith(f"serve-{server.process.pid}-"):
            Table.shared(name).remove()


def test_a_wrong_file_is_not_loaded_and_what_is_under_way_is_answered_at_the_end(service):
    server = service("limits: {api: 5/day}")
    server.file.write_text("limits: {api: 5/fortnight}")
    server.process.send_signal(signal.SIGHUP)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /check/api HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        until(lambda: server.get("/check/api")[0] == 200)
        server.process.terminate()
        until(lambda: refuses(server.port))
        client.sendall(b"b")
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    printed, _ = server.process.communicate(timeout=PATIENCE)
    assert "not reloaded: " in printed
    assert ":1: limits.api.limit: limit '5/fortnight'" in printed
    assert server.process.returncode == 0


def test_hostile_clients_get_an_answer_and_take_no_memory(service):
    """The answer arrives, although the client has sent more than was read."""
    server = service("limits: {api: 1000000/day}")
    before = resident(server.process.pid)
    head = b"GET /check/api HTTP/1.1\r\nHost: a\r\n"
    for data, status in [
        (head + b"X-A: " + b"a" * 3_000_000, b"431"),
        (head + b"Content-Length: 9999999\r\n\r\n" + b"a" * 3_000_000, b"413"),
        (head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 300_000, b"501"),
        ((head + b"\r\n") * 30_000, b"200"),
    ]:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                sender = threading.Thread(target=send, args=(client, data))
                sender.start()
                assert client.recv(12) == b"HTTP/1.1 " + status
                client.shutdown(socket.SHUT_RDWR)
                sender.join()
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for client in waiting:
        client.sendall(head)
    assert server.get("/check/api")[0] == 200
    for client in waiting:
        client.close()
    until(lambda: resident(server.process.pid) - before < 30 * 2**20)


def send(client, data):
    with contextlib.suppress(OSError):
        client.sendall(data)


def resident(pid):
    """Return the bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_unix_socket_is_used_again_after_its_owner_was_killed(tmp_path):
    path = tmp_path / "limits.sock"
    (tmp_path / "limits.yaml").write_text("limits: {api: 1/day}")
    for _ in range(2):
        process = subprocess.Popen([*COMMAND, "limits.yaml", "--http", f"unix:{path}"], cwd=tmp_path, env=VARIABLES)
        until(lambda: path.exists() and asked(path))
        assert asked(path).startswith(b"HTTP/1.1 429")  # the first question was that of `until`
        process.kill()
        process.wait()


COMMAND = [sys.executable, "-m", "ratelimit", "serve"]
VARIABLES = os.environ | {"PYTHONPATH": str(PACKAGE)}


def asked(path):
    with socket.socket(socket.AF_UNIX) as client:
        if client.connect_ex(str(path)):
            return b""
        client.sendall(b"GET /check/api HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read()


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def children(pid):
    """Return the workers of a supervisor; it also has a process that keeps track of resources."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        found = [int(child) for child in file.read().split()]
    return [child for child in found if b"spawn_main" in open(f"/proc/{child}/cmdline", "rb").read()]
