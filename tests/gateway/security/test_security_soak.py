"""Slow, greedy, leaving and rude clients for a while: memory, descriptors and connections stay flat.

`SOAK_SECONDS` sets how long; `make nightly` runs it for an hour, and then compares the latency of a polite client, too.
"""

import asyncio
import contextlib
import os
import random
import socket
import time

import pytest
from fronts import Recorder
from gateway_harness import Server
from waiting import until

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
LONG = SECONDS >= 600
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


async def opened(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def slow(port, chance):
    """A head or a body that comes byte by byte, and ends in a timeout."""
    reader, writer = await opened(port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n"
    writer.write(head[: chance.choice([1, 20, len(head)])])
    while not writer.is_closing() and not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1_000), 0.2)
    writer.close()


async def greedy(port, chance):
    """Many pipelined requests for large answers, which are read slowly or not at all."""
    reader, writer = await opened(port)
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    for _ in range(chance.randrange(5)):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1_000), 0.2)
    writer.close()


async def leaving(port, chance):
    """Half a request, and a reset."""
    _, writer = await opened(port)
    whole = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
    writer.write(whole[: chance.randrange(1, len(whole))])
    await writer.drain()
    if chance.random() < 0.5:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def rude(port, chance):
    """Bytes that are not a request, too many lines, and upgrades that are ignored."""
    reader, writer = await opened(port)
    writer.write(
        chance.choice(
            [
                chance.randbytes(500),
                b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 16_000,
                b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello"
                * 20,
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                b"GET / HTTP/2.0\r\n\r\n",
            ]
        )
    )
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(100_000), 2)
    writer.close()


async def polite(port, durations, ends):
    """Requests one after the other, with the time that each takes."""
    reader, writer = await opened(port)
    while time.monotonic() < ends:
        began = time.monotonic()
        writer.write(b"GET /mock HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert await reader.readexactly(2) == b"ok"
        durations.append(time.monotonic() - began)
    writer.close()


async def attack(port, kind, chance, ends):
    while time.monotonic() < ends:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await kind(port, chance)


def percentile(durations, share):
    return sorted(durations)[int(len(durations) * share)]


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


async def run(port, seconds, attackers):
    durations, ends = [], time.monotonic() + seconds
    kinds = [slow, greedy, leaving, rude] * attackers
    await asyncio.gather(
        polite(port, durations, ends),
        *(attack(port, kind, random.Random(f"{i} {kind.__name__}"), ends) for i, kind in enumerate(kinds)),
    )
    return durations


@pytest.mark.slow
def test_hostile_clients_leave_nothing_behind(tmp_path):
    recorder = Recorder()
    server = Server(tmp_path, CONFIGURATION.format(url=recorder.url, large="x" * 100_000))
    try:
        alone = asyncio.run(run(server.port, min(10.0, SECONDS / 2), 0))
        asyncio.run(run(server.port, SECONDS / 2, 5))  # what is made once, is made now
        before = until(lambda: (descriptors(server) < 40 and descriptors(server)) or None)
        memory = server.memory()
        beside = asyncio.run(run(server.port, SECONDS / 2, 5))
        until(lambda: descriptors(server) <= before + 5, lambda: f"{descriptors(server)} open files, not {before}")
        assert server.memory() - memory < 30_000_000
        assert len(beside) > 10
        if LONG:
            assert percentile(beside, 0.99) < 3 * percentile(alone, 0.99)
        assert "Traceback" not in server.log.read_text()
    finally:
        server.stop()
        recorder.stop()
