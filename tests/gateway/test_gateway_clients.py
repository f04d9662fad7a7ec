"""Limits by client: a bucket for each address, header, API key, claim of a token or variable of a path."""

import asyncio

import pytest
from gateway_harness import KEY, App
from gateway_looks import SERVED, ask, configured, talking

from ratelimit.gateway import (
    Chain,
    ClientThrottle,
    Configuration,
    ConfigurationError,
    Gateway,
    Level,
    Limiters,
    Throttle,
)
from ratelimit.gateway.throttling.by_client import ByClient
from ratelimit.testing import ManualClock

ONE = {"rate": 1e-6, "burst": 1}  # one request
CLOSED = {"rate": 0, "burst": 0, "shadow": True}
API = ("apis", "a")
STAGE = (*API, "stages", "$default")


class Scope(dict):
    """A request of given variables."""

    def lookup(self, name):
        return self.get(name)


def gateway_of(*changes, **top):
    return Gateway(Configuration(**{**configured(*changes), **top}), clock=ManualClock())


def statuses(gateway, *requests):
    async def all_of_them():
        return [(await ask(gateway, **request))[0] for request in requests]

    return asyncio.run(all_of_them())


PETS = ((API, {"routes": {"GET /pets/{id}": {"mock": {}}}}),)


def by_token(event):
    return {"isAuthorized": True, "context": {"claims": {"sub": event["headers"]["authorization"]}}}


KEYED = (
    ((), {"api_keys": {"ann": KEY + "a", "ben": KEY + "b"}}),
    ((*API, "routes", "GET /"), {"api_key_required": True}),
    (("plans", "p"), {"keys": ["ann", "ben"], "stages": ["a/$default"]}),
)
TOKENS = (
    (API, {"authorizers": {"own": {"function": by_token}}}),
    ((*API, "routes", "GET /"), {"authorizer": "own"}),
)
APART = {  # by, the configuration, and two clients
    "address": ("address", (), {"client": "192.0.2.1"}, {"client": "192.0.2.2"}),
    "network": ("address/24", (), {"client": "192.0.2.1"}, {"client": "192.0.3.1"}),
    "IPv6": ("address", (), {"client": "2001:db8::1"}, {"client": "2001:db8:0:1::1"}),
    "network by IPv6": ("address/32/48", (), {"client": "2001:db8:0:1::1"}, {"client": "2001:db8:1::1"}),
    "header": ("$request.header.x-a", (), {"headers": [(b"x-a", "1")]}, {"headers": [(b"x-a", "2")]}),
    "API key": (
        "$context.identity.apiKeyId", KEYED, {"headers": [(b"x-api-key", KEY + "a")]},
        {"headers": [(b"x-api-key", KEY + "b")]},
    ),
    "claim": (
        "$context.authorizer.claims.sub", TOKENS, {"headers": [(b"authorization", "me")]},
        {"headers": [(b"authorization", "you")]},
    ),
    "path variable": ("${request.path.id}", PETS, {"path": "/pets/1"}, {"path": "/pets/2"}),
    "several": (
        ["address", "$request.header.x-a"], (), {"headers": [(b"x-a", "1")]},
        {"headers": [(b"x-a", "1")], "client": "192.0.2.2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("place", ["route", "stage", "account"])
def test_clients_have_a_bucket_each(name, place):
    by, given, one, other = APART[name]
    limit = {**ONE, "by": by}
    where, fields = {
        "route": (STAGE, {"client_route_throttles": {"*": limit}}),
        "stage": (STAGE, {"client_throttle": limit}),
        "account": ((), {"client_throttle": limit}),
    }[place]
    gateway = gateway_of(*given, (where, fields))
    assert statuses(gateway, one, one, other, other) == [200, 429, 200, 429]


@pytest.mark.parametrize(
    ("by", "one", "same"),
    [
        ("address/24", {"client": "192.0.2.1"}, {"client": "192.0.2.200"}),
        ("address", {"client": "2001:db8::1"}, {"client": "2001:db8::ffff"}),
        ("address/32/48", {"client": "2001:db8:0:1::1"}, {"client": "2001:db8:0:2::1"}),
        ("$request.header.x-a", {}, {"client": "192.0.2.9"}),  # without a value
    ],
)
def test_clients_that_are_one(by, one, same):
    gateway = gateway_of((STAGE, {"client_throttle": {**ONE, "by": by}}))
    assert statuses(gateway, one, same) == [200, 429]


def test_values_of_several_variables_are_not_confused():
    by = ByClient(["$request.header.a", "$request.header.b"])
    keys = {
        by.key("s", Scope({"request.header.a": a, "request.header.b": b}))
        for a, b in [("x\t1:y", "z"), ("x", "1:y\tz"), ("x", "y\tz"), ("", "x\t1:y\tz")]
    }
    assert len(keys) == 4


def test_refusal_names_the_level_of_the_client():
    gateway = gateway_of((STAGE, {"client_throttle": {"rate": 1, "burst": 2}}))

    async def asked():
        return [await ask(gateway) for _ in range(3)]

    (_, first, _), _, (status, headers, body) = asyncio.run(asked())
    assert first[b"ratelimit-policy"] == b'"stage-client";q=2;w=2, "account";q=5000;w=1'
    assert (status, body) == (429, b'{"message":"Too Many Requests"}')
    assert (headers[b"ratelimit"], headers[b"retry-after"]) == (b'"stage-client";r=0;t=1', b"1")


def test_refused_client_spends_nothing_elsewhere():
    gateway = gateway_of(
        (STAGE, {"client_throttle": ONE, "throttle": {"rate": 1e-6, "burst": 2}}),
    )
    greedy, other = {"client": "192.0.2.1"}, {"client": "192.0.2.2"}
    assert statuses(gateway, greedy, greedy, greedy, other) == [200, 429, 429, 200]


def test_route_has_its_own_limit_before_the_others():
    gateway = gateway_of(
        (API, {"routes": {"GET /a": {"mock": {}}, "GET /b": {"mock": {}}}}),
        (STAGE, {"client_route_throttles": {"GET /a": ONE, "*": {"rate": 1e-6, "burst": 2}}}),
    )
    a, b = {"path": "/a"}, {"path": "/b"}
    assert statuses(gateway, a, a, b, b, b) == [200, 429, 200, 200, 429]


def test_shadow_counts_and_admits():
    gateway = gateway_of(
        (STAGE, {"client_throttle": {**ONE, "shadow": True}}),
        ((*API, "routes", "GET /"), {"mock": {"body": "$context.throttle.shadow"}}),
    )

    async def asked():
        return [(await ask(gateway))[2] for _ in range(2)]

    assert asyncio.run(asked()) == [b"", b"stage-client"]


@pytest.mark.parametrize("changes", [(), TOKENS, KEYED, (*TOKENS, *KEYED)])
def test_shadow_counts_a_request_once(changes):
    """Its levels may be decided before and after the authorizer."""
    client = {"by": "$context.authorizer.claims.sub", **CLOSED} if "authorizers" in str(changes) else CLOSED
    gateway = gateway_of(*changes, (STAGE, {"throttle": CLOSED, "client_throttle": client}))
    headers = [(b"authorization", "me"), (b"x-api-key", KEY + "a")]
    assert statuses(gateway, *[{"headers": headers}] * 3) == [200] * 3
    assert sum(meter.totals()["shadow"] for meter in gateway.site.meters()) == 3


def test_shadow_does_not_count_a_request_that_another_level_refuses():
    gateway = gateway_of(
        *TOKENS, (STAGE, {"throttle": CLOSED, "client_throttle": {**ONE, "by": "$context.authorizer.claims.sub"}})
    )
    assert statuses(gateway, *[{"headers": [(b"authorization", "me")]}] * 3) == [200, 429, 429]
    assert sum(meter.totals()["shadow"] for meter in gateway.site.meters()) == 1


def test_level_of_an_identity_is_spent_only_once_the_client_is_known():
    """Those that need no identity are spent before, and given back when the client's level refuses."""
    gateway = gateway_of(
        *TOKENS,
        (STAGE, {
            "client_throttle": {**ONE, "by": "$context.authorizer.claims.sub"},
            "throttle": {"rate": 1e-6, "burst": 3},
        }),
    )  # fmt: skip
    me, you = ({"headers": [(b"authorization", name)]} for name in ("me", "you"))
    nobody = {}
    assert statuses(gateway, me, me, me, me, you) == [200, 429, 429, 429, 200]
    assert statuses(gateway, nobody, you) == [401, 429]  # the 401 stays spent


def test_headers_are_about_the_levels_before_and_after_the_identity():
    gateway = gateway_of(
        *TOKENS,
        (STAGE, {
            "client_throttle": {"rate": 1, "burst": 3, "by": "$context.authorizer.claims.sub"},
            "throttle": {"rate": 1, "burst": 5},
        }),
    )  # fmt: skip

    async def asked():
        names = ("me", "me", "me", "me", "you", "he")
        found = [await ask(gateway, headers=[(b"authorization", name)]) for name in names]
        return [(status, headers[b"ratelimit-policy"], headers[b"ratelimit"]) for status, headers, _ in found]

    policies = b'"stage-client";q=3;w=3, "stage";q=5;w=5, "account";q=5000;w=1'
    assert asyncio.run(asked()) == [
        (200, policies, b'"stage-client";r=2;t=1'),
        (200, policies, b'"stage-client";r=1;t=1'),
        (200, policies, b'"stage-client";r=0;t=1'),
        (429, policies, b'"stage-client";r=0;t=1'),
        (200, policies, b'"stage";r=1;t=1'),
        (200, policies, b'"stage";r=0;t=1'),
    ]


def test_failing_level_of_an_identity_gives_the_others_back():
    gateway = gateway_of(
        *TOKENS,
        (STAGE, {
            "client_throttle": {**ONE, "by": "$context.authorizer.claims.sub"},
            "throttle": {"rate": 1e-6, "burst": 17},
        }),
        max_keys=16, on_limiter_error="fail_closed",
    )  # fmt: skip
    many = [{"headers": [(b"authorization", str(n))]} for n in range(20)]
    found = statuses(gateway, *many)
    # The stage has 17: each of the last four spends the last one and gives it back. Otherwise one would get a 429.
    assert (found.count(200), found.count(503)) == (16, 4)


def test_plan_of_a_key_holds_beside_it():
    gateway = gateway_of(
        *KEYED,
        (("plans", "p"), {"throttle": {"rate": 1e-6, "burst": 2}}),
        (STAGE, {"client_throttle": {**ONE, "by": "$request.header.x-a"}}),
    )
    ann = [(b"x-api-key", KEY + "a")]
    one, two, three = ({"headers": [*ann, (b"x-a", name)]} for name in "123")
    assert statuses(gateway, one, one, two, three) == [200, 429, 200, 429]


def test_messages_of_a_websocket_count_for_their_client():
    socket = {"type": "websocket", "routes": {"$default": {"mock": {"body": "y"}}}, "stages": {"s": {}}}
    socket["stages"]["s"]["client_route_throttles"] = {"$default": ONE}
    gateway = gateway_of(apis={"a": socket})
    sent = asyncio.run(talking("1", "2")(gateway, None))
    assert [text and text[:30] for _, text, *_ in sent] == [None, "y", '{"message": "Too Many Requests']


def test_memory_is_bounded_and_a_full_table_admits_or_refuses():
    """Any number of clients takes no more than `max_keys` buckets; then on_limiter_error decides."""
    many = [{"client": f"10.{n >> 8}.{n & 255}.1"} for n in range(60)]
    limit = (STAGE, {"client_throttle": ONE})
    gateway = gateway_of(limit, max_keys=16, on_limiter_error="fail_closed")
    found = statuses(gateway, *many)
    assert (found.count(200), found.count(503)) == (16, 44)
    assert len(gateway.limiters.of["stage-client"]) == 16
    assert statuses(gateway_of(limit, max_keys=16), *many, many[0]) == [200] * 60 + [429]


def test_chain_with_a_client_level_works_alone():
    limiters = Limiters(max_keys=16, clock=ManualClock())
    level = Level.of("stage-client", "s", Throttle(1, 1), by=ByClient(["$request.header.x-a"]))
    chain = Chain(limiters, [level, Level.of("account", "a", Throttle(1, 9))])
    me, you = Scope({"request.header.x-a": "me"}), Scope({"request.header.x-a": "you"})
    rulings = [chain.hit(scope=one) for one in (me, me, you)]
    assert [ruling.allowed for ruling in rulings] == [True, False, True]
    chain.give_back(rulings[1], me)  # which spent nothing
    assert not chain.hit(scope=me).allowed
    chain.give_back(rulings[0], me)
    assert [chain.hit(scope=one).allowed for one in (me, you)] == [True, False]


def test_chain_gives_back_no_shadow_level_that_refused():
    limiters = Limiters(clock=ManualClock())
    shadow = Level.of("account", "a", Throttle(1, 2, shadow=True))
    chain = Chain(limiters, [Level.of("stage", "s", Throttle(1, 9)), shadow])
    rulings = [chain.hit() for _ in range(3)]
    assert [ruling.shadow for ruling in rulings] == ["", "", "account"]
    chain.give_back(rulings[2])
    assert chain.hit().shadow == "account"
    chain.give_back(rulings[1])
    assert chain.hit().shadow == ""


def test_failing_level_alone_is_skipped():
    """The bucket of a client whose level works is still given back when another level refuses."""
    limiters = Limiters(max_keys=16, clock=ManualClock())
    crowd = Chain(limiters, [Level.of("stage-client", "s", Throttle(1e-6, 1), by=ByClient(["$request.header.x-a"]))])
    for n in range(16):
        crowd.hit(scope=Scope({"request.header.x-a": str(n)}))
    both = Chain(
        limiters,
        [
            Level.of("method-client", "m", Throttle(1e-6, 1), by=ByClient(["$request.header.x-a"])),
            Level.of("stage-client", "s", Throttle(1e-6, 1), by=ByClient(["$request.header.x-a"])),
            Level.of("account", "a", Throttle(1e-6, 1)),
        ],
    )
    failed = []
    one, two = Scope({"request.header.x-a": "one"}), Scope({"request.header.x-a": "two"})
    rulings = [both.hit(lambda level, error: failed.append(level), True, scope) for scope in (one, two)]
    assert [(ruling.allowed, ruling.level) for ruling in rulings] == [(True, "method-client"), (False, "account")]
    assert failed == ["stage-client"] * 2
    method = Chain(limiters, [Level.of("method-client", "m", Throttle(1e-6, 1), by=ByClient(["$request.header.x-a"]))])
    assert [method.hit(scope=one).allowed, method.hit(scope=two).allowed] == [False, True]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("$request.body.x", "expected address"),
        ("$request.header.a and more", "expected address"),
        ("x-tenant", "expected address"),
        ("address/33", "expected address"),
        ("address/0", "expected address"),
        ("address/24/129", "expected address"),
        ("$context.path", "expected address"),
        ("$context.nothing", "has no 'nothing'"),
        ([], "at least one value"),
    ],
)
def test_what_distinguishes_no_clients_is_an_error(by, message):
    with pytest.raises(ConfigurationError, match=message):
        ClientThrottle(rate=1, burst=1, by=by)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("$request.path.id", r"client_throttle.by\[0\]: expected a route with \{id\}"),
        ("$context.identity.apiKeyId", "expected a route with api_key_required"),
        ("$context.authorizer.claims.sub", "expected a route with an authorizer"),
    ],
)
@pytest.mark.parametrize("where", [(), STAGE])
def test_what_no_route_knows_of_its_clients_is_an_error(by, message, where):
    with pytest.raises(ConfigurationError, match=message):
        gateway_of((where, {"client_throttle": {**ONE, "by": by}}))


def test_unknown_route_of_a_limit_is_an_error():
    with pytest.raises(ConfigurationError, match="unknown route 'GET /none'"):
        gateway_of((STAGE, {"client_route_throttles": {"GET /none": ONE}}))


def test_text_is_a_limit_by_address():
    assert ClientThrottle(2, 4) == ClientThrottle(rate=2, burst=4, by="address")
    gateway = gateway_of((STAGE, {"client_throttle": "60/minute burst 1"}))
    assert statuses(gateway, {}, {}, {"client": "192.0.2.9"}) == [200, 429, 200]


def test_status_page_and_metrics_have_the_level(clock):
    configuration = Configuration(**{**SERVED, "client_throttle": ONE})
    app = App(configuration, clock=clock, client="127.0.0.1")
    app.statuses("/", 2)
    assert app.get("/_gateway/status.json", headers={"host": "localhost"}).json()["client_throttle"] == (
        "1e-06/s, burst 1, by address"
    )
    metrics = app.get("/_gateway/metrics", headers={"host": "localhost"}).text
    assert 'ratelimit_gateway_refused_total{api="a",level="account-client"' in metrics
