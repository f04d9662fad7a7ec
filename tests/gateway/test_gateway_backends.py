"""Backends: which address gets a request, what it gets, and what happens when the client leaves."""

import asyncio
import contextlib
import json
import socket

import pytest
import websockets
from gateway_looks import ask, configured
from waiting import PATIENCE, pace_async, until, until_async

from ratelimit.gateway import Configuration, ConfigurationError, Gateway, Proxy, Route

API = ("apis", "a")


def gateway_of(routes, **top):
    return Gateway(Configuration(**{**configured((API, {"routes": routes})), **top}))


@contextlib.asynccontextmanager
async def origins(*answers):
    """Start backends of one connection a request; yield their URLs and the heads that each received."""
    servers, heads = [], [[] for _ in answers]
    for i, answer in enumerate(answers):

        async def serve(reader, writer, i=i, answer=answer):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                heads[i].append((await reader.readuntil(b"\r\n\r\n")).decode())
                await answer(reader, writer)
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
    try:
        yield [f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}/" for one in servers], heads
    finally:
        for one in servers:
            one.close()


def answering(status):
    async def answer(reader, writer):
        text = str(status).encode()
        writer.write(b"HTTP/1.1 %b X\r\nContent-Length: 3\r\nConnection: close\r\n\r\n%b" % (text, text))
        await writer.drain()

    return answer


async def asked(gateway, count, **request):
    return [(await ask(gateway, **request))[0] for _ in range(count)]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_address_that_answers_that_it_is_unavailable_rests(status):
    """Its answer goes to the client, and later requests to the other address."""

    async def look():
        async with origins(answering(status), answering(200)) as (urls, heads):
            gateway = gateway_of({"GET /": {"proxy": {"to": urls, "fail_timeout": 1_000}}})
            found = await asked(gateway, 6)
            return sorted(found), len(heads[0]), len(heads[1])

    assert asyncio.run(look()) == ([200] * 5 + [status], 1, 5)


@pytest.mark.parametrize("status", [200, 404, 500, 501])
def test_address_that_answers_anything_else_does_not_rest(status):
    async def look():
        async with origins(answering(status), answering(200)) as (urls, heads):
            gateway = gateway_of({"GET /": {"proxy": {"to": urls, "fail_timeout": 1_000}}})
            await asked(gateway, 6)
            return [len(one) for one in heads]

    assert asyncio.run(look()) == [3, 3]


def test_failures_of_both_kinds_add_up():
    async def look():
        async with origins(answering(503), answering(200)) as (urls, heads):
            gateway = gateway_of({"GET /": {"proxy": {"to": urls, "fail_timeout": 1_000, "max_fails": 2}}})
            await asked(gateway, 8)
            return len(heads[0])

    assert asyncio.run(look()) == 2


@pytest.mark.parametrize(("keeps", "host"), [(True, "shop.example"), (False, "127.0.0.1:")])
def test_host_of_the_client(keeps, host):
    async def look():
        async with origins(answering(200)) as (urls, heads):
            await ask(gateway_of({"GET /": {"proxy": {"to": urls, "keep_host": keeps}}}))
            return heads[0][0].lower()

    head = asyncio.run(look())
    assert head.count("\r\nhost:") == 1
    assert f"\r\nhost: {host}" in head
    assert "x-forwarded-host: shop.example" in head


def test_a_method_of_its_own():
    async def look():
        async with origins(answering(200)) as (urls, heads):
            await ask(gateway_of({"GET /": {"proxy": {"to": urls, "method": "PUT"}}}))
            return heads[0][0]

    assert asyncio.run(look()).startswith("PUT / ")


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ({"proxy": {"to": "http://127.0.0.1:1", "method": "HEAD"}}, "expected one of GET, POST"),
        ({"proxy": {"to": "ws://127.0.0.1:1", "method": "PUT"}}, "expected an http or https address with it"),
        ({"aggregate": {"a": {"to": "http://127.0.0.1:1", "method": "PUT"}}}, "expected under proxy"),
    ],
)
def test_a_method_that_a_backend_cannot_have(route, problem):
    with pytest.raises(ConfigurationError, match=problem):
        gateway_of({"GET /": route})


@pytest.mark.parametrize("keeps", [True, False])
def test_host_of_a_websocket_client(serve, keeps):
    seen = []

    async def look():
        async def handle(connection):
            seen.append(connection.request.headers["host"])
            await connection.wait_closed()

        async with websockets.serve(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            routes = {"$default": {"proxy": {"to": f"ws://127.0.0.1:{port}", "keep_host": keeps}}}
            apis = {"a": {"type": "websocket", "routes": routes, "stages": {"s": {}}}}
            gateway = serve(json.dumps({"apis": apis}))
            uri = f"ws://shop.example:{gateway.port}/s"
            async with websockets.connect(uri, host="127.0.0.1", port=gateway.port, proxy=None):
                await until_async(lambda: seen)
            return [f"shop.example:{gateway.port}" if keeps else f"127.0.0.1:{port}"]

    assert asyncio.run(look()) == seen


MAPPED = {
    ("overwrite:querystring.a", "new", "a=1&b=2&a=3"): "b=2&a=new",
    ("append:querystring.a", "new", "a=1&b=2"): "a=1&b=2&a=new",
    ("remove:querystring.a", "", "a=1&b=2&%61=3&a"): "b=2",
    ("overwrite:querystring.a", "$request.header.x-a", "b=2&&c"): "b=2&c&a=x%26y%20z",
    ("overwrite:querystring.a", "$request.querystring.b", "b=%C3%A9"): "b=%C3%A9&a=%C3%A9",
    ("overwrite:querystring.a", "$request.header.none", "a=1&b=2"): "b=2",
    ("append:querystring.a b".replace(" ", "%20"), "1", ""): "a%2520b=1",
    ("append:querystring.a", "$context.stage", ""): "a=%24default",
}


@pytest.mark.parametrize("case", MAPPED)
def test_mapping_of_the_query(case):
    rule, text, query = case

    async def look():
        async with origins(answering(200)) as (urls, heads):
            gateway = gateway_of({"GET /": {"proxy": {"to": urls}, "request": {rule: text}}})
            await ask(gateway, query=query.encode(), headers=[(b"x-a", "x&y z")])
            return heads[0][0].split()[1]

    assert asyncio.run(look()) == f"/?{MAPPED[case]}"


@pytest.mark.parametrize("name", ["a.b", "a:10", "a-b", "0", "a_b"])
def test_a_variable_has_any_name_that_aws_allows(name):
    async def look():
        async with origins(answering(200)) as (urls, heads):
            gateway = gateway_of({f"GET /{{{name}}}/{{c.d+}}": {"proxy": f"{urls[0]}x/{{{name}}}/{{c.d+}}"}})
            await ask(gateway, "/7/8/9")
            return heads[0][0].split()[1]

    assert asyncio.run(look()) == "/x/7/8/9"


def test_mapping_of_the_query_of_an_event():
    def echo(event):
        return {"statusCode": 200, "body": json.dumps([event["queryStringParameters"], event["rawQueryString"]])}

    gateway = gateway_of({"GET /": {"function": echo, "request": {"overwrite:querystring.a": "new"}}})
    _, _, body = asyncio.run(ask(gateway, query=b"a=1&b=2"))
    assert json.loads(body) == [{"b": "2", "a": "new"}, "b=2&a=new"]


# the route's path, its mapping, the client's path and query, `encoded_slash`: the path of the event
PATHS = {
    ("/u/{id}", "/users/$request.path.id/public", "/u/1%2Fsecret", "", True): "/users/1%2Fsecret/public",
    ("/u/{id}", "/users/${id}/public", "/u/1%2Fsecret", "", True): "/users/1%2Fsecret/public",
    ("/q", "/users/$request.querystring.id/public", "/q", "id=1/secret", True): "/users/1%2Fsecret/public",
    ("/q", "/users/$request.querystring.id/public", "/q", "id=1/secret", False): None,
    ("/u/{id}/{rest+}", "/$request.path.id/$request.path.rest", "/u/1%2F2/a/b", "", True): "/1%2F2/a/b",
    ("/u/{rest+}", "/v/${rest}", "/u/a/b", "", False): "/v/a/b",
    ("/u/{id}", "$context.path", "/u/1", "", False): "/u/1",
    ("/u/{id}", "${stageVariables.base}/${id}", "/u/1", "", False): "/v1/api/1",
    ("/a/b", "/v2$context.resourcePath", "/a/b", "", False): "/v2/a/b",
}


@pytest.mark.parametrize("case", PATHS)
def test_a_client_adds_segments_to_a_mapped_path_by_a_greedy_variable_alone(case):
    key, text, path, query, encoded_slash = case
    routes = {f"GET {key}": {"function": lambda event: event["rawPath"], "request": {"overwrite:path": text}}}
    stages = {"$default": {"variables": {"base": "/v1/api"}}}
    made = configured((API, {"routes": routes, "stages": stages}), ((), {"encoded_slash": encoded_slash}))
    status, _, body = asyncio.run(ask(Gateway(Configuration(**made)), path, query=query.encode()))
    assert (status, body) == ((200, PATHS[case].encode()) if PATHS[case] else (400, b'{"message":"Bad Request"}'))


def test_mapping_of_the_query_of_an_answer_is_an_error():
    with pytest.raises(ConfigurationError, match="an answer has no query"):
        Route(proxy="http://localhost", response={"remove:querystring.a": ""})


def test_a_timeout_may_be_30_seconds():
    assert Proxy(to="http://localhost", timeout=30.0).timeout == 30
    with pytest.raises(ConfigurationError, match=r"timeout: expected from 0.05 to 30 seconds, got 30.1"):
        Proxy(to="http://localhost", timeout=30.1)


# --- clients that leave


class Silent:
    """A backend that answers nothing, or only a beginning, and notices when its connection is closed."""

    def __init__(self, beginning=b""):
        self.beginning = beginning
        self.asked = self.left = 0

    async def __call__(self, reader, writer):
        writer.write(self.beginning)
        self.asked += 1
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass
        self.left += 1


ROUTES = {
    "proxy": lambda url: {"proxy": url},
    "aggregate": lambda url: {"aggregate": {"a": url, "b": url}},
}


@pytest.mark.parametrize("kind", ROUTES)
@pytest.mark.parametrize("body", [b"", b"x" * 1_000, b"x" * 200_000])
def test_client_that_leaves_cancels_the_request_of_the_backend(serve, backend, tmp_path, kind, body):
    """The backend's connection is closed at once, and not when the backend has answered or its time is over."""
    silent = Silent()

    async def answer(head, reader, writer):
        await silent(reader, writer)

    url, log = backend(answer).url, tmp_path / "access.log"
    log_format = "$context.status $context.error.message"
    apis = {"a": {"routes": {"POST /": ROUTES[kind](url)}, "stages": {"$default": {}}}}
    gateway = serve(json.dumps({"apis": apis, "access_log": {"file": str(log), "format": log_format}}))
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        until(lambda: silent.asked)
    until(lambda: silent.left == silent.asked)
    assert gateway.lines(log, 1) == ["499 the client went away"]


def test_client_that_leaves_does_not_make_the_address_rest():
    """An address rests for its own failures alone."""

    async def look():
        silent = Silent()
        async with origins(silent, silent) as (urls, heads):
            gateway = gateway_of({"GET /": {"proxy": {"to": urls, "fail_timeout": 1_000}}})
            for _ in range(2):
                await leaving(gateway, lambda: silent.asked > silent.left)
                await until_async(lambda: silent.asked == silent.left)
            return [address.down_until for address in gateway.site.used], [len(one) for one in heads]

    assert asyncio.run(look()) == ([0.0, 0.0], [1, 1])


async def leaving(gateway, until_then):
    """Ask, and leave when a condition holds."""
    coming = [{"type": "http.request", "body": b""}]

    async def receive():
        if coming:
            return coming.pop()
        await until_async(until_then)
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/", "query_string": b"",
        "raw_path": b"/", "client": ("192.0.2.1", 1234), "server": ("127.0.0.1", 80), "headers": [(b"host", b"a")],
    }  # fmt: skip
    await gateway(scope, receive, send)


def test_client_that_leaves_in_the_midst_of_a_silent_answer():
    """A backend may pause for any time: the client is watched meanwhile."""

    async def look():
        silent = Silent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        async with origins(silent) as (urls, _):
            await leaving(gateway_of({"GET /": {"proxy": urls[0]}}), lambda: silent.asked)
            await until_async(lambda: silent.left)

    asyncio.run(look())


def test_cancelling_a_request_from_outside_still_cancels_it():
    """An application around the gateway may stop a request; the gateway does not take that for a client that left."""

    async def look():
        silent = Silent()
        async with origins(silent) as (urls, _):
            gateway = gateway_of({"GET /": {"proxy": urls[0]}})
            task = asyncio.create_task(leaving(gateway, lambda: False))
            await until_async(lambda: silent.asked)
            await pace_async(0.1)  # until the client is watched
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_async(lambda: silent.left)

    asyncio.run(look())


def test_answers_and_failures_of_backends_are_counted():
    async def look():
        async with origins(answering(200), answering(503)) as (urls, _):
            routes = {
                "GET /": {"proxy": urls[0]}, "GET /b": {"proxy": urls[1]}, "GET /c": {"proxy": "http://127.0.0.1:1/"},
            }  # fmt: skip
            gateway = gateway_of(routes)
            for path in ("/", "/", "/b", "/c"):
                await ask(gateway, path=path)
            return [
                {key: read(address.meter.requests[key]) for key in (("admitted", 2), ("admitted", 5), ("failed", 5))}
                for address in gateway.site.used
                for read in [gateway.limiters.counters.read]
            ]

    assert [tuple(one.values()) for one in asyncio.run(look())] == [(2, 0, 0), (0, 1, 0), (0, 0, 2)]
