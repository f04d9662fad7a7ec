"""The values of buckets: their memory, their expiry, and how they are read after the clock went back."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from test_engine_seeded import install
from tools import NIGHTLY
from valkey_servers import Server, valkey_server

from ratelimit import LeakyBucket, Quota, Table, TokenBucket
from ratelimit._remote.request import pack_all, request_of
from ratelimit._storage.valkey import engine

KEYS = 5_000
START = 2_000_000_000_000_000  # microseconds; in the future, so that no key expires meanwhile


@pytest.fixture
def set_clock(each_server, monkeypatch):
    """Return what sets the engine's clock: in place of it, the script reads a key."""
    install(
        monkeypatch,
        engine.script()[0].decode().replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')"),
    )

    def set_clock(us):
        each_server.client.hset("clock", mapping={"s": us // 1_000_000, "us": us % 1_000_000})

    set_clock(START)
    return set_clock


def limiter_on(server, name, quota, algorithm=TokenBucket, **options):
    server.client.delete(*(server.client.keys(f"rl:{name}:*") or ["none"]))
    return algorithm(quota, table=Table.valkey(server.url, name=name, timeout=10, remember=0), **options)


def test_a_key_of_a_bucket_takes_at_most_110_bytes(each_server):
    each_server.client.flushall()
    limiter = limiter_on(each_server, "size", "100/minute")
    before = each_server.client.info("memory")["used_memory_dataset"]
    limiter.allow_many([f"user:{number:07}" for number in range(KEYS)])
    limiter.allow_many([f"user:{number:07}" for number in range(KEYS)])
    assert each_server.client.object("encoding", "rl:size:{suser:0000000}") == b"int"
    assert (each_server.client.info("memory")["used_memory_dataset"] - before) / KEYS <= 110
    each_server.client.flushall()


@pytest.mark.parametrize("algorithm", [TokenBucket, LeakyBucket])
def test_a_batch_of_hits_equals_single_hits(each_server, set_clock, algorithm):
    """Keys that are new, live, full again, refused, or occur twice."""
    options = {"burst": 4} if algorithm is TokenBucket else {"capacity": 4}
    single, batch = (limiter_on(each_server, name, "2/second", algorithm, **options) for name in ("one", "many"))
    now = START
    for step, gap in enumerate([0, 1, 300_000, 499_999, 0, 500_000, 900_000, 1, 10_000_000, 0, 0, 0, 250_000]):
        now += gap
        set_clock(now)
        keys = [f"k{step % 3}", "a", "b", "a", "a", f"n{step}", "b"]
        expected = [single.hit(key) for key in keys]
        rows = batch.hit_many(keys)
        assert [bool(row["allowed"]) for row in rows] == [decision.allowed for decision in expected]
        assert rows["remaining"].tolist() == [decision.remaining for decision in expected]
        assert rows["retry_after_ns"].tolist() == [decision.retry_after_ns for decision in expected]
        for key in set(keys):
            one, many = (each_server.client.get(f"rl:{name}:{{s{key}}}") for name in ("one", "many"))
            assert one[:16] == many[:16]


gaps = st.integers(0, 3_000_000) | st.sampled_from([0, 1, 250_000, 10_000_000])
jumps = st.sampled_from([0, 0, 0, 1, 999, 250_000, 1_700_000, 60_000_000])
requests = st.lists(st.tuples(gaps, jumps, st.booleans(), st.integers(1, 3)), min_size=3, max_size=40)


@pytest.mark.parametrize("limit", [4, 3], ids=["whole microseconds", "fractions"])
@given(requests)
@settings(max_examples=1_000 if NIGHTLY else 40, deadline=None)
def test_a_clock_that_goes_back_breaks_no_promise(each_server, set_clock, limit, requests):
    """In real time the key never has more than an exact bucket that was charged with what was admitted."""
    limiter = limiter_on(each_server, "real", Quota(limit, 1), burst=20)
    interval, spent = Fraction(1_000_000, limit), Fraction(0)  # what an exact bucket lacks, in microseconds
    now, is_exact = START, True
    for gap, back, is_batch, cost in requests:
        now += gap - back
        is_exact = is_exact and not back
        set_clock(now)
        spent = max(Fraction(0), spent - gap)
        has_room = spent + cost * interval <= 20 * interval
        if is_batch:
            allowed = limiter.allow_many(["k", "other"], [cost, cost])[0]
        else:
            decision = limiter.hit("k", cost)
            allowed = decision.allowed
            assert decision.retry_after_ns <= -(-cost * interval * 1_000 // 1), "never stricter than an empty bucket"
        assert has_room or not allowed
        assert not is_exact or has_room == allowed
        if allowed:
            spent += cost * interval


@pytest.mark.parametrize("back", [0, 1, 30, 3_000])
def test_a_clock_that_goes_back_is_at_most_a_sixteenth_too_strict(each_server, set_clock, back):
    limiter = limiter_on(each_server, "back", "1/second", burst=1_000)
    limiter.hit("k", 600)
    set_clock(START - back * 1_000_000)
    for decide in (lambda: limiter.peek("k"), lambda: limiter.hit("k"), lambda: limiter.hit_many(["k", "l"])):
        decide()
        assert 600 <= limiter.peek("k").reset_after <= 600 + 600 / 16 + 2


def test_an_empty_bucket_is_not_stricter_after_the_clock_went_back(each_server, set_clock):
    limiter = limiter_on(each_server, "empty", "1/second", burst=1_000)
    limiter.hit("k", 1_000)
    set_clock(START - 30_000_000)
    assert limiter.hit("k").retry_after == 1
    assert limiter.allow_many(["k", "l"]).tolist() == [False, True]
    set_clock(START - 29_000_000)
    assert limiter.hit_many(["k", "l"])["allowed"].all()


def test_a_quota_of_a_call_is_not_forgotten_when_the_clock_went_back(each_server, set_clock):
    limiter = limiter_on(each_server, "own", "1/second", burst=10)
    more = Quota(1, 1, burst=1_000)
    limiter.hit("k", 900, quota=more)
    set_clock(START - 30_000_000)
    assert not limiter.hit("k").allowed
    assert not limiter.allow_many(["k"])[0]
    assert limiter.peek("k", quota=more).remaining == 100


def test_a_value_of_19_characters_need_not_be_an_integer(each_server, set_clock):
    limiter = limiter_on(each_server, "long", "1000/second")
    for key in ("k", "l"):
        limiter.hit(key, 12, quota=Quota(1_000_000, 1))
    set_clock(START + 13)
    assert limiter.hit("k").remaining == 999
    assert limiter.hit_many(["k", "l"])["remaining"].tolist() == [998, 999]


def test_a_booking_is_not_forgotten_when_a_later_quota_wrote_it(each_server, set_clock):
    """The clock went back, and the first request by the new quota writes that; the old quota would take it for its own."""
    first = limiter_on(each_server, "later", "1/second")
    second = TokenBucket("1/second", table=Table.valkey(each_server.url, name="later", timeout=10))
    for _ in range(300):
        first.reserve("k")
    second.change(Quota(1, 1, burst=1_000))
    set_clock(START - 3_000_000_000)
    asked = pack_all([request_of(second, "k")])
    second.table.remote.engine.run([engine.decide([asked])])
    assert 298 <= first.peek("k").retry_after <= 320


def test_a_clock_before_2001_decides_too():
    """A moment has fewer digits there, so the value is not an integer."""
    server = Server(valkey_server(), skew="-30y")
    try:
        assert server.client.time()[0] < 1_000_000_000
        limiter = limiter_on(server, "early", "1/hour", burst=3)
        assert [limiter.allow("k") for _ in range(4)] == [True, True, True, False]
        assert limiter.allow_many(["k", "l", "l", "l", "l"]).tolist() == [False, True, True, True, False]
    finally:
        server.kill()


def test_a_key_stays_for_a_second_after_it_is_like_new(each_server, set_clock):
    """The expiry is kept by a hit after which it is still late enough, and set by every other."""
    limiter = limiter_on(each_server, "stay", "10/second", burst=50)
    client, now = each_server.client, START + 123_456
    for gap in [0, 0, 40_000, 100_000, 650_000, 3, 950_000, 2_000_000, 1, 99_999]:
        now += gap
        set_clock(now)
        for name in ("a", "b"):
            limiter.hit(name)
        limiter.allow_many(["a", "c", "d"])
        for name in "abcd":
            fresh = int((client.get(f"rl:stay:{{s{name}}}") or b"0")[:16])
            if fresh:
                stays = client.execute_command("PEXPIRETIME", f"rl:stay:{{s{name}}}") * 1_000 - fresh
                assert 1_000_000 <= stays <= 2_000_000
