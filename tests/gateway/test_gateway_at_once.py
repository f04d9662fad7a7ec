"""Requests that the gateway answers by itself: at once, without a task, and as any other."""

import asyncio
import logging
import random

import jwt
import pytest
from gateway_harness import KEY
from gateway_looks import ask, rsa_key, write_keys

from ratelimit.gateway import (
    Api,
    Authorizer,
    Configuration,
    Cors,
    Gateway,
    Jwt,
    Mock,
    Plan,
    Route,
    Stage,
    Throttle,
    pipeline,
)
from ratelimit.gateway.access.authorizers import Identity
from ratelimit.gateway.http.request import CURRENT, WHOLE
from ratelimit.testing import ManualClock

HOST = (b"host", b"shop.example")
TOKEN = jwt.encode({"iss": "https://me", "exp": 4e9, "sub": "ann"}, rsa_key(), "RS256", {"kid": "one"})


def allow(event):
    return event["headers"]["authorization"] == "yes"


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a gateway; all have the same routes."""
    write_keys(tmp_path / "keys.json", rsa_key())

    def made(clock=None):
        mock = Mock(body="hi")
        routes = {
            "GET /mock": Route(mock=mock),
            "GET /variable/{id}": Route(mock=Mock(body="$request.path.id")),
            "GET /key": Route(mock=mock, api_key_required=True),
            "GET /token": Route(mock=mock, authorizer="tokens"),
            "GET /claims": Route(mock=Mock(body="$context.authorizer.claims.sub"), authorizer="tokens"),
            "GET /asked": Route(mock=mock, authorizer="asked"),
            "GET /function": Route(function=lambda event: "hi"),
            "GET /inside": Route(mock=mock, allow=["10.0.0.0/8"]),
        }
        authorizers = {
            "tokens": Authorizer(jwt=Jwt("https://me", keys=str(tmp_path / "keys.json"))),
            "asked": Authorizer(allow),
        }
        stage = Stage(throttle=Throttle(5, 9), route_throttles={"*": Throttle(2, 3)})
        api = Api(
            routes=routes, stages={"$default": stage}, authorizers=authorizers, cors=Cors(["https://page.example"])
        )
        plan = Plan(keys=["ann"], stages=["shop/$default"], throttle=Throttle(1, 2))
        return Gateway(Configuration({"shop": api}, api_keys={"ann": KEY}, plans={"basic": plan}), clock)

    return made


REQUESTS = {
    "a constant": ("/mock", ()),
    "no route": ("/nothing", ()),
    "a wrong path": ("/a//b", ()),
    "from a page": ("/mock", ((b"origin", "https://page.example"),)),
    "a key": ("/key", ((b"x-api-key", KEY),)),
    "no key": ("/key", ()),
    "a token": ("/token", ((b"authorization", TOKEN),)),
    "claims of a token": ("/claims", ((b"authorization", TOKEN),)),
    "no token": ("/token", ()),
    "a wrong token": ("/token", ((b"authorization", "no"),)),
    "allowed": ("/asked", ((b"authorization", "yes"),)),
    "denied": ("/asked", ((b"authorization", "no"),)),
    "an address": ("/inside", ()),
    "a variable": ("/variable/7", ()),
    "a function": ("/function", ()),
}


def scope_of(path, headers, send_whole):
    return {
        "type": "http", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [HOST, *((name, value.encode()) for name, value in headers)], "client": ("192.0.2.1", 1),
        "extensions": {WHOLE: send_whole},
    }  # fmt: skip


def start(gateway, path, headers):
    """Return the answer to a request, and whether it came at once."""
    written = []

    def send_whole(*answer):
        written.append(answer)
        return True

    async def receive():
        return {"type": "http.request", "body": b""}

    async def run():
        rest = gateway.start(scope_of(path, headers, send_whole), receive, None)
        if rest is not None:
            await rest
        return rest is None

    at_once = asyncio.run(run())
    ((status, fields, body),) = written
    return (status, {name: value for name, value in fields if name != b"x-amzn-requestid"}, body), at_once


@pytest.mark.parametrize(
    ("name", "at_once"),
    [
        ("a constant", [True, True, True, True]),
        ("no route", [True, True]),
        ("a wrong path", [True, True]),
        ("a key", [True, True, True]),
        ("no key", [True, True]),
        ("a token", [False, True, True, True]),
        ("a wrong token", [False, False]),
        ("allowed", [False, True, True, True]),
        ("denied", [False, False]),
        ("a variable", [False, False, False, True]),
        ("a function", [False, False, False, True]),
    ],
)
def test_requests_that_wait_for_nothing_are_answered_at_once(make, name, at_once):
    """A request that is refused is, also where its route has a function; a token is once it is known."""
    gateway, (path, headers) = make(), REQUESTS[name]
    assert [start(gateway, path, headers)[1] for _ in at_once] == at_once


@pytest.mark.parametrize(
    ("name", "threads"),
    [
        ("an address", 0),
        ("no key", 0),
        ("no route", 0),
        ("a constant", 1),
        ("a key", 1),
        ("a token", 1),
        ("denied", 1),
    ],
)
def test_an_engine_is_waited_for_only_where_it_decides(make, monkeypatch, name, threads):
    """While it is away, the threads that ask it are all in use: other requests are answered all the same."""
    gateway, (path, headers), used = make(), REQUESTS[name], []
    gateway.site.asks = True  # as if an engine kept the tables
    to_thread = asyncio.to_thread

    async def counting(function, *arguments):
        used.append(function)
        return await to_thread(function, *arguments)

    monkeypatch.setattr(pipeline.asyncio, "to_thread", counting)
    start(gateway, path, headers)
    assert len([one for one in used if one.__module__ == pipeline.__name__]) == threads


@pytest.mark.parametrize("seed", range(20))
def test_answers_are_those_of_any_other_server(make, seed):
    """The same requests to a server without the gateway's extensions, where each has a task, at the same times."""
    chance, clock = random.Random(seed), ManualClock()
    ours, other = make(clock), make(clock)
    for name in chance.choices(list(REQUESTS), k=60):
        path, headers = REQUESTS[name]
        answer, _ = start(ours, path, headers)
        assert answer == asyncio.run(ask(other, path, headers=headers))
        clock.advance(chance.choice([0, 0, 0.1, 0.6]))


@pytest.mark.parametrize(
    ("name", "statuses"),
    [("a wrong token", [401] * 3 + [429]), ("no token", [401] * 3 + [429]), ("denied", [403] * 3 + [429])],
)
def test_a_client_without_authorization_spends_the_levels_of_all(make, name, statuses):
    """Whether the answer of the authorizer is remembered or not."""
    gateway, (path, headers) = make(ManualClock()), REQUESTS[name]
    assert [start(gateway, path, headers)[0][0] for _ in statuses] == statuses


def test_a_request_over_its_limit_is_not_identified(make, monkeypatch):
    """However long its credentials are, it costs no more than another one."""
    gateway, (path, headers), count = make(ManualClock()), REQUESTS["denied"], 0
    identify = Identity.of

    def counting(self, exchange):
        nonlocal count
        count += 1
        return identify(self, exchange)

    monkeypatch.setattr(Identity, "of", counting)
    assert [start(gateway, path, headers)[0][0] for _ in range(3)] == [403] * 3
    assert count > 0
    count = 0
    assert [start(gateway, path, headers)[0][0] for _ in range(9)] == [429] * 9
    assert count == 0


def test_lines_of_the_log_name_a_request_that_is_answered_at_once():
    mock = Api(routes={"GET /": Route(mock=Mock())}, stages={"$default": Stage()})
    gateway, named, written = Gateway(Configuration({"a": mock}, access_log="/dev/full")), [], []
    handler = logging.Handler()
    handler.emit = lambda line: named.append(CURRENT.get().id)
    log = logging.getLogger("ratelimit.gateway")
    log.addHandler(handler)
    try:
        assert gateway.start(scope_of("/", (), lambda *answer: written.append(answer) or True), None, None) is None
    finally:
        log.removeHandler(handler)
    ((_, fields, _),) = written
    assert [name.encode() for name in named] == [dict(fields)[b"x-amzn-requestid"]]
    assert CURRENT.get(None) is None


def test_a_request_whose_answer_cannot_be_sent_is_counted(make):
    def fail(*answer):
        raise OSError("no")

    gateway = make()
    with pytest.raises(OSError, match="no"):
        gateway.start(scope_of("/mock", (), fail), None, None)
    meter = gateway.site.apis["shop"].variants["$default", False].routes["GET /mock"].meter
    assert meter.totals()["admitted"] == 1
