"""A storage for limits: real limits, Flask-Limiter on gunicorn with four workers, and slowapi."""

import asyncio
import inspect

import flask
import limits
import limits.aio
import pytest
from limits.aio.storage import Storage as AsyncStorage
from limits.storage import storage_from_string
from servers import exactly
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ratelimit import CorruptTable, Table, TableFull
from ratelimit.contrib import flask_limiter, slowapi
from ratelimit.contrib.limits import Counters, default_uri

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter", "token-bucket", "leaky-bucket"]


class Strategy:
    """A strategy of limits, or of limits.aio with its coroutines run to their ends."""

    def __init__(self, name, storage):
        self.strategies = limits.aio.strategies if isinstance(storage, AsyncStorage) else limits.strategies
        self.decides = self.strategies.STRATEGIES[name](storage)

    def __getattr__(self, name):
        method = getattr(self.decides, name)
        return lambda *args, **options: ended(method(*args, **options))


def ended(value):
    async def waited():
        return await value

    return asyncio.run(waited()) if inspect.isawaitable(value) else value


@pytest.fixture(
    params=["ratelimit://", "ratelimit://shared/{name}", "ratelimit://{folder}/counts", "async+ratelimit://"]
)
def uri(request, shared_name, tmp_path):
    return request.param.format(name=shared_name, folder=tmp_path)


@pytest.fixture(params=STRATEGIES)
def strategy(request, uri, clock):
    return Strategy(request.param, storage_from_string(uri, clock=clock))


@pytest.mark.parametrize("item", ["5/minute", "5 per 2 minutes", "200000/hour"])
def test_admits_exactly_the_limit(strategy, item):
    """A high limit is above that of a window that starts with its first request, where a counter would end too early."""
    item = limits.parse(item)
    if item.amount > 43_690 and strategy.decides.__class__.__name__.startswith("MovingWindow"):
        with pytest.raises(ValueError, match="limit"):
            strategy.hit(item, "key", cost=1)
        return
    fits = item.amount + (1 if "Leaky" in type(strategy.decides).__name__ else 0)  # one is served, the others wait
    chunk = max(1, item.amount // 5)
    admitted = 0
    while strategy.hit(item, "key", cost=chunk):
        admitted += chunk
    while strategy.hit(item, "key"):
        admitted += 1
    assert admitted == fits
    assert not strategy.test(item, "key")
    assert strategy.get_window_stats(item, "key").remaining == 0
    assert strategy.test(item, "other")


def test_admits_again_after_the_reset(strategy, clock):
    item = limits.parse("3/minute")
    while strategy.hit(item, "key"):
        clock.advance(1)
    reset = strategy.get_window_stats(item, "key").reset_time
    if "Sliding" in type(strategy.decides).__name__:  # limits itself reports its reset by the time of the system
        clock.advance(120)
    else:
        wait = reset - clock.now_ns() / 10**9
        assert 0 < wait <= 60
        clock.advance(wait + 0.001)
    assert strategy.hit(item, "key")


def test_a_refused_request_does_not_count(strategy, clock):
    item = limits.parse("3/minute")
    assert strategy.hit(item, "key", cost=2)
    before = strategy.get_window_stats(item, "key").remaining
    assert not strategy.hit(item, "key", cost=before + 1)
    assert strategy.get_window_stats(item, "key").remaining == before


def test_clear_and_reset(strategy):
    item = limits.parse("1/minute")
    for forget in (lambda: strategy.clear(item, "key"), lambda: ended(strategy.decides.storage.reset())):
        while strategy.hit(item, "key"):
            pass
        forget()
        assert strategy.hit(item, "key")


def test_a_limit_of_zero_admits_nothing(strategy):
    item = limits.RateLimitItemPerMinute(0)
    assert not strategy.hit(item, "key")
    assert not strategy.test(item, "key")
    assert strategy.get_window_stats(item, "key").remaining == 0


def test_rounds_a_fraction_of_a_request_up(strategy):
    item = limits.parse("8/minute")
    assert strategy.hit(item, "key", cost=7.5)
    assert strategy.get_window_stats(item, "key").remaining <= 1


def test_moving_window_begins_with_the_oldest_request(clock):
    strategy = Strategy("moving-window", storage_from_string("ratelimit://", clock=clock))
    item = limits.parse("3/minute")
    begin = clock.now_ns() / 10**9
    for _ in range(3):
        strategy.hit(item, "key")
        clock.advance(10)
    assert strategy.get_window_stats(item, "key") == (pytest.approx(begin + 60), 0)


def test_sliding_window_weighs_the_previous_window(clock):
    storage = storage_from_string("ratelimit://", clock=clock)
    strategy = Strategy("sliding-window-counter", storage)
    item = limits.parse("10/minute")
    clock.advance(60 - clock.now_ns() // 10**9 % 60)
    for _ in range(6):
        strategy.hit(item, "key")
    clock.advance(75)
    strategy.hit(item, "key")
    assert storage.get_sliding_window(item.key_for("key"), 60) == (6, 45.0, 1, 105.0)


def test_keys_without_a_limit_count(clock):
    storage = storage_from_string("ratelimit://", clock=clock)
    assert [storage.incr("key", 60, amount) for amount in (1, 200_000)] == [1, 200_001]
    assert storage.get("key") == 200_001
    assert storage.get_expiry("key") > clock.now_ns() / 10**9
    assert storage.get("other") == 0
    assert storage.check()


def test_storages_of_one_name_share_their_counts(shared_name):
    item = limits.parse("3/hour")
    strategies = [Strategy("fixed-window", storage_from_string(f"ratelimit://shared/{shared_name}")) for _ in range(2)]
    assert [strategies[number % 2].hit(item, "key") for number in range(5)] == [True] * 3 + [False] * 2


def test_errors_of_tables_are_storage_errors(tmp_path, clock):
    (tmp_path / "counts.fixed.60").write_bytes(b"not a table" * 1_000)
    storage = storage_from_string(f"ratelimit://{tmp_path}/counts", wrap_exceptions=True)
    assert issubclass(CorruptTable, storage.base_exceptions)
    with pytest.raises(limits.errors.StorageError):
        storage.incr("key/1/1/minute", 60)
    full = storage_from_string("ratelimit://", max_keys=1, clock=clock)
    with pytest.raises(TableFull):
        for number in range(1_000):
            full.incr(f"{number}/1/1/minute", 60)


@pytest.mark.parametrize(
    "uri", ["ratelimit://host", "ratelimit://shared/", "ratelimit://shared/a/b", "ratelimit://?a=b"]
)
def test_rejects_another_uri(uri):
    with pytest.raises(ValueError, match="storage_uri: expected ratelimit://"):
        storage_from_string(uri)


def test_buckets_reject_another_storage():
    with pytest.raises(ValueError, match="expected a storage ratelimit://"):
        limits.strategies.STRATEGIES["token-bucket"](limits.storage.MemoryStorage()).hit(
            limits.parse("1/minute"), "key"
        )


def test_default_storages_of_two_applications_differ(tmp_path):
    assert default_uri(__name__) != default_uri("pytest")
    assert default_uri(__name__) == default_uri(__name__)
    assert Counters(default_uri(__name__))._name.startswith("test_limits-")


@pytest.fixture
def own_tables():
    """Remove the tables that this module's default storage made."""
    name = default_uri(__name__).rpartition("/")[2]
    yield name
    for table in Table.names():
        if table.startswith(name):
            Table.shared(table).remove()


def test_flask_limiter_shares_its_limits_by_default(own_tables):
    """Two applications of one module are like two workers."""
    clients = []
    for _ in range(2):
        app = flask.Flask(__name__)
        flask_limiter.Limiter(lambda: "key", app=app, default_limits=["3/day"], headers_enabled=True)
        app.get("/")(lambda: "hello")
        clients.append(app.test_client())
    answers = [clients[number % 2].get("/") for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert answers[1].headers["X-RateLimit-Remaining"] == "1"
    assert any(name.startswith(own_tables) for name in Table.names())


@pytest.mark.parametrize("strategy", STRATEGIES[:4])
def test_flask_limiter_under_each_strategy(strategy, clock):
    app = flask.Flask(__name__)
    app.config["RATELIMIT_STORAGE_URI"] = "ratelimit://"
    limiter = flask_limiter.Limiter(lambda: "key", app=app, strategy=strategy, storage_options={"clock": clock})
    app.get("/")(limiter.limit("2/minute")(lambda: "hello"))
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
    clock.advance(120)
    assert client.get("/").status_code == 200


def test_slowapi_shares_its_limits_by_default(own_tables):
    clients = []
    for _ in range(2):
        limiter = slowapi.Limiter(key_func=lambda request: "key", headers_enabled=True)

        def home(request: Request):
            return PlainTextResponse("hello")

        app = Starlette(routes=[Route("/", limiter.limit("3/day")(home))])
        app.state.limiter = limiter
        app.add_exception_handler(slowapi.RateLimitExceeded, slowapi._rate_limit_exceeded_handler)
        clients.append(TestClient(app))
    answers = [clients[number % 2].get("/") for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert answers[0].headers["X-RateLimit-Reset"].isdigit()
    assert any(name.startswith(own_tables) for name in Table.names())


def test_exactly_the_limit_passes_over_four_workers(serve, example):
    exactly(100, serve("gunicorn", "flask_limiter_app:app", example("flask_limiter_app.py")))
