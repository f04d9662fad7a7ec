"""Limits as dependencies of real FastAPI, in process. test_demo.py has it on uvicorn with four workers."""

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from ratelimit import FixedWindow, RateLimitError
from ratelimit.contrib.fastapi import RESPONSES, RateLimit, RateLimiter

ADDRESS = ("192.0.2.1", 4711)
LIMIT = "fixed-window 2/minute anchor first"


def client_of(*dependencies, **options):
    """Return a client of an application with one route that has these dependencies."""
    app = FastAPI(**options)

    @app.get("/", dependencies=[Depends(dependency) for dependency in dependencies], responses=RESPONSES)
    def index():
        return {"answer": 42}

    return TestClient(app, client=ADDRESS, raise_server_exceptions=False)


def statuses(client, *paths, **options):
    return [client.get(path, **options).status_code for path in paths]


def user(request):
    return request.query_params["user"]


def test_limits_a_route(clock):
    client = client_of(RateLimit(LIMIT, clock=clock))
    answer = client.get("/")
    assert (answer.status_code, answer.json()) == (200, {"answer": 42})
    assert answer.headers["ratelimit-policy"] == '"2/minute";q=2;w=60'
    assert answer.headers["ratelimit"].startswith('"2/minute";r=1')
    assert client.get("/").status_code == 200
    clock.advance(15)
    refused = client.get("/")
    assert (refused.status_code, refused.json()) == (429, {"detail": "Too Many Requests"})
    assert refused.headers["retry-after"] == "45"


@pytest.mark.parametrize("place", ["application", "router", "route", "included router"])
def test_limits_routes_of_routers(clock, place):
    """The default limits of slowapi 0.1.10 do not limit the routes of an APIRouter."""
    limits = [Depends(RateLimit(LIMIT, clock=clock))]

    def at(name):
        return limits if place == name else []

    app = FastAPI(dependencies=at("application"))
    router = APIRouter(dependencies=at("router"))
    router.get("/routed", dependencies=at("route"))(lambda: "hello")
    app.include_router(router, prefix="/api", dependencies=at("included router"))
    assert statuses(TestClient(app, client=ADDRESS), *["/api/routed"] * 3) == [200, 200, 429]


def test_describes_the_refusal_in_openapi(clock):
    answers = client_of(RateLimit(LIMIT, clock=clock)).get("/openapi.json").json()["paths"]["/"]["get"]
    assert answers["responses"]["429"]["headers"]["Retry-After"]["schema"] == {"type": "integer"}
    assert "parameters" not in answers


def test_routes_with_the_same_object_share_its_limit(clock):
    limit = RateLimit(LIMIT, clock=clock)
    app = FastAPI()
    for path in ("/a", "/b"):
        app.get(path, dependencies=[Depends(limit)])(lambda: "hello")
    app.get("/c", dependencies=[Depends(RateLimit(LIMIT, clock=clock))])(lambda: "hello")
    assert statuses(TestClient(app), "/a", "/b", "/a", "/b", "/c") == [200, 200, 429, 429, 200]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_functions_of_the_request(clock, asynchronous):
    tiers = {"free": LIMIT, "staff": None}

    def limit(request):
        return tiers[request.headers["tier"]]

    async def limit_later(request):
        return limit(request)

    async def user_later(request):
        return user(request)

    functions = (limit_later, user_later) if asynchronous else (limit, user)
    client = client_of(RateLimit(functions[0], key=functions[1], clock=clock))
    for name in ("ann", "bob"):
        assert statuses(client, *[f"/?user={name}"] * 3, headers={"tier": "free"}) == [200, 200, 429]
    assert statuses(client, *["/?user=ann"] * 3, headers={"tier": "staff"}) == [200] * 3


def test_several_on_a_route_are_one_decision(clock):
    """A request that one limit refuses spends nothing at the others, whatever their order."""
    address = FixedWindow("3/minute", anchor="first", clock=clock)
    users = FixedWindow("1/minute", anchor="first", clock=clock)
    client = client_of(RateLimit(address), RateLimit(users, key=user))
    answers = [client.get(f"/?user={name}") for name in ("ann", "ann", "ann", "bob", "eve", "kim")]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200, 200, 429]
    assert users.peek("kim").remaining == 1
    assert answers[0].headers["ratelimit-policy"] == '"3/minute";q=3;w=60, "1/minute";q=1;w=60'
    assert answers[1].headers["ratelimit"].startswith('"1/minute";r=0')


def test_limits_of_the_application_and_of_a_route_are_one_decision(clock):
    whole = FixedWindow("5/minute", clock=clock)
    app = FastAPI(dependencies=[Depends(RateLimit(whole))])
    app.get("/", dependencies=[Depends(RateLimit("fixed-window 1/minute", clock=clock))])(lambda: "hello")
    assert statuses(TestClient(app, client=ADDRESS), "/", "/", "/") == [200, 429, 429]
    assert whole.peek("192.0.2.1").remaining == 4


def test_a_limit_after_another_dependency_may_use_what_it_set(clock):
    """An address is limited before the login, and a user after it."""
    logins = FixedWindow("5/minute", clock=clock)

    def login(request: Request):
        if "user" not in request.query_params:
            raise HTTPException(401)
        request.state.user = request.query_params["user"]

    by_user = RateLimit("fixed-window 1/minute", key=lambda request: request.state.user, clock=clock)
    client = client_of(RateLimit(logins), login, by_user)
    assert statuses(client, "/?user=ann", "/?user=ann", "/", "/", "/?user=bob") == [200, 429, 401, 401, 200]
    assert statuses(client, "/?user=kim") == [429]


def test_a_limit_that_is_overridden_in_tests_counts_nothing(clock):
    limiter = FixedWindow("5/minute", clock=clock)
    overridden = RateLimit(limiter)
    client = client_of(overridden, RateLimit(LIMIT, clock=clock))
    client.app.dependency_overrides[overridden] = lambda: None
    assert statuses(client, "/", "/", "/") == [200, 200, 429]
    assert limiter.peek("192.0.2.1").remaining == 5


def test_shadow_mode_refuses_nothing(clock, caplog):
    limit = RateLimit("fixed-window 1/minute", shadow=True, clock=clock)
    client = client_of(RateLimit("fixed-window 3/minute", clock=clock), limit)
    assert statuses(client, *"/" * 4) == [200, 200, 200, 429]
    assert sum("shadow mode" in record.getMessage() for record in caplog.records) == 3


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
def test_failing_limiter_admits_or_answers_503_by_fail_open(fail_open, status, several):
    class BrokenClock:
        def now_ns(self):
            raise RateLimitError("the clock is broken")

    class Clock(BrokenClock):
        def now_ns(self):
            return super().now_ns() if broken else 10**18

    broken, clock = False, Clock()
    limits = [RateLimit(LIMIT, clock=clock, fail_open=fail_open) for _ in range(2 if several else 1)]
    client = client_of(*limits)
    broken = True
    assert statuses(client, "/", "/", "/") == [status] * 3


def test_an_error_of_a_key_function_is_an_error_of_the_application(clock):
    limiter = FixedWindow("5/minute", clock=clock)
    client = client_of(RateLimit(limiter), RateLimit(LIMIT, key=user, clock=clock))
    assert statuses(client, "/", "/") == [500, 500]
    assert limiter.peek("192.0.2.1").remaining == 5


def test_clear_forgets_all(clock):
    limit = RateLimit(LIMIT, clock=clock)
    client = client_of(limit)
    assert statuses(client, "/", "/", "/") == [200, 200, 429]
    limit.clear()
    assert statuses(client, "/") == [200]


def test_limits_handshakes_of_websockets(clock):
    app = FastAPI()

    @app.websocket("/echo", dependencies=[Depends(RateLimit(LIMIT, clock=clock))])
    async def echo(websocket: WebSocket):
        await websocket.accept()
        await websocket.close()

    client = TestClient(app, client=ADDRESS)
    for _ in range(2):
        with client.websocket_connect("/echo"):
            pass
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/echo"):
        pass
    assert refused.value.status_code == 429
    assert refused.value.headers["retry-after"] == "60"


def test_rate_limiter_of_fastapi_limiter(clock):
    """Its key is the address and the path, and its period starts with the first request."""
    limit = RateLimiter(times=2, seconds=5, clock=clock)
    app = FastAPI()
    for path in ("/a", "/b"):
        app.get(path, dependencies=[Depends(limit)])(lambda: "hello")
    client = TestClient(app, client=ADDRESS)
    clock.advance(3)
    assert statuses(client, "/a", "/a", "/a", "/b") == [200, 200, 429, 200]
    clock.advance(4.5)
    assert client.get("/a").headers["retry-after"] == "1"
    clock.advance(0.5)
    assert statuses(client, "/a") == [200]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_rate_limiter_with_an_identifier_and_a_callback(clock, asynchronous):
    async def identifier(request):
        return user(request)

    def refuse(request: Request, response: Response, milliseconds: int):
        raise HTTPException(420, f"{milliseconds} ms")

    async def refuse_later(request, response, milliseconds):
        refuse(request, response, milliseconds)

    callback = refuse_later if asynchronous else refuse
    client = client_of(RateLimiter(milliseconds=1_500, identifier=identifier, callback=callback, clock=clock))
    assert client.get("/?user=ann").status_code == 200
    clock.advance(0.25)
    refused = client.get("/?user=ann")
    assert (refused.status_code, refused.json()) == (420, {"detail": "1250 ms"})
    assert client.get("/?user=bob").status_code == 200


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RateLimit("ten"), "limit 'ten'"),
        (lambda: RateLimit(5), "limit: expected text"),
        (lambda: RateLimit("1/minute", key="user"), "key: expected a function"),
        (lambda: RateLimit("1/minute", headers="all"), "headers: expected"),
        (lambda: RateLimiter(times=2), "missing required period"),
        (lambda: RateLimiter(times=-1, seconds=1), "limit: expected a whole number"),
        (lambda: RateLimiter(seconds=1, callback=5), "callback: expected a function"),
    ],
)
def test_rejects_a_wrong_argument_at_start(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
