"""`ratelimit serve` as processes: several workers on one port, signals, and errors at the start."""

import os
import signal
import socket
import subprocess
import sys

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
    until(lambda: server.statuses(20, "/check/other") == [404] * 20)  # in every worker
    seen = server.statuses(100, "/check/api")
    assert seen.count(200) == 50
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


def test_a_unix_socket_is_used_again_after_its_owner_was_killed(tmp_path):
    path = tmp_path / "limits.sock"
    (tmp_path / "limits.yaml").write_text("limits: {api: 1/day}")
    for _ in range(2):
        process = subprocess.Popen([*COMMAND, "limits.yaml", "--http", f"unix:{path}"], cwd=tmp_path, env=VARIABLES)
        until(lambda: path.exists() and asked(path))
        assert asked(path).startswith(b"HTTP/1.1 429")  # the first question was that of `until`
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (["limits.yaml", "--check"], 0, "limits.yaml: 1 limits, 0 descriptors"),
        (["wrong.yaml"], 1, "wrong.yaml:1: limits.api.limit: limit '5', character 1: expected a quota"),
        (["none.yaml"], 1, "ratelimit serve: [Errno 2] No such file or directory: 'none.yaml'"),
        (
            ["limits.yaml", "--http", "a:b"],
            1,
            "ratelimit serve: address: expected HOST:PORT, :PORT or unix:PATH, got 'a:b'",
        ),
        (["limits.yaml", "--http", "192.0.2.1:80"], 1, "ratelimit serve: cannot listen at 192.0.2.1:80: "),
        (["limits.yaml", "--workers", "0"], 2, "--workers: expected 1 or more, got 0"),
    ],
)
def test_names_the_reason_if_it_cannot_start(tmp_path, options, status, problem):
    (tmp_path / "limits.yaml").write_text("limits: {api: 5/day}")
    (tmp_path / "wrong.yaml").write_text("limits: {api: '5'}")
    found = subprocess.run(COMMAND + options, cwd=tmp_path, env=VARIABLES, capture_output=True, text=True)
    assert (found.returncode, problem in found.stdout + found.stderr) == (status, True), found.stderr
    assert "Traceback" not in found.stderr


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
