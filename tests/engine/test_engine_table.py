"""A table on an engine: how many round trips it costs, what it remembers, and what others see of a change."""

import asyncio
import pickle
from fractions import Fraction

import pytest

from ratelimit import (
    All,
    FixedWindow,
    LeakyBucket,
    Limiter,
    Quota,
    SlidingLog,
    SlidingWindow,
    Table,
    TokenBucket,
    parse,
)
from ratelimit.testing import ManualClock


def trips(limiter, call):
    engine = limiter.table.remote.engine
    limiter.table.remote._look_at = 1e18  # the label goes along and costs none, but must not confuse the count
    before = engine.trips
    call()
    return engine.trips - before


def test_is_one_round_trip_a_decision(table):
    limiter = TokenBucket("100/minute", table=table())
    both = All(limiter, FixedWindow("1000/hour", table=table()), SlidingLog("500/day", table=table()))

    async def at_once():
        await asyncio.gather(*(limiter.allow_async(f"k{i % 7}") for i in range(100)), both.hit_async("z"))

    limiter.allow("warm")
    for call in (
        lambda: limiter.allow("k"),
        lambda: limiter.hit("k", 2),
        lambda: limiter.peek("k"),
        lambda: limiter.reserve("k"),
        lambda: both.hit("k"),
        lambda: both.bind(["a", "b", "c"]).hit(costs=[1, 2, 3]),
        lambda: both.bind(["", "b", "c"]).hit_for(["a", "b", "c"]),
        lambda: both.reserve("k"),
        lambda: limiter.allow_many([f"k{i}" for i in range(128)]),
        lambda: both.hit_many(["a", "b", "a"]),
        lambda: asyncio.run(at_once()),
    ):
        assert trips(limiter, call) == 1
    assert trips(limiter, lambda: limiter.allow_many(list(range(129)))) == 2


def test_decides_a_batch_in_order(table):
    limiter = FixedWindow("3/hour", table=table())
    assert list(limiter.allow_many(["a", "b", "a", "a", "a", "b"])) == [True, True, True, True, False, True]
    rows = limiter.hit_many(["b", "c"], [2, 1])
    assert list(rows["allowed"]) == [False, True]
    assert list(rows["remaining"]) == [1, 2]


def test_spends_from_all_or_from_none(table):
    small, large = FixedWindow("2/hour", table=table()), TokenBucket("9/hour", table=table())
    both = small & large
    assert [both.allow("k") for _ in range(3)] == [True, True, False]
    assert large.peek("k").remaining == 7
    assert both.hit("k").limiter is small
    assert both.peek("other", costs=[3, 1]).limiter is small
    rows = both.hit_many(["x", "x", "x"])
    assert list(rows["allowed"]) == [True, True, False]
    assert large.peek("x").remaining == 7


def test_mixes_limits_here_and_on_the_engine(table):
    here, there = FixedWindow("2/hour"), TokenBucket("3/hour", table=table())
    both = here & there
    assert [both.allow("k") for _ in range(3)] == [True, True, False]
    assert (here.peek("k").remaining, there.peek("k").remaining) == (0, 1)
    assert both.hit("k").limiter is here
    here.reset("k")
    assert [both.hit("k").allowed for _ in range(2)] == [True, False]
    assert here.peek("k").remaining == 1
    assert asyncio.run(both.hit_async("new")).remaining == 1
    with pytest.raises(TypeError, match="one engine"):
        both.reserve("k")


def test_a_refusal_is_remembered_until_it_ends(table):
    limiter = FixedWindow("2/hour", table=table(remember=60))
    other = FixedWindow("2/hour", table=table(limiter.table.remote.options.name, remember=60))
    limiter.hit("k", 2)
    assert limiter.hit("k").source == "engine"
    assert trips(limiter, lambda: [limiter.hit("k") for _ in range(100)]) == 0
    again = limiter.hit("k")
    assert (again.allowed, again.source, again.remaining) == (False, "remembered", 0)
    assert 0 < again.retry_after <= 3_600
    assert limiter.hit("k", quota="9/hour").source == "engine", "another quota admits it"
    assert other.hit("k").source == "engine"
    limiter.refund("k", 3)
    assert limiter.hit("k").source == "engine"


@pytest.mark.parametrize("algorithm", [TokenBucket, FixedWindow, SlidingWindow, SlidingLog])
def test_a_refusal_by_allow_is_remembered(table, algorithm):
    limiter = algorithm("2/hour", table=table(remember=60))
    assert [limiter.allow("k") for _ in range(4)] == [True, True, False, False]
    assert trips(limiter, lambda: [limiter.allow("k") for _ in range(100)]) == 0
    decision = limiter.hit("k")
    assert (decision.allowed, decision.remaining) == (False, 0)
    assert 0 < decision.retry_after <= 7_200


def test_a_smaller_cost_is_not_refused_for_a_larger_one(table):
    limiter = FixedWindow("5/hour", table=table())
    limiter.hit("k", 3)
    assert not limiter.hit("k", 3)
    assert limiter.hit("k", 3).source == "remembered"
    assert limiter.hit("k", 2).allowed


def test_a_change_reaches_other_hosts(table):
    limiter = TokenBucket("100/hour", table=table())
    name = limiter.table.remote.options.name
    other = TokenBucket("100/hour", table=table(name))
    limiter.hit("k", 60)
    limiter.change("200/hour", counts="scale")
    assert limiter.peek("k").remaining == 80
    limiter.hit("k", 10)
    assert other.peek("k").remaining == 70, "a key of the new revision is followed at once"
    assert other.quota.limit == 200
    limiter.change("200/hour", counts="reset")
    limiter.clear()
    assert limiter.peek("k").remaining == 200
    assert TokenBucket("100/hour", table=table(name)).quota.limit == 200, "it was made with the quota of before"
    with pytest.raises(ValueError, match="another quota"):
        TokenBucket("100/hour", table=table(name, if_changed="raise"))
    assert TokenBucket("50/hour", table=table(name)).quota.limit == 50
    assert isinstance(Limiter.of(table(name)), TokenBucket)


def test_a_log_is_forgotten_by_clear(table):
    limiter = SlidingLog("5/hour", table=table())
    limiter.hit("k", 5)
    limiter.clear()
    assert limiter.hit("k", 5).allowed


def test_a_turn_is_waited_for(table):
    limiter = LeakyBucket("1000/second", table=table())
    for _ in range(5):
        limiter.wait("k")
    asyncio.run(limiter.wait_async("k"))
    assert limiter.peek("k").remaining > 990


def test_reads_several_limits_from_one_text(table):
    both = parse("5/minute; fixed-window 100/hour", table=table())
    assert both.hit("k").remaining == 4
    assert both.limiters[1].table.remote.options.name.endswith(".2")


def test_is_what_it_looks_like(table):
    limiter = TokenBucket("5/minute", table=table())
    assert isinstance(limiter, TokenBucket)
    assert type(limiter).__name__ == "TokenBucket"
    assert str(limiter) == "token-bucket 5/minute"
    again = pickle.loads(pickle.dumps(limiter))
    limiter.hit("k", 5)
    assert not again.allow("k")

    class Named(TokenBucket):
        def label(self):
            return str(self)

    assert Named("5/minute", table=table()).label() == "token-bucket 5/minute"
    assert Named("5/minute").allow("k")


def test_keys_of_different_types_and_lengths_differ(table):
    limiter = FixedWindow("1/hour", table=table())
    keys = ["1", 1, b"1", "", b"", -1, "}", "{", "a" * 200, "a" * 201, "\udc80", 2**80, "é"]
    assert all(limiter.allow(key) for key in keys)
    assert not any(limiter.allow(key) for key in keys)


def test_names_the_reason_where_a_verb_is_missing(table):
    limiter = TokenBucket("5/minute", table=table())
    for call, error in [
        (lambda: limiter.hit("k", now=1), "now: expected none, since the engine's time decides"),
        (lambda: limiter.allow_many(["k"], now=1), "now: expected none"),
        (lambda: limiter.block("k", -5), "seconds: "),
        (lambda: FixedWindow("5/hour", table=table()).hit("k", quota=f"{2**52}/hour"), "limit up to"),
        (lambda: len(limiter), "len: .*cannot count"),
        (lambda: limiter.slots(), "slots: "),
        (lambda: limiter.max_keys, "max_keys: "),
        (lambda: limiter.full_count, "full_count: "),
        (lambda: FixedWindow("1/1500ns", table=table()), "whole microseconds"),
        (lambda: FixedWindow(f"{2**53}/century".replace("century", "10 year"), table=table()), "limit up to"),
    ]:
        with pytest.raises((TypeError, ValueError), match=error):
            call()


@pytest.mark.parametrize("quota", ["1/1500ns", f"{2**53}/hour", Quota(1, Fraction(1, 10**9))])
def test_a_quota_that_is_refused_leaves_no_label(table, server, quota):
    with pytest.raises(ValueError, match=r"quota: |quota .*: "):
        FixedWindow(quota, table=table("refused"))
    with pytest.raises(ValueError, match="clock: "):
        TokenBucket("1/hour", table=table("refused"), clock=ManualClock())
    assert server.client.keys("rl:refused:*") == []
    assert FixedWindow("5/hour", table=table("refused")).hit("k").remaining == 4


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://x", "unknown scheme 'http'"),
        ("valkey://:secret@a,b", "expected one host"),
        ("valkey://a/x", "number of a database"),
        ("valkey://a:x", "host:port"),
        ("valkey://a?retries=3", "unknown setting 'retries'"),
        ("valkey+cluster://a/3", "no database but 0"),
        ("valkey+sentinel://a", "service"),
    ],
)
def test_refuses_a_wrong_url(url, error):
    with pytest.raises(ValueError, match=error) as raised:
        Table.valkey(url, name="x")
    assert "secret" not in str(raised.value)


def test_takes_a_client(server):
    table = Table.valkey(server.client, name="client")
    assert FixedWindow("2/hour", table=table).allow("k")
    with pytest.raises(TypeError, match="client"):
        Table.valkey(object(), name="x")
    with pytest.raises(TypeError, match="client object"):
        pickle.dumps(table)


def test_takes_what_is_left(table):
    limiter = FixedWindow("5/hour", table=table())
    both = limiter & TokenBucket("9/hour", table=table())
    assert limiter.take("k", 3).spent == 3
    assert both.take("k", 3).spent == 2
    assert both.take("k", 3).spent == 0
    assert asyncio.run(limiter.take_async("other", 9)).spent == 5
    assert limiter.hit("third", 2).spent == 2
