"""Usage plans: keys, throttles by key, calendar quotas, and usage."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from gateway_harness import KEY, App

from ratelimit.gateway import (
    Api,
    Authorizer,
    CalendarQuota,
    CanarySplit,
    Configuration,
    Level,
    Limiters,
    Mock,
    Plan,
    Route,
    Stage,
    Throttle,
    UsagePlan,
)
from ratelimit.gateway.throttling.calendar import EPOCH, period_of
from ratelimit.gateway.throttling.usage_plan import sweep
from ratelimit.testing import ManualClock

OTHER = "o" * 30


def at(text):
    return ManualClock(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9)


def rest(plan, stage=None, authorizer=None, on_limiter_error="fail_open", **api):
    """A REST API with a plan; `stage` is the stage prod, and `authorizer` is asked at GET /pets."""
    keyed = Route(mock=Mock(body="[]"), api_key_required=True)
    get = replace(keyed, authorizer=authorizer)
    pets = {"GET": get, "POST": keyed, "HEAD": Route(mock=Mock()), "/{id}": {"GET": keyed}}
    stages = {"prod": stage or Stage(), "dev": Stage()}
    apis = {"shop": Api(type="rest", resources={"/pets": pets}, stages=stages, **api)}
    keys = {"ann": KEY, "ben": OTHER, "cid": "c" * 20}
    return Configuration(apis=apis, api_keys=keys, plans={"gold": plan}, on_limiter_error=on_limiter_error)


def plan(**options):
    return Plan(keys=["ann", "ben"], stages=["shop/prod", "shop/dev"], **options)


def test_throttle_of_a_resource_tree():
    ask = App(rest(plan()))
    assert ask.get("/prod/pets/7", headers={"x-api-key": KEY}).status_code == 200
    for path in ("/prod/cats", "/pets", "/staging/pets", "/prod/pets/7/8"):
        answer = ask.get(path)
        assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "x" * 24}, {"x-api-key": ""}, {"x-api-key": "c" * 20}])
def test_rejects_missing_and_unknown_keys(headers):
    """So is a key that is in no plan for the stage."""
    answer = App(rest(plan())).get("/prod/pets", headers=headers)
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_a_method_without_keys_bypasses_the_plan(clock):
    ask = App(rest(plan(throttle=Throttle(1, 1))), clock)
    assert [ask("HEAD", "/prod/pets", headers={"x-api-key": KEY}).status_code for _ in range(4)] == [200] * 4


def test_each_key_has_one_quota_for_all_stages(clock):
    ask = App(rest(plan(throttle=Throttle(1, 3))), clock)
    ann, ben = {"x-api-key": KEY}, {"x-api-key": OTHER}
    assert ask.statuses("/prod/pets", 2, headers=ann) + ask.statuses("/dev/pets", 2, headers=ann) == [
        200,
        200,
        200,
        429,
    ]
    assert ask.statuses("/prod/pets", 3, headers=ben) == [200] * 3
    assert ask.get("/prod/pets", headers=ann).headers["ratelimit"] == '"plan";r=0;t=1'


def test_throttles_by_key_and_method(clock):
    ask = App(rest(plan(route_throttles={"shop/prod": {"GET /pets/{id}": Throttle(1, 1)}})), clock)
    ann, ben = {"x-api-key": KEY}, {"x-api-key": OTHER}
    assert ask.statuses("/prod/pets/1", 1, headers=ann) + ask.statuses("/prod/pets/2", 1, headers=ann) == [200, 429]
    assert ask.statuses("/prod/pets/1", 1, headers=ben) == [200]
    assert ask.statuses("/prod/pets", 3, headers=ann) == [200] * 3
    assert ask.statuses("/dev/pets/1", 3, headers=ann) == [200] * 3


def test_api_key_may_come_from_the_authorizer(clock):
    """`usageIdentifierKey` replaces the header."""

    def by_token(event):
        return {"isAuthorized": True, "usageIdentifierKey": KEY, "context": {"user": "ann"}}

    configuration = rest(plan(throttle=Throttle(1, 1)), authorizer="token", authorizers={"token": Authorizer(by_token)})
    ask = App(configuration, clock)
    assert ask.statuses("/prod/pets", 2, headers={"authorization": "x"}) == [200, 429]


@pytest.mark.parametrize(
    ("period", "day", "first", "after"),
    [
        ("DAY", "2026-02-28", "2026-02-28", "2026-03-01"),
        ("WEEK", "2026-11-22", "2026-11-16", "2026-11-23"),  # a Sunday
        ("WEEK", "2026-11-23", "2026-11-23", "2026-11-30"),
        ("WEEK", "2027-01-01", "2026-12-28", "2027-01-04"),
        ("MONTH", "2028-02-29", "2028-02-01", "2028-03-01"),
        ("MONTH", "2026-12-31", "2026-12-01", "2027-01-01"),
    ],
)
def test_period_begins_and_ends_at_midnight_utc(period, day, first, after):
    assert list(map(str, period_of(period, date.fromisoformat(day)))) == [first, after]


@pytest.mark.parametrize(
    ("period", "last"),
    [("DAY", "2026-11-24T23:59:59"), ("WEEK", "2026-11-29T23:59:59"), ("MONTH", "2026-11-30T23:59:59")],
)
def test_quota_resets_exactly_at_midnight(period, last):
    """Until the last nanosecond of the period no more is admitted; at 00:00 UTC the whole quota is available."""
    clock = at(last)
    ask = App(rest(plan(quota=CalendarQuota(3, period))), clock)
    ann = {"x-api-key": KEY}
    assert ask.statuses("/prod/pets", 4, headers=ann) == [200, 200, 200, 429]
    clock.advance(ns=999_999_999)
    answer = ask.get("/prod/pets", headers=ann)
    assert (answer.status_code, answer.json()) == (429, {"message": "Limit Exceeded"})
    assert answer.headers["x-amzn-errortype"] == "LimitExceededException"
    assert (answer.headers["retry-after"], answer.headers["ratelimit"]) == ("1", '"quota";r=0;t=1')
    clock.advance(ns=1)
    assert ask.statuses("/prod/pets", 4, headers=ann) == [200, 200, 200, 429]


@pytest.mark.parametrize(("rate", "wait"), [(0.001, 1000), (0.5, 2), (10, 1)])
def test_after_retry_after_all_levels_admit(rate, wait):
    """Even if a quota resets soon, Retry-After covers the other levels."""
    clock = at("2026-11-26T23:59:59")
    ask = App(rest(plan(throttle=Throttle(rate, 1), quota=CalendarQuota(1, "DAY"))), clock)
    ann = {"x-api-key": KEY}
    assert ask.statuses("/prod/pets", 1, headers=ann) == [200]
    answer = ask.get("/prod/pets", headers=ann)
    assert answer.json() == {"message": "Limit Exceeded"}
    assert (answer.headers["retry-after"], answer.headers["ratelimit"]) == (str(wait), '"quota";r=0;t=1')
    clock.advance(wait)
    assert ask.statuses("/prod/pets", 1, headers=ann) == [200]


def test_closed_route_has_no_retry_after():
    configuration = rest(plan(quota=CalendarQuota(1, "DAY", offset=1)), Stage(throttle=Throttle(0, 0)))
    answer = App(configuration, at("2026-11-26T23:59:59")).get("/prod/pets", headers={"x-api-key": KEY})
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("before", range(1, 12))
def test_midnight_between_two_readings_of_the_clock(before):
    """A request that begins on one day and is decided on the next gets no reset time in the past."""

    class Running(ManualClock):
        def now_ns(self):
            self.advance(ns=1)
            return super().now_ns()

    clock = Running(at("2026-11-26T23:59:59").now_ns())
    configuration = rest(plan(quota=CalendarQuota(1, "DAY")), on_limiter_error="fail_closed")
    ask = App(configuration, clock)
    assert ask.statuses("/prod/pets", 1, headers={"x-api-key": KEY}) == [200]
    clock.advance(ns=at("2026-11-27T00:00:00").now_ns() - ManualClock.now_ns(clock) - before)
    assert ask.get("/prod/pets", headers={"x-api-key": KEY}).status_code in (200, 429)


def test_a_refused_request_uses_no_quota(clock):
    ask = App(rest(plan(throttle=Throttle(1, 2), quota=CalendarQuota(100, "DAY"))), clock)
    ask.statuses("/prod/pets", 9, headers={"x-api-key": KEY})
    assert ask.gateway.site.plans["gold"].remaining("ann") == 98


def test_what_other_levels_refuse_uses_no_plan(clock):
    stage = Stage(route_throttles={"GET /pets": Throttle(1, 1)})
    configuration = rest(plan(throttle=Throttle(1, 9), quota=CalendarQuota(100, "DAY")), stage)
    ask = App(configuration, clock)
    assert ask.statuses("/prod/pets", 3, headers={"x-api-key": KEY}) == [200, 429, 429]
    assert ask.gateway.site.plans["gold"].remaining("ann") == 99
    assert ask.statuses("/dev/pets", 9, headers={"x-api-key": KEY}) == [200] * 8 + [429]


def test_quota_in_shadow_mode():
    """It counts the requests that it would refuse, while the throttle of the plan refuses."""
    quota = CalendarQuota(2, "DAY", shadow=True)
    gold = UsagePlan("gold", plan(throttle=Throttle(1, 4), quota=quota), Limiters(clock=at("2026-11-25T12:00:00")))
    rulings = [gold.chain("ann", "shop/prod", "GET /pets").hit() for _ in range(5)]
    assert [ruling.allowed for ruling in rulings] == [True] * 4 + [False]
    assert [ruling.shadow for ruling in rulings] == ["", "", "quota", "quota", ""]
    assert gold.remaining("ann") == 0
    assert App(rest(gold.plan)).gateway.pages.status()["plans"][0]["quota"] == "2 per day, shadow"


@pytest.fixture
def gold():
    clock = at("2026-11-25T12:00:00")
    made = UsagePlan("gold", plan(quota=CalendarQuota(10, "WEEK", offset=4)), Limiters(clock=clock))
    made.clock = clock
    return made


def use(gold, count, key="ann"):
    return [gold.chain(key, "shop/prod", "GET /pets").hit().allowed for _ in range(count)].count(True)


def test_the_offset_counts_in_the_first_period_only(gold):
    """For each key the first period is that of its first request."""
    assert use(gold, 20) == 6
    gold.clock.advance(7 * 86_400)
    assert use(gold, 20) == 10
    assert use(gold, 20, "ben") == 6


def test_reading_usage_begins_no_period(gold):
    """Neither reading nor adjusting is a first use: the offset still applies."""
    assert gold.usage("ann", date(2026, 11, 10), date(2026, 11, 25))["2026-11-25"] == [0, 6]
    assert gold.remaining("ann") == 6
    gold.adjust("ann", 8)
    assert gold.remaining("ann") == 8
    gold.clock.advance(7 * 86_400)
    assert gold.remaining("ann") == 6
    assert use(gold, 20) == 6
    gold.clock.advance(7 * 86_400)
    assert use(gold, 20) == 10


def test_an_offset_from_a_given_day():
    clock = at("2026-11-25T12:00:00")
    quota = CalendarQuota(10, "MONTH", offset=10, start=date(2026, 11, 3))
    gold = UsagePlan("gold", plan(quota=quota), Limiters(clock=clock))
    assert use(gold, 20) == 0
    clock.advance(6 * 86_400)
    assert use(gold, 20) == 10


@pytest.mark.parametrize(("remaining", "more"), [(0, 0), (1, 1), (4, 4), (1000, 1000)])
def test_adjusts_what_remains(gold, remaining, more):
    """More, less or nothing, for this period alone and whatever was used; the usage does not change."""
    assert use(gold, 2) == 2
    gold.adjust("ann", remaining)
    assert gold.remaining("ann") == remaining
    assert use(gold, 2_000) == more
    gold.adjust("ann", 3)
    assert use(gold, 10) == 3
    assert gold.usage("ann", date(2026, 11, 25), date(2026, 11, 25)) == {"2026-11-25": [5 + more, 0]}
    gold.clock.advance(7 * 86_400)
    assert use(gold, 2_000) == 10


def test_usage_by_day(gold):
    use(gold, 2)
    gold.clock.advance(86_400)
    use(gold, 3)
    gold.clock.advance(5 * 86_400)  # Tuesday of the next week
    use(gold, 7)
    assert gold.usage("ann", date(2026, 11, 25), date(2026, 12, 31)) == {
        "2026-11-25": [2, 4],
        "2026-11-26": [3, 1],
        "2026-11-27": [0, 1],
        "2026-11-28": [0, 1],
        "2026-11-29": [0, 1],
        "2026-11-30": [0, 10],
        "2026-12-01": [7, 3],
    }


def test_usage_without_a_quota(clock):
    ask = App(rest(plan()), clock)
    ask.statuses("/prod/pets", 3, headers={"x-api-key": KEY})
    gold = ask.gateway.site.plans["gold"]
    today = EPOCH.fromordinal(EPOCH.toordinal() + clock.now_ns() // (86_400 * 10**9))
    assert gold.usage("ann", today, today) == {str(today): [3, None]}


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda gold: gold.adjust("cid", 1), "in plan 'gold'"),
        (lambda gold: gold.adjust("ann", -1), "remaining: expected"),
        (lambda gold: gold.adjust("ann", 1.5), "remaining: expected"),
        (lambda gold: gold.adjust("ann", "3"), "remaining: expected"),
        (lambda gold: gold.adjust("ann", True), "remaining: expected"),
        (lambda gold: gold.usage("cid", date(2026, 1, 1), date(2026, 1, 1)), "in plan 'gold'"),
    ],
)
def test_rejects_wrong_orders(gold, call, problem):
    with pytest.raises(ValueError, match=problem):
        call(gold)


def test_old_counters_are_removed(gold):
    """After 92 days the counters of a day are removed, so that the table does not fill up."""
    use(gold, 3)
    counts = gold.limiters.counters
    sweep([gold], gold.limiters)
    held = len(counts.limiter), len(gold.limiters.of["quota"])
    for _ in range(200):
        gold.clock.advance(86_400)
        use(gold, 1)
        sweep([gold], gold.limiters)
    assert len(counts.limiter) - held[0] <= 92
    assert len(gold.limiters.of["quota"]) <= held[1] + 14
    assert counts.read("used/gold/2026-11-25/ann") == 0


@pytest.mark.parametrize("plans", [{"gold": Plan(keys=["ben"], stages=["shop/prod"])}, {}])
def test_counters_of_keys_and_plans_that_a_reload_removed_are_removed(plans):
    clock = at("2026-11-25T12:00:00")
    app = App(rest(plan(quota=CalendarQuota(10, "DAY"))), clock)
    limiters = app.gateway.limiters

    def counts():
        return limiters.counters.read("used/gold/2026-11-25/ann"), limiters.quotas.read("gold/2026-11-25/ann")

    assert app.get("/prod/pets", headers={"x-api-key": KEY}).status_code == 200
    assert counts() == (1, 1)
    for _ in range(2):
        asyncio.run(app.gateway.load(replace(app.gateway.site.configuration, plans=plans)))
    for _ in range(100):
        clock.advance(86_400)
        sweep(app.gateway.plans.values(), limiters)
    assert counts() == (0, 0)


@pytest.mark.parametrize("period", ["DAY", "WEEK", "MONTH"])
def test_quota_keeps_no_past_periods(period):
    clock = at("2026-11-25T12:00:00")
    gold = UsagePlan("gold", plan(quota=CalendarQuota(100, period)), Limiters(clock=clock))
    sweep([gold], gold.limiters)
    for _ in range(100):
        assert use(gold, 1) == 1
        clock.advance(86_400)
        sweep([gold], gold.limiters)
        assert len(gold.limiters.of["quota"]) <= 2


@pytest.mark.parametrize(("setting", "status"), [("fail_open", 200), ("fail_closed", 503)])
def test_full_table_fails_its_level(clock, caplog, setting, status):
    """Its clients do not get the status of a spent quota."""
    configuration = rest(plan(throttle=Throttle(1, 2), quota=CalendarQuota(1, "DAY")))
    ask = App(replace(configuration, max_keys=1, on_limiter_error=setting), clock)
    assert ask.statuses("/prod/pets", 2, headers={"x-api-key": KEY}) == [200, 429]
    assert ask.statuses("/prod/pets", 3, headers={"x-api-key": OTHER}) == [status] * 3
    assert "max_keys=1" in caplog.text
    order = {"plan": "gold", "key": "ben", "remaining": 5}
    answer = ask("POST", "/_gateway/usage", client="127.0.0.1", json=order, headers={"host": "localhost"})
    assert (answer.status_code, "max_keys=1" in answer.json()["message"]) == (400, True)


def test_counts_that_find_no_slot_are_lost():
    """A quota still holds, and adjusting it returns an error."""
    limiters = Limiters(max_keys=4, clock=at("2026-11-25T12:00:00"))
    for name in "abcd":
        limiters.counters.add(name)
    gold = UsagePlan("gold", plan(quota=CalendarQuota(2, "DAY")), limiters)
    chain = gold.chain("ann", "shop/prod", "GET /pets")
    assert [chain.hit().allowed for _ in range(3)] == [True, True, False]
    assert (gold.remaining("ann"), limiters.counters.read("e")) == (0, 0)
    with pytest.raises(ValueError, match="no room to adjust: max_keys=4"):
        gold.adjust("ann", 5)


@pytest.mark.parametrize("quota", [(0, "DAY"), (5, "YEAR"), (5, "DAY", 6), (5, "DAY", -1)])
def test_rejects_contradictory_quotas(quota):
    with pytest.raises(ValueError, match=r"^(limit|period|offset): expected "):
        CalendarQuota(*quota)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: CanarySplit("a", "b", percent=200), "percent: expected from 0 to 100, got 200"),
        (lambda: Level.of("methd", "GET /", Throttle(1, 1)), "level: expected one of plan, .*, got 'methd'"),
        (
            lambda: Limiters("memry"),
            "tables: expected memory, shared:NAME, file:FOLDER or an engine's URL, got 'memry'",
        ),
        (lambda: CalendarQuota(5.5, "DAY"), "limit: expected a whole number, got 5.5"),
        (
            lambda: UsagePlan("gold", Plan(["ann"], ["a/b"]), Limiters()).chain("ben", "a/b", "GET /"),
            "unknown key 'ben' in plan 'gold' .choose from ann.",
        ),
        (lambda: UsagePlan("gold", Plan(["ann"], ["a/b"]), Limiters()).remaining("ann"), "plan 'gold' has no quota"),
        (
            lambda: UsagePlan("gold", Plan(["ann"], ["a/b"]), Limiters()).remaining("ben"),
            "unknown key 'ben' in plan 'gold'",
        ),
    ],
)
def test_errors_of_embedded_parts_name_the_argument(wrong, told):
    with pytest.raises(ValueError, match=told):
        wrong()
