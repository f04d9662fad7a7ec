"""The connections to a backend: which one is used, when it is reused, and that no connection is lost."""

import asyncio
import runpy
from contextlib import asynccontextmanager
from importlib import import_module
from types import SimpleNamespace

import httpcore
import pytest
from waiting import PATIENCE, pace_async, until_async

from ratelimit.gateway.backends import httpcore_compat
from ratelimit.gateway.backends import pool as pools
from ratelimit.gateway.backends.pool import Pool

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Origin:
    """A server in this event loop that counts its connections. Its answer and its delay can be set."""

    def __init__(self):
        self.connections = []
        self.answer = ANSWER
        self.go = asyncio.Event()
        self.go.set()

    async def serve(self, reader, writer):
        self.connections.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.go.wait()
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


@asynccontextmanager
async def origin_and_pool():
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool("http", "127.0.0.1", port, None)
    pool.request = lambda: httpcore.Request("GET", f"http://127.0.0.1:{port}/", headers=[(b"host", b"a")])
    try:
        yield origin, pool
    finally:
        await pool.close()
        server.close()


async def read(pool):
    """Read one request and its whole answer."""
    answer = await pool.ask(pool.request())
    chunks = [chunk async for chunk in answer.body]
    await answer.body.aclose()
    return b"".join(chunks)


def in_loop(test):
    """Run the test as a coroutine in its own event loop."""

    def run():
        async def body():
            async with asyncio.timeout(PATIENCE), origin_and_pool() as (origin, pool):
                await test(origin, pool)

        asyncio.run(body())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_consecutive_requests_share_a_connection(origin, pool):
    assert [await read(pool) for _ in range(5)] == [b"hi"] * 5
    assert len(origin.connections) == 1
    assert not pool.busy


@in_loop
async def test_concurrent_requests_have_separate_connections(origin, pool):
    assert await asyncio.gather(*(read(pool) for _ in range(50))) == [b"hi"] * 50
    assert len(origin.connections) == 50
    assert await asyncio.gather(*(read(pool) for _ in range(50))) == [b"hi"] * 50
    assert len(origin.connections) == 50


def test_cost_of_choosing_does_not_depend_on_the_number_of_connections(monkeypatch):
    """The kernel is asked only about the chosen and the oldest connection."""
    asked = []
    expired = httpcore.AsyncHTTPConnection.has_expired
    monkeypatch.setattr(httpcore.AsyncHTTPConnection, "has_expired", lambda self: asked.append(self) or expired(self))

    @in_loop
    async def run(origin, pool):
        await asyncio.gather(*(read(pool) for _ in range(50)))
        asked.clear()
        await read(pool)
        assert 1 <= len(asked) <= 2

    run()


@in_loop
async def test_connection_that_the_backend_closed_is_not_used(origin, pool):
    await read(pool)
    origin.connections[0].close()
    await origin.connections[0].wait_closed()
    await pace_async(0.05)  # until its end has arrived
    assert await read(pool) == b"hi"
    assert len(origin.connections) == 2


@in_loop
async def test_connection_with_an_unread_answer_is_closed(origin, pool):
    answer = await pool.ask(pool.request())
    assert pool.busy
    await answer.body.aclose()
    await answer.body.aclose()  # a second time does nothing
    assert not pool.busy
    assert await read(pool) == b"hi"
    assert len(origin.connections) == 2


@in_loop
async def test_cancelled_request_leaves_no_connection(origin, pool):
    origin.go.clear()
    for i in range(3):
        asking = asyncio.create_task(pool.ask(pool.request()))
        await until_async(lambda i=i: len(origin.connections) == i + 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not pool.busy
    origin.go.set()
    assert await read(pool) == b"hi"
    assert len(origin.connections) == 4


@in_loop
async def test_malformed_answer_closes_only_its_connection(origin, pool):
    origin.answer = b"not an HTTP response\r\n\r\n"
    with pytest.raises(httpcore.RemoteProtocolError):
        await pool.ask(pool.request())
    assert not pool.busy
    origin.answer = ANSWER
    assert await read(pool) == b"hi"


def test_requests_above_the_maximum_wait(monkeypatch):
    monkeypatch.setattr(pools, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(pools, "MAX_IDLE", 2)

    @in_loop
    async def run(origin, pool):
        origin.go.clear()
        asking = [asyncio.create_task(read(pool)) for _ in range(10)]
        await until_async(lambda: len(origin.connections) >= 3)
        await pace_async(0.05)
        assert len(origin.connections) == 3
        asking.pop().cancel()
        origin.go.set()
        assert await asyncio.gather(*asking) == [b"hi"] * 9
        await asyncio.gather(read(pool), read(pool), read(pool))
        assert not pool.busy

    run()


def test_unneeded_connections_are_closed(monkeypatch):
    monkeypatch.setattr(pools, "MAX_IDLE", 2)

    @in_loop
    async def run(origin, pool):
        await asyncio.gather(*(read(pool) for _ in range(10)))
        await until_async(lambda: sum(writer.is_closing() for writer in origin.connections) >= 8)
        await pace_async(0.05)
        assert sum(writer.is_closing() for writer in origin.connections) == 8

    run()


@pytest.mark.parametrize("used_meanwhile", [True, False])
def test_old_connections_are_closed(monkeypatch, used_meanwhile):
    now = 0.0
    monkeypatch.setattr("httpcore._async.http11.time", SimpleNamespace(monotonic=lambda: now))

    @in_loop
    async def run(origin, pool):
        nonlocal now
        await asyncio.gather(*(read(pool) for _ in range(10)))
        for _ in range(8):
            now += pools.IDLE_SECONDS / 4
            if used_meanwhile:
                await read(pool)
        await read(pool)
        await until_async(lambda: sum(not writer.is_closing() for writer in origin.connections) <= 1)
        assert len(origin.connections) == (10 if used_meanwhile else 11)
        assert sum(not writer.is_closing() for writer in origin.connections) == 1

    run()


@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        ("httpcore.AsyncHTTPConnection", "_connection"),
        ("httpcore.AsyncHTTP11Connection", "_h11_state"),
        ("httpcore._backends.anyio.AnyIOStream", "_stream"),
        ("anyio._backends._asyncio.SocketStream", "_protocol"),
    ],
)
def test_import_fails_with_a_library_that_was_rebuilt(monkeypatch, owner, attribute):
    """Otherwise no connection would be reused, or an answer could reach the wrong client."""
    module, _, name = owner.rpartition(".")
    rebuilt = getattr(import_module(module), name)
    made = rebuilt.__init__

    def without_the_attribute(self, *args, **options):
        made(self, *args, **options)
        del self.__dict__[attribute]

    monkeypatch.setattr(rebuilt, "__init__", without_the_attribute)
    with pytest.raises(ImportError, match=rf"unsupported version of a library, httpcore .*: missing .*\.{attribute}$"):
        runpy.run_path(httpcore_compat.__file__)
