"""Slow, greedy, leaving and rude clients, in a process of their own: `hostile.py PORTS SECONDS BEGAN ENDS`.

They attack the servers at some ports in turn, each for some seconds; the turn of the first began at that moment of
CLOCK_MONOTONIC. Twenty of them each begin at most ten attacks a second, which keeps a gateway busy for a fifth of a
core: what they measure is what it does in one turn of its event loop, not how much it can do.

A slow client begins its next attack while the last ones hang, and leaves none of them: the server has to end them.
From the moment ENDS on no attack begins, and those that hang go on.
"""

import asyncio
import contextlib
import random
import socket
import struct
import sys
import time

EACH = 5  # clients of a kind
PAUSE = 0.1  # seconds between two attacks of one


async def slow(reader, writer, chance):
    """A target, a head or a body that comes byte by byte, for an hour if it may."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n"
    writer.write(head[: chance.choice([len(b"POST /"), len(b"POST / HTTP/1.1\r\nHost"), len(head)])])
    while not writer.is_closing() and not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        await read(reader, 1_000, 0.2)


async def greedy(reader, writer, chance):
    """Many pipelined requests for large answers, which are read slowly or not at all."""
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    for _ in range(chance.randrange(5)):
        await read(reader, 1_000, 0.2)


async def leaving(reader, writer, chance):
    """Half a request, and often a reset."""
    whole = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
    writer.write(whole[: chance.randrange(1, len(whole))])
    await writer.drain()
    if chance.random() < 0.5:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


RUDE = [
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 16_000,
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello" * 20,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
]


async def rude(reader, writer, chance):
    """Bytes that are not a request, too many lines, and upgrades that are ignored."""
    writer.write(chance.choice([chance.randbytes(500), *RUDE]))
    await read(reader, 100_000, 2)


KINDS = [slow, greedy, leaving, rude]


async def read(reader, size, seconds):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(size), seconds)


async def attack(kind, chance, port_now):
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_now())
        try:
            await kind(reader, writer, chance)
        finally:
            writer.close()


async def attack_again(kind, chance, port_now, ends):
    """Begin an attack when the last one has ended; a slow one does not end by itself, and is not waited for."""
    async with asyncio.TaskGroup() as hanging:
        while time.monotonic() < ends:
            begun = hanging.create_task(attack(kind, chance, port_now))
            if kind is not slow:
                await begun
            await asyncio.sleep(PAUSE)  # noqa: TID251 -- the rate is what these clients are


async def main(ports, seconds, began, ends):
    def port_now():
        return ports[int((time.monotonic() - began) / seconds) % len(ports)]

    kinds = KINDS * EACH
    chances = [random.Random(f"{number} {kind.__name__}") for number, kind in enumerate(kinds)]
    attacks = zip(kinds, chances, strict=True)
    await asyncio.gather(*(attack_again(kind, chance, port_now, ends) for kind, chance in attacks))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main([int(port) for port in sys.argv[1].split(",")], *map(float, sys.argv[2:])))
