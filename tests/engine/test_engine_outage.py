"""An engine that is held up, killed, flushed, full or read-only: a documented answer within the deadline, once."""

import asyncio
import time

import pytest
from waiting import until

from ratelimit import All, CorruptTable, FixedWindow, SlidingLog, Table, TableFull, TableUnreachable, TokenBucket

QUOTA = "10/hour"


def limiter_on(server, *, algorithm=FixedWindow, on_full="deny", name="outage", **options):
    options.setdefault("timeout", 5)
    return algorithm(QUOTA, table=Table.valkey(server.url, name=name, **options), on_full=on_full)


def test_a_held_up_engine_costs_three_timeouts_and_executes_once(own_server):
    limiter = limiter_on(own_server, timeout=0.2)
    engine = limiter.table.remote.engine
    limiter.hit("k")
    own_server.hold()
    before = engine.trips
    decisions = [limiter.hit("k") for _ in range(100)]
    assert {(decision.allowed, decision.source) for decision in decisions} == {(False, "fallback")}
    assert decisions[0].retry_after > 0
    assert engine.unanswered == 3
    assert engine.trips - before <= 3
    own_server.go_on()
    until(lambda: not engine.breaker.is_open)
    spent = 10 - limiter.peek("k").remaining
    assert spent <= 1 + engine.trips - before - 1, "executed more often than sent"
    assert limiter.hit("k").source == "engine"


def test_a_limiter_is_made_within_one_timeout(own_server):
    own_server.hold()
    table = Table.valkey(own_server.url, name="outage", timeout=0.1)
    with pytest.raises(TableUnreachable):
        FixedWindow("10/hour", table=table)
    assert table.remote.engine.unanswered == 1


def test_every_error_of_an_outage_has_its_reason(own_server):
    own_server.client.config_set("requirepass", "secret")
    table = Table.valkey(own_server.url, name="outage", timeout=5)
    for _ in range(5):  # the last ones without asking
        with pytest.raises(TableUnreachable, match=r"[Aa]uthentication required"):
            FixedWindow("10/hour", table=table)
    assert table.remote.engine.breaker.is_open


def test_one_request_has_one_deadline(own_server):
    limiter = limiter_on(own_server, timeout=0.1)
    own_server.hold()
    begin = time.monotonic()
    limiter.hit("k")
    waited = time.monotonic() - begin
    own_server.go_on()
    assert waited < 5, "the deadline is 0.1 s; a busy machine may add to it"
    assert (
        10 - until(lambda: limiter.peek("k") if not limiter.table.remote.engine.breaker.is_open else None).remaining
        <= 1
    )


def test_a_killed_engine_is_used_again_when_it_is_back(own_server):
    limiter = limiter_on(own_server)
    limiter.hit("k")
    own_server.kill()
    assert limiter.hit("k").source == "fallback"
    until(lambda: (limiter.hit("k") and None) or limiter.table.remote.engine.breaker.is_open)
    own_server.start()
    until(lambda: limiter.hit("k").source == "engine")


def test_async_requests_have_the_deadline_too(own_server):
    limiter = limiter_on(own_server, timeout=0.5)
    limiter.hit("k")

    async def ask():
        assert (await limiter.hit_async("k")).source == "engine"
        own_server.hold()
        try:
            return [decision.source for decision in await asyncio.gather(*(limiter.hit_async("k") for _ in range(20)))]
        finally:
            own_server.go_on()

    assert set(asyncio.run(ask())) == {"fallback"}
    assert limiter.table.remote.engine.unanswered == 1, "they went as one call"


def test_a_busy_event_loop_is_not_an_outage(server):
    limiter = limiter_on(server, timeout=0.3)
    limiter.hit("k")  # so that the engine has the script

    async def ask():
        asked = asyncio.ensure_future(limiter.hit_async("k"))
        while limiter.table.remote.engine.trips == before:
            await asyncio.sleep(0)  # noqa: TID251
        until(lambda: time.monotonic() > begin + 0.5)  # blocks the loop until the deadline is over
        return await asked

    before, begin = limiter.table.remote.engine.trips, time.monotonic()
    assert asyncio.run(ask()).source == "engine"


@pytest.mark.parametrize(("policy", "allowed"), [("deny", False), ("allow", True)])
def test_answers_by_the_policy(own_server, policy, allowed):
    limiter = limiter_on(own_server, unreachable=policy)
    own_server.kill()
    assert limiter.allow("k") is allowed
    assert list(limiter.allow_many(["a", "b"])) == [allowed] * 2
    assert limiter.hit_many(["a"])["allowed"][0] == allowed
    assert All(limiter, TokenBucket("5/minute")).allow("k") is allowed
    assert limiter.reserve("k").allowed is allowed
    limiter.refund("k")


def test_raises_if_asked_to(own_server):
    limiter = limiter_on(own_server, unreachable="raise")
    own_server.kill()
    for verb in (limiter.allow, limiter.hit, limiter.peek, limiter.reserve, limiter.refund, limiter.wait):
        with pytest.raises(TableUnreachable):
            verb("k")


def test_a_wait_without_an_engine_raises(own_server):
    limiter = limiter_on(own_server)
    own_server.kill()
    with pytest.raises(TableUnreachable):
        limiter.wait("k")
    with pytest.raises(TableUnreachable):
        asyncio.run(limiter.wait_async("k"))


def test_a_share_starts_with_nothing_and_refills_at_its_part_of_the_rate(own_server):
    table = Table.valkey(own_server.url, name="share", unreachable="share", hosts=4, timeout=0.2)
    limiter = TokenBucket("40000/second", burst=8, table=table)
    own_server.kill()
    decision = limiter.hit("k")
    assert (decision.allowed, decision.source, decision.limit) == (False, "fallback", 2)
    until(lambda: limiter.hit("k").allowed)


def test_survives_a_flush_of_scripts_and_of_keys(server):
    limiter = limiter_on(server)
    limiter.hit("k", 4)
    server.client.script_flush()
    assert limiter.hit("k").remaining == 5
    assert asyncio.run(limiter.hit_async("k")).remaining == 4
    server.client.flushall()
    assert limiter.hit("k").remaining == 9
    limiter.table.remote._look_at = 0
    limiter.hit("k")
    assert server.client.exists(limiter.table.remote.label), "the label is written again"


@pytest.mark.parametrize("algorithm", [FixedWindow, SlidingLog])
@pytest.mark.parametrize("value", ["hello", "1", "1 2 3 4 5 6", ["x"], {"a": 1}])
def test_a_foreign_value_is_an_error(server, algorithm, value):
    limiter = limiter_on(server, algorithm=algorithm)
    key = b"rl:outage:{sk}"
    if isinstance(value, str):
        server.client.set(key, value)
    elif isinstance(value, list):
        server.client.rpush(key, *value)
    else:
        server.client.hset(key, mapping=value)
    with pytest.raises(CorruptTable, match="not one of ratelimit"):
        limiter.hit("k")
    limiter.reset("k")
    assert limiter.hit("k").remaining == 9


@pytest.mark.parametrize("algorithm", [TokenBucket, FixedWindow])
@pytest.mark.parametrize("make", [lambda client, key: client.rpush(key, "x"), lambda client, key: client.set(key, "x")])
def test_a_foreign_value_in_a_batch_is_an_error_and_stays(server, algorithm, make):
    limiter = limiter_on(server, algorithm=algorithm)
    make(server.client, "rl:outage:{sk}")
    before = server.client.dump("rl:outage:{sk}")
    with pytest.raises(CorruptTable, match="not one of ratelimit"):
        limiter.allow_many(["a", "k", "b", "k"])
    assert server.client.dump("rl:outage:{sk}") == before


def test_a_batch_spends_from_a_key_as_often_as_it_occurs(server):
    limiter = limiter_on(server, algorithm=TokenBucket)
    assert limiter.allow_many(["a", "b", "a"] * 6, [1, 2, 2] * 6).tolist() == (
        [True] * 9 + [True, True, False] + [False, True, False] + [False] * 3
    )
    assert limiter.peek("a").remaining == 0


def test_a_full_engine_is_answered_by_on_full(server):
    limiters = [limiter_on(server, on_full=on_full) for on_full in ("deny", "allow", "raise")]
    server.client.config_set("maxmemory", 1)
    try:
        assert [one.allow("k") for one in limiters[:2]] == [False, True]
        with pytest.raises(TableFull, match="no memory"):
            limiters[2].allow("k")
    finally:
        server.client.config_set("maxmemory", 0)
    assert limiters[0].hit("k").remaining == 9, "nothing was spent"


def test_a_primary_that_became_a_replica_is_not_used(server):
    limiter = limiter_on(server)
    server.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert limiter.hit("k").source == "fallback"
    finally:
        server.client.execute_command("REPLICAOF", "NO", "ONE")
    assert limiter.hit("k").remaining == 9


def test_warns_of_an_engine_that_evicts_keys_in_use(server):
    server.client.config_set("maxmemory", "1gb")
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.warns(UserWarning, match="maxmemory-policy is allkeys-lru"):
            limiter_on(server)
    finally:
        server.client.config_set("maxmemory-policy", "noeviction")


def test_a_clock_that_goes_back_locks_no_key_out(server):
    """The state is as if the engine had written it an hour in the future."""
    limiter = limiter_on(server, algorithm=TokenBucket)
    ahead = int(server.client.time()[0]) * 10**6 + 3_600_000_000
    interval = 360_000_000
    server.client.set("rl:outage:{sk}", f"{ahead + interval} {interval}")
    decision = limiter.peek("k")
    assert decision.remaining == 9
    assert 359 < decision.reset_after <= 360
    limiter.hit("k", 10)
    assert int(server.client.get("rl:outage:{sk}")[:16]) < ahead, "the correction is written"
