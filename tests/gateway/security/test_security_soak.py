"""Slow, greedy, leaving and rude clients for a while: memory, descriptors and a polite client's latency stay flat.

`SOAK_SECONDS` sets how long; `make nightly` runs it for an hour, and then compares the latencies, too.

The hostile clients attack two gateways in turn. So they take the same time of the processors all along, and the polite
client, which has a process of its own, too, is later in every second turn by what its gateway makes it wait.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import accumulate

import hostile
import pytest
from gateway_harness import Server
from waiting import PATIENCE, until

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
LONG = SECONDS >= 600
TURN = min(15, SECONDS / 6)
SETTLING = TURN / 5  # seconds of a turn in which clients of the last one may still be there
BACKEND = "apis: {b: {routes: {$default: {mock: {body: ok}}}, stages: {$default: {}}}}\nthrottle: null"
CONFIGURATION = """
head_timeout: 1
body_timeout: 1
send_timeout: 1
apis:
  a:
    routes:
      GET /large: {{mock: {{body: "{large}"}}}}
      GET /mock: {{mock: {{body: ok}}}}
      $default: {{proxy: "{url}"}}
    stages: {{$default: {{}}}}
throttle: null
"""


@contextlib.contextmanager
def gateways(folder):
    """Two gateways with one backend."""
    with contextlib.ExitStack() as stack:

        def server(text):
            started = Server(folder, text)
            stack.callback(started.stop)
            return started

        text = CONFIGURATION.format(url=server(BACKEND).url, large="x" * 100_000)
        yield server(text), server(text)


@contextlib.contextmanager
def hostile_clients(ports, began, ends):
    command = [sys.executable, hostile.__file__, ",".join(map(str, ports)), str(TURN), str(began), str(ends)]
    process = subprocess.Popen(command)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(PATIENCE)


def ask_politely(connection, durations, ends):
    """Send one request after the other, and count the times that they take, in microseconds."""
    while (began := time.monotonic()) < ends:
        answer = ask(connection, "/mock")
        durations[round((time.monotonic() - began) * 1e6)] += 1
        assert (answer[:12], answer[-6:]) == (b"HTTP/1.1 200", b"\r\n\r\nok"), answer


def ask(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection.recv(65_536)


def percentile(durations, share):
    values = sorted(durations)
    counts = accumulate(durations[value] for value in values)
    rank = durations.total() * share
    return next(value for value, count in zip(values, counts, strict=True) if count > rank)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@pytest.mark.slow
def test_hostile_clients_leave_nothing_behind(tmp_path):
    alone, beside, at_rest = Counter(), Counter(), []
    with gateways(tmp_path) as (server, other):
        began, before, turns = time.monotonic(), descriptors(server), round(SECONDS / TURN)
        with (
            hostile_clients((server.port, other.port), began, began + turns * TURN),
            socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection,
        ):
            for turn in range(turns):
                durations, begins = (alone if turn % 2 else beside), began + turn * TURN
                ask_politely(connection, Counter(), begins + SETTLING)
                ask_politely(connection, durations, begins + TURN)
                if durations is alone:
                    at_rest.append((descriptors(server), server.memory()))
            # The hostile clients are still there, and end none that hangs. A request ends idle ones to the backend.
            until(
                lambda: ask(connection, "/") and descriptors(server) <= before + 5,
                lambda: f"{descriptors(server)} open files, where there were {before}",
            )
        half = len(at_rest) // 2  # what is made once, has been made then
        assert server.memory() - at_rest[half][1] < 30_000_000, at_rest
        assert len(beside) > 10
        if LONG:
            assert max(files for files, _ in at_rest) < 40, at_rest
            shares = {share: (percentile(beside, share), percentile(alone, share)) for share in (0.5, 0.9, 0.99, 0.999)}
            print(f"microseconds beside hostile clients, and alone: {shares}; open files and memory: {at_rest}")
            assert shares[0.99][0] < 3 * shares[0.99][1], shares
        assert "Traceback" not in server.log.read_text()
