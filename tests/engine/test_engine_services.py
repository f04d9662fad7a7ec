"""The gateway and `ratelimit serve` with counts on an engine, over several hosts, without it and while it is held up."""

import asyncio
import subprocess
import sys

import httpx
import pytest
from ports import free_port, until_open
from waiting import PATIENCE, until, until_async

from ratelimit import Quota, Table, TableUnreachable
from ratelimit.gateway import Api, Configuration, Gateway, Mock, Route, Stage
from ratelimit.gateway.config.model import Throttle
from ratelimit.gateway.observability.meter import Meter
from ratelimit.gateway.observability.metrics import metrics_text
from ratelimit.gateway.throttling.chain import Chain
from ratelimit.gateway.throttling.counters import FOREVER_SECONDS
from ratelimit.gateway.throttling.levels import Level
from ratelimit.gateway.throttling.limiters import Limiters
from ratelimit.serve.config import Document
from ratelimit.serve.connections import Connections
from ratelimit.serve.outcome import Question, decide
from ratelimit.serve.protocol import Connection
from ratelimit.serve.site import Site
from ratelimit.serve.tables import Tables

LIMITS = """
limits: {{api: {{limit: 3/hour, fail_open: {fail_open}}}}}
domain: shop
descriptors: [{{key: user, rate_limit: {{unit: hour, requests_per_unit: 2}}}}]
"""


@pytest.fixture
def serve_limits(tmp_path):
    """Return a function that serves limits, as one of several hosts."""

    def serve(url, fail_open="true"):
        (tmp_path / "limits.yaml").write_text(LIMITS.format(fail_open=fail_open))
        document = Document.read(tmp_path / "limits.yaml")
        with document.located():
            return Site(document, Tables(url))

    yield serve
    for name in Table.names():
        if name.startswith("serve-test."):
            Table.shared(name).remove()


class Transport(asyncio.Transport):
    """Keeps what a connection writes."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent = b""

        self.is_reading = True

    def write(self, data):
        self.sent += data

    def close(self):
        pass

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True


def answer(site, path):
    """Return the answer of a service to a request."""

    async def ask():
        connection, transport = Connection(Connections(site, asyncio.get_running_loop())), Transport()
        connection.connection_made(transport)
        connection.data_received(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        await until_async(lambda: transport.sent)
        return transport.sent.decode()

    return asyncio.run(ask())


def checked(site):
    return int(answer(site, b"/check/api").split()[1])


def test_serve_counts_on_an_engine(server, serve_limits):
    url = f"{server.url}?name=serve-test&timeout=5"
    sites = [serve_limits(url), serve_limits(url)]
    assert [checked(sites[number % 2]) for number in range(4)] == [200, 200, 200, 429]
    asked = [decide(site.rules, "shop", [Question((("user", "ann"),))]).refused for site in sites * 2]
    assert asked == [False, False, True, True]
    assert checked(sites[1]) == 429
    text = answer(sites[1], b"/metrics")
    assert 'ratelimit_serve_engine_remembered_total{table="api.1"} 1' in text
    assert 'ratelimit_serve_engine_is_open{table="api.1"} 0' in text


@pytest.mark.parametrize(
    ("fail_open", "query", "status"), [("true", "", 200), ("false", "", 503), ("true", "&unreachable=deny", 503)]
)
def test_serve_without_its_engine(own_server, serve_limits, fail_open, query, status):
    site = serve_limits(f"{own_server.url}?name=serve-test{query}", fail_open)
    own_server.kill()
    assert [checked(site) for _ in range(2)] == [status] * 2


def request_of(path, *fields):
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def test_serve_answers_others_while_its_engine_is_held_up(own_server, serve_limits):
    site = serve_limits(f"{own_server.url}?name=serve-test&timeout=60")
    assert checked(site) == 200

    async def ask():
        connections = Connections(site, asyncio.get_running_loop())

        def connected():
            connection, transport = Connection(connections), Transport()
            connection.connection_made(transport)
            return connection, transport

        waiting, sent = connected()
        other, sent_to_other = connected()
        lost, sent_to_lost = connected()
        own_server.hold()
        try:
            waiting.data_received(request_of("/check/api", "Content-Length: 2") + b"a")
            waiting.data_received(b"b" + request_of("/health"))
            lost.data_received(request_of("/check/api"))
            other.data_received(request_of("/health"))
            assert sent_to_other.sent.startswith(b"HTTP/1.1 200"), "while the others wait"
            waiting.look(1e9)
            waiting.close_if_idle()
            assert (sent.sent, sent.is_reading) == (b"", False)
            assert waiting.eof_received(), "an answer is to come"
            lost.connection_lost(None)
        finally:
            own_server.go_on()
        await until_async(lambda: len(asyncio.all_tasks()) == 1)
        assert sent.sent.count(b"HTTP/1.1 200") == 2
        assert sent.sent.lower().index(b"\r\nratelimit") < sent.sent.index(b"\r\n\r\nok"), "in their order"
        assert sent_to_lost.sent == b""

    asyncio.run(ask())


@pytest.fixture
def limiters():
    """Return a function that makes the tables of a gateway, as one of several hosts."""
    yield Limiters
    for name in Table.names():
        if name.startswith("gateway-test."):
            Table.shared(name).remove()


def levels():
    return [Level.of("method", "GET /pets", Throttle(0.001, 3)), Level("quota", "ann", Quota(9, FOREVER_SECONDS))]


def test_the_gateway_counts_on_an_engine(server, limiters):
    url = f"{server.url}?name=gateway-test&timeout=5"
    hosts = [limiters(url), limiters(url)]
    chains = [Chain(host, levels(), used="used/ann") for host in hosts]
    trips = hosts[0].of["method"].table.remote.engine.trips
    rulings = [chains[number % 2].hit() for number in range(4)]
    assert [ruling.allowed for ruling in rulings] == [True] * 3 + [False]
    assert (rulings[3].level, rulings[3].fallback) == ("method", False)
    assert hosts[1].of["method"].table.remote.engine.trips - trips == 7, "one for all levels, and one for the usage"
    assert hosts[1].counters.read("used/ann") == 3
    assert hosts[1].quotas.read("ann") == 3
    meter = Meter(hosts[0], "shop", "prod", "", "GET /pets")
    meter.record("admitted", 200, 0)
    assert b"ratelimit_gateway_engine_round_trips_total" in metrics_text([meter], {}, {}, hosts[0])


def test_the_gateway_without_its_engine(own_server, limiters):
    host = limiters(f"{own_server.url}?name=gateway-test")
    denying = limiters(f"{own_server.url}?name=gateway-test&unreachable=deny")
    own_server.kill()
    failed = []
    ruling = Chain(host, levels()).hit(lambda level, error: failed.append(level), True)
    assert (ruling.allowed, failed) == (True, ["method", "quota"])
    with pytest.raises(TableUnreachable):
        Chain(host, levels()).hit()
    ruling = Chain(denying, levels()).hit()
    assert (ruling.allowed, ruling.fallback) == (False, True)


def test_the_gateway_answers_others_while_its_engine_is_held_up(own_server, limiters):
    api = Api(
        routes={"GET /pets": Route(mock=Mock(body="pets"))},
        stages={"$default": Stage(route_throttles={"GET /pets": Throttle(0.001, 3)})},
    )
    gateway = Gateway(Configuration({"shop": api}, tables=f"{own_server.url}?name=gateway-test&timeout=60"))

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://test") as client:
            assert (await client.get("/pets")).status_code == 200
            own_server.hold()
            try:
                limited = [asyncio.ensure_future(client.get("/pets")) for _ in range(3)]
                assert (await client.get("/nothing")).status_code == 404
                assert not any(one.done() for one in limited)
            finally:
                own_server.go_on()
            return sorted([(await one).status_code for one in limited])

    assert asyncio.run(ask()) == [200, 200, 429]


@pytest.mark.slow
def test_gateways_with_workers_admit_the_limit_and_answer_503_without_their_engine(own_server, tmp_path):
    """Two gateways of two workers each, as on two hosts."""
    text = f"""
tables: {own_server.url}?name=gateway-test&unreachable=deny
apis: {{shop: {{type: rest, resources: {{/pets: {{GET: {{mock: {{body: pets}}}}}}}},
  stages: {{prod: {{throttle: {{rate: 0.001, burst: 5}}}}}}}}}}
"""
    (tmp_path / "gateway.yaml").write_text(text)
    gateways, urls = [], []
    try:
        for _ in range(2):
            port = free_port()
            command = ["gateway", str(tmp_path / "gateway.yaml"), "--workers", "2", "--port", str(port)]
            gateways.append(subprocess.Popen([sys.executable, "-m", "ratelimit", *command], stderr=subprocess.DEVNULL))
            urls.append(f"http://127.0.0.1:{port}/prod/pets")
            until_open(port)
        seen = [httpx.get(urls[number % 2]).status_code for number in range(16)]
        assert sorted(seen) == [200] * 5 + [429] * 11
        own_server.kill()
        until(lambda: httpx.get(urls[0]).status_code == 503)
    finally:
        for gateway in gateways:
            gateway.terminate()
        for gateway in gateways:
            gateway.wait(timeout=PATIENCE)
        for name in Table.names():
            if name.startswith("gateway-test."):
                Table.shared(name).remove()
