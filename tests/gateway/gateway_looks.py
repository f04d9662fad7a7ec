"""Looks at a gateway in this process: coroutines of a gateway and its world that return what clients or operators see.

The world is the folder, the port and the address of a backend that belong to one look.
"""

import asyncio
import contextlib
import copy
import json
import re
from functools import cache
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from waiting import pace_async

from ratelimit.gateway.server import command, worker

SERVED = {"apis": {"a": {"routes": {"GET /": {"mock": {"body": "x"}}}, "stages": {"$default": {}}}}}


def configured(*changes):
    """Return the base with fields replaced, each a place and its new fields; a field of None is removed."""
    made = copy.deepcopy(SERVED)
    for place, given in changes:
        node = made
        for name in place:
            node = node.setdefault(name, {})
        for name, value in given.items():
            node[name] = copy.deepcopy(value)
            if value is None:
                del node[name]
    return made


async def ask(
    gateway,
    path="/",
    method="GET",
    headers=(),
    body=b"",
    client="192.0.2.1",
    host="shop.example",
    late=False,
    query=b"",
    with_id=False,
):
    """Return status, headers and body of the answer to one request; the id of the request only if asked for."""
    sent, coming = [], [{"type": "http.request", "body": body}]

    async def receive():
        if late:
            await pace_async(0.01)
        return coming.pop() if coming else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "query_string": query,
        "raw_path": path.encode(), "client": (client, 1234), "server": ("127.0.0.1", 80),
        "headers": [(b"host", host.encode()), *((name, value.encode()) for name, value in headers)],
    }  # fmt: skip
    await gateway(scope, receive, send)
    fields = {name: value for name, value in sent[0]["headers"] if with_id or name != b"x-amzn-requestid"}
    return sent[0]["status"], fields, b"".join(one.get("body", b"") for one in sent[1:])


def asking(*requests, times=1):
    """Look at the answers to some requests."""

    async def look(gateway, world):
        return [await ask(gateway, **request) for request in (requests or ({},)) for _ in range(times)]

    return look


def talking(*messages, headers=(), path="/s"):
    """Look at what a WebSocket client gets that sends some messages and then waits for a moment."""

    async def look(gateway, world):
        sent, closed = [], asyncio.Event()
        coming = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": one} for one in messages)]

        async def receive():
            if coming:
                return coming.pop(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), 0.02)
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            sent.append((message["type"], message.get("text"), message.get("code"), message.get("status")))
            if message["type"] == "websocket.close":
                closed.set()

        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"",
            "client": ("192.0.2.1", 1234), "extensions": {"websocket.http.response": {}},
            "headers": [(b"host", b"shop.example"), *((name, value.encode()) for name, value in headers)],
        }  # fmt: skip
        await gateway(scope, receive, send)
        return sent

    return look


def event(**request):
    """Look at the event of a function that returns it."""

    async def look(gateway, world):
        status, _, text = await ask(gateway, **request)
        found = json.loads(text)
        found.pop("requestContext")  # which has the time and an id
        return status, found

    return look


def behind(answer, look):
    """Look while a backend at LIVE answers each connection by `answer`, a coroutine of a writer."""

    async def looking(gateway, world):
        async def serve(reader, writer):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                await answer(head, writer)
            writer.close()

        server = await asyncio.start_server(serve, ["127.0.0.1", "127.0.0.2"], world.port)
        try:
            return await look(gateway, world)
        finally:
            server.close()
            await gateway.addresses.close()

    return looking


async def seen(head, writer):
    """Answer with the first line and the X- headers of the request."""
    lines = [line for i, line in enumerate(head.split(b"\r\n")) if i == 0 or line.lower().startswith(b"x-a")]
    text = b"|".join(lines)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(text), text))
    await writer.drain()


async def hosted(head, writer):
    """Answer with whether the request was for the host of the client."""
    await seen(b"GET / HTTP/1.1\r\nX-A: %r\r\n" % (b"\r\nhost: shop.example" in head.lower()), writer)


async def failing(head, writer):
    """Answer only at the first of two addresses."""
    if writer.get_extra_info("sockname")[0] == "127.0.0.1":
        await seen(head, writer)


async def late(head, writer):
    """Answer later than the timeout of the case, and sooner than the default."""
    await pace_async(0.2)
    await seen(head, writer)


async def logged(gateway, world):
    """Look at the access logs after a request, without its id."""
    await ask(gateway)
    return {file.name: re.sub(r"[0-9a-f]+-[0-9a-f]+\n", "", file.read_text()) for file in world.folder.glob("*.log")}


async def files(gateway, world):
    """Look at the files of tables."""
    return sorted(file.name for file in world.folder.glob("tables/*"))


async def server_settings(gateway, world):
    """Look at what the server in front of the application receives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "BoundedProtocol", SimpleNamespace(admission=SimpleNamespace()))
        patch.setattr(worker, "SlowClientTimeout", SimpleNamespace())
        worker._bound(gateway.site.configuration)
        protocol, patience = worker.BoundedProtocol, worker.SlowClientTimeout
    return protocol.max_head, protocol.head_timeout, patience.send_timeout, patience.min_rate


async def websocket_bounds(gateway, world):
    """Look at the bounds of frames and messages that the server receives."""
    return command.websocket_bounds(gateway.site.configuration)


async def is_traced(gateway, world):
    return gateway.site.tracing is not None


async def with_token(gateway, world):
    """Look at the answer to a request with a token, whose key is where the authorizer looks for it."""
    write_keys(world.folder / "jwks.json", rsa_key())
    claims = {"iss": "https://me", "aud": "x", "exp": 4e9, "scope": "read"}
    text = jwt.encode(claims, rsa_key(), "RS256", {"kid": "one"})
    return await ask(gateway, headers=[(b"authorization", f"Bearer {text}")])


@cache
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def write_keys(file, key):
    """Write the public keys of an issuer that has one, whose id is "one"."""
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    file.write_text(json.dumps({"keys": [{**public, "kid": "one"}]}))


async def in_process(gateway, world):
    """Look at the answer of a function in a process of its own, while it runs."""
    (world.folder / "layer").mkdir()
    (world.folder / "layer" / "more.py").write_text("WORD = 'layer'")
    (world.folder / "index.py").write_text("def show(event, context):\n    return 'of the folder'\n")
    try:
        return await ask(gateway)
    finally:
        gateway.functions.keep(())
