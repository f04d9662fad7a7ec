"""Adapters with counts on an engine, over several hosts and without their engine."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import httpx
import limits
import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from servers import EXAMPLES
from starlette.responses import PlainTextResponse
from valkey_servers import Server, valkey_server
from waiting import until

from ratelimit import FixedWindow, Table
from ratelimit._storage.memory import shared_folder
from ratelimit._storage.valkey.lease_file import lease_file
from ratelimit.contrib.asgi import RateLimitMiddleware
from ratelimit.contrib.fastapi import RateLimit
from ratelimit.contrib.flask import Limiter as FlaskLimiter
from ratelimit.contrib.limits import RateLimitStorage
from ratelimit.contrib.wsgi import RateLimitMiddleware as WSGIMiddleware


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "lease", "least", "most"),
    [
        pytest.param("20/day", "", 20, 20, id="direct"),
        pytest.param("fixed-window 20/day anchor first", "&lease=0.1", 20, 20, id="a lease without a price"),
        pytest.param("20/day", "&lease=0.1", 10, 19, id="a lease with a price"),
    ],
)
def test_two_hosts_with_four_workers_each_admit_exactly_the_limit(two_hosts, tmp_path, limit, lease, least, most):
    """With leases, what one host holds is refused by the other until it is given back.

    A bucket gets a little less back than was not spent, so only bounds of it are known.
    """
    engine = Server(valkey_server(), address="0.0.0.0" if two_hosts[0].is_separate else "127.0.0.1")
    try:
        servers = []
        for number, host in enumerate(two_hosts):
            url = f"valkey://{host.outside}:{engine.port}/0?name=hosts&timeout=20{lease}"
            folder = tmp_path / str(number)
            folder.mkdir()
            text = (EXAMPLES / "fastapi_app.py").read_text().replace('shared="example"', f'shared="{url}"')
            text = text.replace('RateLimit("20/day"', f'RateLimit("{limit}", key=lambda request: "all"')
            text = text.replace('limit="100/day"', 'limit="100000/day"')  # each round asks 160 times
            (folder / "app.py").write_text(text)
            servers.append(host.uvicorn("app:app", folder, 4))
        seen = []

        def ask():
            with ThreadPoolExecutor(2) as clients:
                for statuses in clients.map(lambda server: server.statuses(80, "/search"), servers):
                    seen.extend(statuses)
            return seen.count(200) >= least

        until(ask, lambda: seen.count(200))
        ask()
        assert sorted(set(seen)) == [200, 429]
        assert least <= seen.count(200) <= most
    finally:
        engine.kill()
        for host in two_hosts:
            remote = Table.valkey(f"valkey://{host.outside}:{engine.port}/0", name="hosts").remote
            (shared_folder() / lease_file(remote.name_of_leases(100_000)).path.name).unlink(missing_ok=True)


def asgi_app(limit, **options):
    return RateLimitMiddleware(PlainTextResponse("served"), limit, **options)


def fastapi_app(limit, **options):
    app = FastAPI(dependencies=[Depends(RateLimit(limit, **options)), Depends(RateLimit("1000/day"))])
    app.add_api_route("/", lambda: "served")
    return app


def wsgi_app(limit, **options):
    def served(environ, start):
        start("200 OK", [])
        return [b"served"]

    return WSGIMiddleware(served, limit, **options)


def flask_app(limit, **options):
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "served")
    FlaskLimiter(app, default=limit, **options)
    return app


APPS = [asgi_app, fastapi_app, wsgi_app, flask_app]


def statuses(app, count):
    """Return the statuses of requests to an application."""
    if app.__class__.__module__.startswith(("flask", "ratelimit.contrib.wsgi")):
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://test") as client:
            return [client.get("/").status_code for _ in range(count)]

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [(await client.get("/")).status_code for _ in range(count)]

    return asyncio.run(ask())


@pytest.mark.parametrize("make", APPS)
def test_adapters_count_on_an_engine(server, make):
    url = f"{server.url}?name=adapter&timeout=5"
    assert statuses(make("3/hour", shared=url), 2) == [200, 200]
    assert statuses(make("3/hour", shared=url), 2) == [200, 429], "another process counts with it"


@pytest.mark.parametrize("make", APPS)
def test_adapters_admit_and_log_without_their_engine(own_server, caplog, make):
    app = make("1/hour", shared=f"{own_server.url}?name=adapter")
    own_server.kill()
    with caplog.at_level(logging.ERROR, "ratelimit.contrib"):
        assert statuses(app, 2) == [200, 200]
    assert "its requests are admitted" in caplog.text


@pytest.mark.parametrize("make", APPS)
def test_a_refusal_without_an_engine_is_503(own_server, make):
    closed = make("1/hour", shared=f"{own_server.url}?name=closed", fail_open=False)
    denied = make("1/hour", shared=f"{own_server.url}?name=denied&unreachable=deny")
    own = make(FixedWindow("1/hour", table=Table.valkey(own_server.url, name="own")))
    own_server.kill()
    assert [statuses(app, 2) for app in (closed, denied, own)] == [[503, 503]] * 3


def test_many_coroutines_of_an_adapter_ask_at_once(server):
    limiter = FixedWindow("50/hour", table=Table.valkey(server.url, name="many", timeout=10))
    app = asgi_app(limiter)

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await asyncio.gather(*(client.get("/") for _ in range(60)))

    before = limiter.table.remote.engine.trips
    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers].count(200) == 50
    assert limiter.table.remote.engine.trips - before < 30


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shared": "valkey://localhost/0"}, r"expected the table's name, as in \?name=api"),
        ({"shared": "valkey://u:secret@localhost/0"}, r"got 'valkey://...@localhost/0'"),
        ({"shared": "valkey://localhost/0?name=a&timeout=soon"}, "timeout: expected a number, got 'soon'"),
        ({"shared": "valkey://localhost/0?name=a", "max_keys": 5}, "max_keys: expected none"),
        ({"shared": "valkey://localhost/0?name=a&unreachable=maybe"}, "unreachable: expected one of"),
    ],
)
def test_a_wrong_place_is_an_error(options, told):
    with pytest.raises(ValueError, match=told):
        asgi_app("1/hour", **options)


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window", "sliding-window-counter", "token-bucket"])
def test_the_storage_of_limits_counts_on_an_engine(server, strategy):
    def storage():
        return RateLimitStorage(f"ratelimit://{server.url}?name=limits&timeout=5")

    first, second = (limits.strategies.STRATEGIES[strategy](storage()) for _ in range(2))
    item = limits.parse("4/hour")
    assert first.hit(item, "ann")
    assert second.hit(item, "ann", cost=2)
    assert first.get_window_stats(item, "ann").remaining == 1
    assert first.test(item, "ann")
    assert second.hit(item, "ann")
    assert not first.hit(item, "ann")
