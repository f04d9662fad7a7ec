"""The throttle chain: one decision for all levels, by a clock that is set by hand."""

import asyncio

import pytest
from gateway_harness import App

from ratelimit import TableFull, TokenBucket
from ratelimit.gateway import Api, Chain, Configuration, Level, Limiters, Mock, Route, Stage, Throttle


@pytest.fixture
def limiters(clock):
    return Limiters(clock=clock)


def steps(**throttles):
    return [Level.of(level, "key", throttle) for level, throttle in throttles.items()]


def test_each_level_is_a_token_bucket(limiters, clock):
    chain = Chain(limiters, steps(method=Throttle(2, 3)))
    assert [chain.hit().allowed for _ in range(4)] == [True, True, True, False]
    clock.advance(0.5)
    assert [chain.hit().allowed for _ in range(2)] == [True, False]


@pytest.mark.parametrize("rate", [0.5, 2.5, 1 / 3, 1e-3, 12_345.678])
def test_rates_are_exact(limiters, clock, rate):
    """A rate may be any float: the next request is admitted at the first nanosecond at which it is due."""
    chain = Chain(limiters, steps(method=Throttle(rate, 1)))
    assert chain.hit().allowed
    wait = chain.hit().more_after_ns
    assert wait == pytest.approx(1e9 / rate, abs=1.1)
    clock.advance(ns=wait - 1)
    assert not chain.hit().allowed
    clock.advance(ns=1)
    assert chain.hit().allowed


def test_refusal_by_one_level_spends_nothing_at_the_others(limiters):
    chain = Chain(limiters, steps(method=Throttle(1, 1), stage=Throttle(1, 5), account=Throttle(1, 9)))
    rulings = [chain.hit() for _ in range(4)]
    assert [(ruling.allowed, ruling.level) for ruling in rulings] == [(True, "method")] + [(False, "method")] * 3
    other = Chain(limiters, steps(stage=Throttle(1, 5), account=Throttle(1, 9)))
    assert [other.hit().allowed for _ in range(5)] == [True] * 4 + [False]
    last = Chain(limiters, steps(account=Throttle(1, 9)))
    assert [last.hit().allowed for _ in range(5)] == [True] * 4 + [False]


def test_ruling_names_the_level_that_refuses_longest(limiters):
    chain = Chain(limiters, steps(method=Throttle(10, 1), account=Throttle(1, 1)))
    chain.hit()
    ruling = chain.hit()
    assert (ruling.level, ruling.more_after_ns) == ("account", 1_000_000_000)


@pytest.mark.parametrize("throttle", [Throttle(0, 5), Throttle(5, 0), Throttle(0, 0)])
def test_nothing_is_admitted_at_a_rate_of_zero(limiters, throttle):
    chain = Chain(limiters, steps(method=throttle, account=Throttle(1, 1)))
    assert [(ruling.allowed, ruling.level) for ruling in (chain.hit(), chain.hit())] == [(False, "method")] * 2
    assert chain.hit().more_after_ns is None
    told = dict(chain.hit().fields("both"))  # no moment: a reset in 0 seconds would be an invitation
    assert (told[b"ratelimit"], told[b"x-ratelimit-remaining"]) == (b'"method";r=0', b"0")
    assert not {b"x-ratelimit-reset", b"retry-after"} & set(told)
    assert Chain(limiters, steps(account=Throttle(1, 1))).hit().allowed


def test_without_levels_all_requests_are_admitted(limiters):
    ruling = Chain(limiters, []).hit()
    assert (ruling.allowed, ruling.level, ruling.shadow, ruling.fields("both")) == (True, "", "", [])


def test_shadow_mode_counts_and_admits(limiters):
    chain = Chain(
        limiters, [Level.of("method", "a", Throttle(1, 2, shadow=True)), Level.of("account", "a", Throttle(1, 4))]
    )
    rulings = [chain.hit() for _ in range(5)]
    assert [ruling.allowed for ruling in rulings] == [True] * 4 + [False]
    assert [ruling.shadow for ruling in rulings] == ["", "", "method", "method", ""]


def test_closed_level_in_shadow_mode(limiters):
    chain = Chain(limiters, [Level.of("method", "a", Throttle(0, 0), shadow=True)])
    ruling = chain.hit()
    assert (ruling.allowed, ruling.level, ruling.shadow) == (True, "", "method")


def test_time_to_the_next_token(limiters, clock):
    """`more_after_ns` is the time until the level has one more token, not until it is full."""
    chain = Chain(limiters, steps(method=Throttle(0.1, 5)))
    assert chain.hit().more_after_ns == 10_000_000_000
    clock.advance(4)
    ruling = chain.hit()
    assert (ruling.level, ruling.remaining, ruling.limit) == ("method", 3, 5)
    assert ruling.more_after_ns == 6_000_000_000


@pytest.mark.parametrize(
    ("throttle", "problem"),
    [
        ((-1, 5), "rate: expected 0 or from 1e-6 to 1e9 requests"),
        ((1e10, 5), "rate: expected 0 or from 1e-6 to 1e9 requests"),
        ((float("nan"), 5), "rate: expected a finite number, got nan"),
        ((1, -1), "burst: expected from 0 to 2147483647, got -1"),
        ((1, 2**31), "burst: expected from 0 to 2147483647, got 2147483648"),
        ((1e-6, 10_000), "burst: expected a bucket that fills within 30 years"),
    ],
)
def test_rejects_contradictory_throttles(throttle, problem):
    with pytest.raises(ValueError, match=problem):
        Throttle(*throttle)


def shop(**options):
    routes = {key: Route(mock=Mock(body=key)) for key in ("GET /a", "GET /b", "POST /a", "$default")}
    stage = Stage(throttle=Throttle(1, 6), route_throttles={"GET /a": Throttle(1, 2), "*": Throttle(1, 4)})
    return Configuration(apis={"shop": Api(routes=routes, stages={"$default": stage, "dev": Stage()})}, **options)


def test_method_and_stage_levels(clock):
    """Each route has its own throttle or a copy of the default's; the stage has one for all routes."""
    ask = App(shop(), clock)
    assert ask.statuses("/a", 3) == [200, 200, 429]
    assert ask.statuses("/b", 5) == [200, 200, 200, 200, 429]  # the stage's six are spent now
    assert ask.get("/b").headers["ratelimit"] == '"method";r=0;t=1'
    assert ask.get("/other").headers["ratelimit"] == '"stage";r=0;t=1'
    assert ask.statuses("/dev/a", 9) == [200] * 9


def test_account_level_is_shared_by_all_apis(clock):
    ask = App(shop(throttle=Throttle(1, 3)), clock)
    assert ask.statuses("/dev/a", 2) + ask.statuses("/b", 2) == [200, 200, 200, 429]
    assert ask.get("/dev/a").headers["ratelimit"] == '"account";r=0;t=1'


def test_gateway_in_shadow_mode(clock):
    """All requests are admitted; those over the limit are counted for the operator, and the client sees no fields."""
    ask = App(shop(shadow=True), clock)
    assert ask.statuses("/a", 5) == [200] * 5
    assert "ratelimit" not in ask.get("/a").headers
    status = ask.gateway.pages.status()
    route = next(route for route in status["stages"][0]["routes"] if route["key"] == "GET /a")
    assert (route["admitted"], route["throttled"], route["shadow"]) == (6, 0, 4)


def admits_new_keys(limiter):
    try:
        return limiter.allow(f"key {len(limiter)} {limiter.full_count}")
    except TableFull:
        return False


@pytest.mark.parametrize(("setting", "statuses"), [("fail_open", [200] * 4), ("fail_closed", [503] * 4)])
def test_failure_of_the_limiter_is_open_or_closed(clock, caplog, setting, statuses):
    ask = App(shop(on_limiter_error=setting), clock)
    full = TokenBucket("1/second", max_keys=1, on_full="raise", clock=clock)
    while admits_new_keys(full):
        pass
    ask.gateway.limiters.of["method"] = full
    asyncio.run(ask.gateway.load(ask.gateway.site.configuration))
    assert ask.statuses("/a", 4) == statuses
    assert f"a limiter failed; on_limiter_error is {setting}" in caplog.text
    assert "TableFull" in caplog.text


@pytest.mark.parametrize("style", ["draft", "legacy", "both", "none"])
def test_rate_limit_fields_of_a_response(clock, style):
    """The fields of draft-ietf-httpapi-ratelimit-headers-10, parsed by an independent parser."""
    import http_sf

    ask = App(shop(headers=style), clock)
    answers = [ask.get("/a") for _ in range(3)]
    if style in ("draft", "both"):
        policies = http_sf.parse(answers[0].headers["ratelimit-policy"].encode(), tltype="list")
        assert [(name, dict(parameters)) for name, parameters in policies] == [
            ("method", {"q": 2, "w": 2}),
            ("stage", {"q": 6, "w": 6}),
            ("account", {"q": 5000, "w": 1}),
        ]
        told = [http_sf.parse(answer.headers["ratelimit"].encode(), tltype="list")[0] for answer in answers]
        assert [(name, dict(parameters)) for name, parameters in told] == [
            ("method", {"r": 1, "t": 1}),
            ("method", {"r": 0, "t": 1}),
            ("method", {"r": 0, "t": 1}),
        ]
    else:
        assert not any("ratelimit" in answer.headers for answer in answers)
    legacy = [answers[0].headers.get(f"x-ratelimit-{name}") for name in ("limit", "remaining", "reset")]
    assert legacy == (["2", "1", "1"] if style in ("legacy", "both") else [None] * 3)
    assert answers[2].status_code == 429
    assert answers[2].headers.get("retry-after") == (None if style == "none" else "1")
    assert answers[2].headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert answers[2].json() == {"message": "Too Many Requests"}


def test_client_that_waits_retry_after_is_admitted(clock):
    """It is not admitted before the exact time."""
    ask = App(shop(), clock)
    ask.statuses("/a", 2)
    clock.advance(0.3)
    wait = int(ask.get("/a").headers["retry-after"])
    assert wait == 1
    clock.advance(wait)
    assert ask.get("/a").status_code == 200


def test_problem_json_names_the_violated_level(clock):
    ask = App(shop(problem_json=True), clock)
    answer = [ask.get("/a") for _ in range(3)][-1]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "violated-policies": ["method"],
    }
