"""Leases on an engine: what a host decides by itself, what it gives back, and what a quota must have for them."""

import asyncio
import gc
import pickle

import pytest
from waiting import pace, until

from ratelimit import All, FixedWindow, LeakyBucket, Limiter, Quota, SlidingLog, SlidingWindow, Table, TokenBucket
from ratelimit._cli import garbage
from ratelimit._remote.keeper import keeper
from ratelimit._remote.spending import hash_of, monotonic
from ratelimit._storage.valkey import lease_file

LEASED = [
    pytest.param(lambda table: TokenBucket("1000/minute", burst=900, table=table), id="token bucket"),
    pytest.param(lambda table: FixedWindow("900/hour", table=table), id="fixed window"),
    pytest.param(lambda table: FixedWindow("900/hour", anchor="first", table=table), id="first window"),
    pytest.param(lambda table: SlidingLog("900/hour", table=table), id="sliding log"),
]


def on_engine(limiter, key):
    """Return how much the engine has left, without the leases of this host."""
    direct = Limiter.of(Table.valkey(limiter.table.remote.options.given, name=limiter.table.remote.options.name))
    return direct.peek(key).remaining


def spend_until_leased(limiter, key, least=10):
    """Spend until this host has a lease with so much left; return how much was spent."""
    leases, spent = limiter._leases, 0
    while leases.remaining(hash_of(leases, key), monotonic()) < least or keeper.is_busy:
        decision = limiter.hit(key)
        assert decision
        spent += decision.spent
    return spent


def spend_all(limiter, key):
    """Spend until the key is refused, and no more is on the way; return how much was spent."""
    spent = 0
    while True:
        was_busy = keeper.is_busy
        decision = limiter.hit(key)
        spent += decision.spent
        if not decision and not was_busy:
            return spent


@pytest.mark.parametrize("make", LEASED)
def test_a_hot_key_is_decided_on_this_host(table, make):
    limiter = make(table(lease=20))
    assert limiter.hit("k").source == "engine"
    spend_until_leased(limiter, "k")
    trips = limiter.table.remote.engine.trips
    assert limiter.allow("k")
    assert limiter.hit("k", 2).source == "lease"
    assert asyncio.run(limiter.allow_async("k"))
    assert asyncio.run(limiter.hit_async("k")).source == limiter.peek("k").source == "lease"
    assert asyncio.run(limiter.peek_async("k")).spent == 1
    assert limiter.table.remote.engine.trips == trips


@pytest.mark.parametrize("make", LEASED)
def test_all_is_admitted_and_no_more(table, make):
    limiter = make(table(lease=5))
    limit = limiter.peek("new").limit
    admitted = spend_all(limiter, "k")
    assert limit <= admitted <= limit + 50  # a bucket gains some meanwhile
    decision = limiter.hit("k")
    assert not decision
    assert decision.source == "remembered"
    assert decision.retry_after > 0


@pytest.mark.parametrize("make", LEASED)
def test_a_key_that_is_cold_takes_nothing_in_advance(table, make):
    limiter = make(table(lease=0.001))
    for _ in range(5):
        assert limiter.hit("k").source == "engine"
        pace(0.02)
    assert limiter._leases.remaining(hash_of(limiter._leases, "k"), 0) == 0


@pytest.mark.parametrize("make", LEASED)
def test_the_rest_of_a_lease_is_given_back(table, make):
    limiter = make(table(lease=5))
    limit = limiter.peek("new").limit
    spent = spend_until_leased(limiter, "k")
    assert on_engine(limiter, "k") < limit - spent
    keeper.give_all_back()
    assert limit - spent <= on_engine(limiter, "k") <= limit - spent + 50  # a bucket gains some meanwhile
    assert limiter.hit("k").source == "engine"


@pytest.mark.parametrize("make", LEASED[1:])
def test_a_lease_is_given_back_when_it_ends(table, make):
    limiter = make(table(lease=0.05))
    spent = sum(limiter.hit("k").spent for _ in range(50))
    until(lambda: on_engine(limiter, "k") == 900 - spent, lambda: on_engine(limiter, "k"))


def test_a_decision_of_a_lease_has_all_fields(table):
    limiter = TokenBucket("60/minute", burst=900, table=table(lease=20))
    spend_until_leased(limiter, "k")
    decision = limiter.hit("k")
    assert (decision.source, decision.allowed, decision.spent, decision.limit) == ("lease", True, 1, 880)
    assert 0 < decision.remaining < 880
    assert 0 < decision.more_after <= 1
    assert 0 < decision.reset_after <= 900
    assert decision.retry_after == decision.delay == 0
    assert decision.limiter is limiter
    assert decision.headers()["RateLimit"].startswith('"')


def test_costs_of_more_than_a_lease_are_asked_for(table):
    limiter = FixedWindow("900/hour", table=table(lease=20))
    assert limiter.hit("k", 500).source == "engine"
    assert limiter.hit("k", 300).source == "engine"
    assert not limiter.hit("k", 200)
    assert limiter.peek("k").remaining == 50  # the other 50 are a lease of this host
    assert limiter.take("k", 1_000).spent == 50
    assert 0 < limiter.take("k", 1_000).spent <= 50
    with pytest.raises(ValueError, match="cost"):
        limiter.hit("k", 0)


def test_a_batch_uses_leases_and_asks_once_for_the_rest(table):
    limiter = FixedWindow("900/hour", table=table(lease=20))
    spend_until_leased(limiter, "hot")
    trips = limiter.table.remote.engine.trips
    allowed = limiter.allow_many(["hot", "a", "hot", "b", "a"])
    assert allowed.all()
    assert limiter.table.remote.engine.trips == trips + 1
    assert list(limiter.hit_many(["a", "b"], [899, 900])["allowed"]) == [False, False]
    assert list(limiter.hit_many(["a", "c"], [898, 900])["allowed"]) == [True, True]


def test_other_verbs_ask_the_engine(table):
    limiter = TokenBucket("60/minute", burst=900, table=table(lease=20))
    spend_until_leased(limiter, "k")
    assert limiter.hit("k", quota="120/minute").source == "engine"
    with pytest.raises(ValueError, match="now"):
        limiter.hit("k", now=1)
    booking = limiter.reserve("k", 5)
    assert booking.allowed
    booking.cancel()
    limiter.wait("k")
    assert All(limiter, TokenBucket("9/minute")).hit("k").source in ("engine", "table")


def test_a_refund_and_a_reset_end_a_refusal(table):
    limiter = FixedWindow("20/hour", table=table(lease=20, remember=60))
    assert spend_all(limiter, "k") == 20
    assert limiter.hit("k").source == "remembered"
    limiter.refund("k", 2)
    assert spend_all(limiter, "k") == 2
    limiter.reset("k")
    assert spend_all(limiter, "k") == 20


def test_a_reset_and_a_change_end_the_leases(table):
    limiter = FixedWindow("900/hour", table=table(lease=20))
    spend_until_leased(limiter, "k")
    limiter.reset("k")
    assert limiter.hit("k").source == "engine"
    assert limiter.peek("k").remaining == 899
    spend_until_leased(limiter, "k")
    limiter.change("50/hour")
    assert limiter.hit("k").limit == 50
    limiter.clear()
    assert spend_all(limiter, "k") == 50


def test_processes_of_a_host_share_a_lease(table, server):
    first = FixedWindow("900/hour", table=table("same", lease=20))
    second = pickle.loads(pickle.dumps(first))
    spend_until_leased(first, "k")
    assert second.hit("k").source == "lease"
    assert second.table.remote.engine is first.table.remote.engine
    spend_all(first, "k")
    assert second.hit("k").source == "remembered"


def test_counts_what_is_granted_and_given_back(table):
    limiter = FixedWindow("900/hour", table=table(lease=20))
    spent = spend_until_leased(limiter, "k")
    keeper.give_all_back()
    traffic = limiter.table.remote.traffic()
    assert traffic.granted > traffic.returned >= 10
    assert 900 - spent == on_engine(limiter, "k")


def test_the_leases_of_a_table_are_removed_with_it(table, tmp_path, monkeypatch):
    monkeypatch.setattr(lease_file, "shared_folder", lambda: tmp_path)
    monkeypatch.setattr(garbage, "shared_folder", lambda: tmp_path)
    FixedWindow("900/hour", table=table("removed", lease=20))
    table("removed").remove()
    assert list(tmp_path.iterdir()) == []
    limiter = FixedWindow("900/hour", table=table("kept", lease=20))
    [path] = tmp_path.iterdir()
    assert list(garbage.collect(0, remove=True)) == []  # it is in use
    assert garbage.unlisted() == []
    del limiter
    gc.collect()
    assert list(garbage.collect(0, remove=True)) == [path]


def test_all_hosts_have_leases_of_one_length(table):
    made = table("length", lease=0.5)
    TokenBucket("1000/minute", burst=900, table=made)
    for other in (0.25, None):
        with pytest.raises(ValueError, match=r"expected lease=0\.5"):
            TokenBucket("1000/minute", burst=900, table=table("length", lease=other))
    following = Limiter.of(table("length"))
    assert following.peek("k").limit == 891  # decided singly, by the rule of all hosts
    TokenBucket("1000/minute", burst=900, table=table("without"))
    with pytest.raises(ValueError, match="expected lease=None"):
        TokenBucket("1000/minute", burst=900, table=table("without", lease=0.5))


def test_refuses_what_cannot_be_leased(table):
    for make in (LeakyBucket, SlidingWindow):
        with pytest.raises(ValueError, match="lease: expected none with quota 9/minute"):
            make("9/minute", table=table(lease=0.1))
    with pytest.raises(ValueError, match=r"less than its burst of 10, got 0\.1 s, which gives 10"):
        TokenBucket("100/second", burst=10, table=table(lease=0.1))
    limiter = TokenBucket("100/second", burst=20, table=table(lease=0.1))
    with pytest.raises(ValueError, match="less than its burst"):
        limiter.change(Quota.of("200/second").with_burst(20))
    for lease in (0, -1, True, "1", 1e9):
        with pytest.raises(ValueError, match="lease: expected"):
            table(lease=lease)


def test_spends_what_it_has_while_the_engine_is_away(own_server):
    limiter = FixedWindow("900/hour", table=Table.valkey(own_server.url, name="away", lease=60, timeout=0.5))
    spend_until_leased(limiter, "k")
    own_server.kill()
    seen = [limiter.hit("k").source for _ in range(900)]
    assert seen[0] == "lease"
    assert seen[-1] == "fallback"
    keeper.give_all_back()
