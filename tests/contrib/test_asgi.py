"""RateLimitMiddleware under Starlette, FastAPI, Litestar and Quart, and on uvicorn with four workers.

In one file: every framework gets the same requests.
"""

import asyncio
import contextlib
import logging

import fastapi
import httpx
import litestar
import pytest
import quart
from servers import exactly
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from ratelimit import FixedWindow, RateLimitError, parse
from ratelimit.contrib.asgi import RateLimitMiddleware

ADDRESS = ("192.0.2.1", 4711)
LIMIT = "fixed-window 2/minute anchor first"


class BrokenClock:
    """A clock that fails once it is broken."""

    broken = False

    def now_ns(self):
        if self.broken:
            raise RateLimitError("the clock is broken")
        return 10**18


async def home(request):
    status = int(request.query_params.get("status", 200))
    if status == 599:
        raise RuntimeError("an error of the application")
    return PlainTextResponse("hello", status)


async def echo(websocket):
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


def client_of(address=ADDRESS, **options):
    """Return a client of an application with routes, a mount and a WebSocket."""
    routes = [Route("/", home, methods=["GET", "POST"]), Route("/health", home), WebSocketRoute("/echo", echo)]
    application = Starlette(routes=[*routes, Mount("/below", routes=[Route("/page", home)])])
    application.add_middleware(RateLimitMiddleware, **{"limit": LIMIT} | options)
    return TestClient(application, client=address, raise_server_exceptions=False)


def statuses(client, *paths, **options):
    return [client.get(path, **options).status_code for path in paths]


def test_limits_all_routes_together(clock):
    client = client_of(clock=clock)
    assert statuses(client, "/", "/below/page", "/", "/below/page", "/missing") == [200, 200, 429, 429, 429]
    clock.advance(60)
    assert statuses(client, "/missing", "/") == [404, 200]


def test_limits_each_address_apart(clock):
    limiter = FixedWindow("2/minute", anchor="first", clock=clock)
    assert statuses(client_of(limit=limiter), "/", "/", "/") == [200, 200, 429]
    assert statuses(client_of(("192.0.2.2", 1), limit=limiter), "/") == [200]
    assert statuses(client_of(("192.0.2.1", 2), limit=limiter), "/") == [429]


def test_reads_the_address_behind_a_trusted_proxy(clock):
    client = client_of(clock=clock, trusted_proxies=["192.0.2.0/24"])
    for address in ("198.51.100.1", "198.51.100.2"):
        spoofed = {"x-forwarded-for": f"6.6.6.6, {address}"}
        assert statuses(client, "/", "/", "/", headers=spoofed) == [200, 200, 429]


def test_answers_a_refused_request(clock):
    client = client_of(clock=clock)
    statuses(client, "/", "/")
    clock.advance(10)
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (429, "Too Many Requests\n")
    assert answer.headers["retry-after"] == "50"
    assert answer.headers["ratelimit-policy"] == '"2/minute";q=2;w=60'
    assert answer.headers["ratelimit"] == '"2/minute";r=0;t=50'
    problem = client.get("/", headers={"accept": "application/json"})
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == 429
    head = client.head("/")
    assert (head.status_code, head.content, head.headers["content-length"]) == (429, b"", "18")


def test_adds_the_fields_to_every_answer(clock):
    client = client_of(clock=clock)
    for path, remaining in (("/", 1), ("/missing", 0)):
        assert client.get(path).headers["ratelimit"].startswith(f'"2/minute";r={remaining}')
    legacy = client_of(clock=clock, headers="legacy").get("/")
    assert legacy.headers["x-ratelimit-remaining"] == "1"
    assert "ratelimit" not in legacy.headers
    assert "ratelimit-policy" not in client_of(clock=clock, headers=None).get("/").headers


def test_keeps_the_fields_of_an_inner_limit(clock):
    inner = RateLimitMiddleware(Starlette(routes=[Route("/", home)]), "fixed-window 1/minute anchor first", clock=clock)
    client = TestClient(RateLimitMiddleware(inner, "fixed-window 9/minute anchor first", clock=clock), client=ADDRESS)
    for status in (200, 429):
        answer = client.get("/")
        assert answer.status_code == status
        assert [name for name, _ in answer.headers.multi_items()].count("ratelimit") == 1
        assert answer.headers["ratelimit"].startswith('"1/minute";r=0')


def test_leaves_the_messages_of_the_application_as_they_are(clock):
    """An application may send one and the same dictionary for each answer, and its headers are any iterable."""
    start = {"type": "http.response.start", "status": 200, "headers": ((b"x-a", b"b"),)}

    async def app(scope, receive, send):
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(RateLimitMiddleware(app, "fixed-window 3/minute anchor first", clock=clock), client=ADDRESS)
    for remaining in (2, 1):
        answer = client.get("/")
        assert answer.headers["ratelimit"].startswith(f'"3/minute";r={remaining}')
        assert answer.headers["x-a"] == "b"
    assert start["headers"] == ((b"x-a", b"b"),)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_functions_of_the_request(clock, asynchronous):
    """Each may be a coroutine function: tiers, keys, costs and exemptions."""
    tiers = {"free": "fixed-window 2/minute anchor first", "gold": "fixed-window 4/minute anchor first", "staff": None}
    functions = {
        "limit": lambda connection: tiers[connection.headers["tier"]],
        "key": lambda connection: connection.query["user"],
        "cost": lambda connection: 2 if connection.method == "POST" else 1,
        "exempt": lambda connection: connection.path == "/health",
    }

    def as_coroutine(function):
        async def coroutine(connection):
            await asyncio.sleep(0)  # noqa: TID251
            return function(connection)

        return coroutine

    if asynchronous:
        functions = {name: as_coroutine(function) for name, function in functions.items()}
    client = client_of(clock=clock, **functions)
    free, gold, staff = ({"tier": tier} for tier in tiers)
    assert statuses(client, *["/?user=ann"] * 3, headers=free) == [200, 200, 429]
    assert statuses(client, "/?user=bob", headers=free) == [200]
    assert client.post("/?user=bob", headers=free).status_code == 429
    assert statuses(client, *["/?user=ann"] * 5, headers=gold) == [200, 200, 200, 200, 429]
    assert statuses(client, *["/?user=ann"] * 9, headers=staff) == [200] * 9
    assert statuses(client, *["/health"] * 3, headers=free) == [200] * 3


def test_texts_of_one_limit_share_it(clock):
    client = client_of(clock=clock, limit=lambda connection: connection.query["limit"])
    same = ["/?limit=2/hour", "/?limit=2 per hour", "/?limit=token-bucket 2 / 1h"]
    assert statuses(client, *same) == [200, 200, 429]


def test_exempt_paths_and_methods(clock):
    client = client_of(clock=clock, exempt=["/health", "/below/*"], methods=["get"])
    assert statuses(client, "/", "/", "/", "/health", "/below/page", "/healthy") == [200, 200, 429, 200, 200, 429]
    assert client.post("/").status_code == 200


def test_counts_only_the_answers_that_it_is_asked_to(clock):
    """Only failed logins count; an error that the application raises is a 500."""
    client = client_of(clock=clock, count_if=lambda connection, status: status >= 400)
    assert statuses(client, *["/"] * 5, "/?status=401", "/", "/?status=599", "/") == [200] * 5 + [401, 200, 500, 429]


def test_a_request_counts_while_it_runs(clock):
    """Guesses that are made at the same moment do not all pass."""
    running = asyncio.Event()
    waiting = asyncio.Semaphore(0)

    async def slow(scope, receive, send):
        waiting.release()
        await running.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def race():
        middleware = RateLimitMiddleware(slow, LIMIT, clock=clock, count_if=lambda connection, status: status == 401)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url="http://test") as client:
            requests = [asyncio.create_task(client.get("/")) for _ in range(5)]
            for _ in range(2):
                await waiting.acquire()
            running.set()
            raced = [answer.status_code for answer in await asyncio.gather(*requests)]
            return raced, (await client.get("/")).status_code

    assert asyncio.run(race()) == ([200, 200, 429, 429, 429], 200)


def test_an_answer_of_the_application_to_a_refused_request(clock):
    def refused(connection, ruling):
        return PlainTextResponse(f"{connection.path} {ruling.key} {ruling.status} {ruling.decision.limit}", 420)

    client = client_of(clock=clock, on_refused=refused)
    statuses(client, "/", "/")
    answer = client.get("/below/page")
    assert (answer.status_code, answer.text) == (420, "/below/page 192.0.2.1 429 2")
    assert answer.headers["retry-after"] == "60"


def test_shadow_mode_admits_and_logs(clock, caplog):
    client = client_of(clock=clock, shadow=True)
    assert statuses(client, "/", "/", "/") == [200, 200, 200]
    assert [record.getMessage() for record in caplog.records if record.name == "ratelimit.contrib"] == [
        "fixed-window 2/minute anchor first would refuse key '192.0.2.1' (shadow mode)"
    ]


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
def test_failing_limiter_admits_or_answers_503_by_fail_open(fail_open, status, caplog):
    clock = BrokenClock()
    client = client_of(clock=clock, fail_open=fail_open)
    clock.broken = True
    with caplog.at_level(logging.ERROR, "ratelimit.contrib"):
        answers = [client.get("/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status] * 3
    assert "retry-after" not in answers[0].headers
    assert len([record for record in caplog.records if "failed" in record.getMessage()]) == 1


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
def test_a_full_table_is_a_failure(clock, fail_open, status):
    client = client_of(clock=clock, fail_open=fail_open, max_keys=1, key=lambda connection: connection.query["key"])
    answers = statuses(client, *(f"/?key={number}" for number in range(1_000)))
    assert answers[0] == 200
    assert answers[-1] == status
    assert 429 not in answers


def test_an_error_of_a_function_is_an_error_of_the_application(clock):
    def key(connection):
        return connection.query["user"]

    client = client_of(clock=clock, key=key)
    assert statuses(client, "/", "/", "/") == [500] * 3
    assert statuses(client, "/?user=ann", "/?user=ann", "/?user=ann") == [200, 200, 429]
    wrong_key = client_of(clock=clock, key=lambda connection: 1.5)
    assert statuses(wrong_key, "/") == [500]


def test_clear_forgets_all(clock):
    given = FixedWindow("1/minute", clock=clock)
    for limit in (LIMIT, given):
        middleware = RateLimitMiddleware(Starlette(routes=[Route("/", home)]), limit, clock=clock)
        client = TestClient(middleware, client=ADDRESS)
        while client.get("/").status_code == 200:
            pass
        middleware.clear()
        assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": "ten a minute"}, "limit 'ten a minute'"),
        ({"limit": 10}, "limit: expected text"),
        ({"limit": FixedWindow("1/minute"), "shared": "api"}, "shared: expected none beside a FixedWindow"),
        ({"limit": FixedWindow("1/minute"), "max_keys": 9}, "max_keys: expected none beside a FixedWindow"),
        ({"key": "address"}, "key: expected a function"),
        ({"cost": 0}, "cost: expected a whole number"),
        ({"cost": "2"}, "cost: expected a whole number"),
        ({"exempt": "/health"}, "exempt: expected a list of paths"),
        ({"exempt": ["health"]}, "exempt: expected a list of paths"),
        ({"methods": "GET"}, "methods: expected a list"),
        ({"shared": "a/b"}, "name: expected up to 200"),
        ({"trusted_proxies": ["somewhere"]}, "trusted_proxies: expected"),
        ({"count_if": 401}, "count_if: expected a function"),
        ({"on_refused": "no"}, "on_refused: expected a function"),
        ({"messages": "many"}, "limit 'many'"),
        ({"headers": "yes"}, "headers: expected"),
        ({"max_keys": 0}, "max_keys: expected a whole number"),
    ],
)
def test_rejects_a_wrong_argument_at_start(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RateLimitMiddleware(home, **{"limit": "1/minute"} | options)


def test_limits_handshakes_of_websockets(clock):
    """A server that can answer a handshake sends the 429 itself."""
    client = client_of(clock=clock)
    for _ in range(2):
        with client.websocket_connect("/echo") as websocket:
            assert dict(websocket.extra_headers)[b"ratelimit-policy"] == b'"2/minute";q=2;w=60'
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/echo"):
        pass
    assert refused.value.status_code == 429
    assert refused.value.headers["retry-after"] == "60"


def test_closes_a_refused_websocket_of_a_server_without_the_extension(clock):
    async def handshake():
        sent = []
        limiter = FixedWindow("1/minute", clock=clock)
        limiter.hit("key")
        middleware = RateLimitMiddleware(None, limiter, key=lambda connection: "key")

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await middleware({"type": "websocket", "path": "/", "headers": []}, receive, send)
        return sent

    assert asyncio.run(handshake()) == [{"type": "websocket.close", "code": 1008}]


def test_limits_messages_of_websockets(clock):
    client = client_of(clock=clock, messages="fixed-window 3/minute anchor first")
    with client.websocket_connect("/echo") as websocket:
        for number in range(3):
            websocket.send_text(str(number))
            assert websocket.receive_text() == str(number)
        websocket.send_text("one too many")
        with pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_text()
    assert closed.value.code == 1008
    clock.advance(60)
    with client.websocket_connect("/echo") as websocket:
        websocket.send_text("again")
        assert websocket.receive_text() == "again"


def test_passes_lifespan_through():
    async def lifespan(scope, receive, send):
        assert scope["type"] == "lifespan"
        await send({"type": "lifespan.startup.complete"})

    async def start():
        sent = []

        async def send(message):
            sent.append(message["type"])

        await RateLimitMiddleware(lifespan, "1/minute")({"type": "lifespan"}, None, send)
        return sent

    assert asyncio.run(start()) == ["lifespan.startup.complete"]


def test_fastapi_limits_routes_of_routers_and_mounts(clock):
    """The default limits of slowapi 0.1.10 do not see the routes of an APIRouter."""
    router = fastapi.APIRouter()
    outer, mounted = fastapi.FastAPI(), fastapi.FastAPI()
    for path, owner in (("/routed", router), ("/mounted", mounted), ("/own", outer)):
        owner.get(path)(lambda: {"answer": 42})
    outer.include_router(router)
    outer.mount("/below", mounted)
    outer.add_middleware(RateLimitMiddleware, limit=LIMIT, key=lambda connection: connection.path, clock=clock)
    client = TestClient(outer, client=ADDRESS)
    for path in ("/routed", "/below/mounted", "/own"):
        assert statuses(client, *[path] * 3) == [200, 200, 429]


def litestar_app(clock):
    @litestar.get("/")
    async def index() -> str:
        return "hello"

    def limited(app):
        return RateLimitMiddleware(app, LIMIT, clock=clock)

    return litestar.Litestar([index], middleware=[limited])


def quart_app(clock):
    application = quart.Quart("application")

    @application.get("/")
    async def index():
        return "hello"

    application.asgi_app = RateLimitMiddleware(application.asgi_app, LIMIT, clock=clock)
    return application


@pytest.mark.parametrize("make", [litestar_app, quart_app])
def test_middleware_limits_other_frameworks(make, clock):
    async def requests():
        transport = httpx.ASGITransport(make(clock), client=ADDRESS)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get("/") for _ in range(3)]

    answers = asyncio.run(requests())
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert ["ratelimit" in answer.headers for answer in answers] == [True] * 3


def test_several_limits_are_one_decision(clock):
    limiter = parse("fixed-window 1/minute anchor first; fixed-window 3/hour anchor first", clock=clock)
    client = client_of(limit=limiter)
    assert statuses(client, "/", "/", "/", "/") == [200, 429, 429, 429]
    assert limiter.limiters[1].peek("192.0.2.1").remaining == 2


def test_exactly_the_limit_passes_over_four_workers(serve, example):
    exactly(100, serve("uvicorn", "starlette_app:app", example("starlette_app.py")))
