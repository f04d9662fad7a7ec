"""A replica that becomes the primary without the last writes, and decisions that replicas have to confirm."""

import asyncio
import bisect
import threading
import time

import pytest
from cases import ALGORITHMS
from valkey_servers import Server, valkey_server
from waiting import until

from ratelimit import FixedWindow, Quota, Table, TokenBucket
from ratelimit._storage.valkey.address import address_of


@pytest.fixture
def pair():
    """A primary and its replica."""
    primary, replica = Server(valkey_server(), "--repl-diskless-sync-delay", "0"), Server(valkey_server())
    replica.client.replicaof("127.0.0.1", primary.port)
    until(lambda: replica.client.info("replication")["master_link_status"] == "up")
    yield primary, replica
    replica.kill()
    primary.kill()


def fail_over(primary, replica, *limiters):
    """Promote the replica, and let the limiters find it, as Sentinel would."""
    replica.client.replicaof("NO", "ONE")
    for limiter in limiters:
        engine = limiter.table.remote.engine
        engine.address = address_of(replica.url)
        engine._idle.clear()
        engine.turns.clear()


def limiter_on(server, algorithm, quota=None, **options):
    table = Table.valkey(server.url, name="failover", timeout=5, remember=0, **options)
    return algorithm.make(quota or Quota(4, 3_600), table=table)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_new_primary_takes_keys_for_empty(pair, algorithm):
    primary, replica = pair
    limiter = limiter_on(primary, algorithm, after_failover="empty")
    other = limiter_on(primary, algorithm, after_failover="empty")
    assert limiter.hit("k").allowed, "the first primary is not a new one"
    until(lambda: replica.client.get("rl:primary") is not None)
    replica.client.replicaof("NO", "ONE")  # the link is cut
    limiter.hit("k", 2)
    fail_over(primary, replica, limiter, other)
    for key in "k", "lost":
        decision = limiter.hit(key)
        assert (decision.allowed, decision.remaining) == (False, 0)
        assert 0 < decision.retry_after <= 7_200
        assert asyncio.run(other.hit_async(key)).allowed is False, "all hosts have the same moment"
    limiter.reset("k")
    assert not limiter.hit("k").allowed


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_new_primary_admits_again_after_one_period(pair, algorithm):
    primary, replica = pair
    limiter = limiter_on(primary, algorithm, Quota(4, 0.2), after_failover="empty")
    limiter.hit("k")
    until(lambda: replica.client.get("rl:primary") is not None)
    fail_over(primary, replica, limiter)
    assert not limiter.hit("k", 4).allowed
    until(lambda: limiter.hit("k").allowed)


def test_without_the_option_a_new_primary_goes_on_as_it_is(pair):
    primary, replica = pair
    limiter = limiter_on(primary, ALGORITHMS[0])
    limiter.hit("k")
    until(lambda: replica.client.get("rl:failover:{sk}") is not None)
    replica.client.replicaof("NO", "ONE")
    limiter.hit("k", 2)
    fail_over(primary, replica, limiter)
    assert limiter.hit("k").remaining == 2, "the two that were not replicated are admitted again"


@pytest.mark.parametrize(("skew", "left"), [("-30s", 0), ("+30s", 5)])
def test_a_clock_that_differs_locks_no_key_out(skew, left):
    """A clock that leaps forward gives each key what that time is worth, at most one burst; one that goes back nothing."""
    primary, replica = Server(valkey_server(), "--repl-diskless-sync-delay", "0"), Server(valkey_server(), skew=skew)
    try:
        replica.client.replicaof("127.0.0.1", primary.port)
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        limiter = limiter_on(primary, ALGORITHMS[0], Quota(1, 3, burst=5))
        for key in "k", "idle":
            limiter.hit(key, 5)
        with primary.client.client() as one:
            one.set("last", 1)
            assert one.wait(1, 60_000) == 1, "the replica has all that was written"
        fail_over(primary, replica, limiter)
        decision = limiter.peek("k")
        assert decision.remaining - left in (0, 1), "a second may have passed"
        assert decision.retry_after <= 3, "by its quota, and not by the clock"
        limiter.hit("k")
        ahead = int(replica.client.get("rl:failover:{sk}")[:16]) / 1e6 - replica.client.time()[0]
        assert ahead <= 16, "the correction is written, also by a refusal"
    finally:
        replica.kill()
        primary.kill()


def test_nothing_unconfirmed_is_admitted(pair):
    primary, replica = pair
    limiter = limiter_on(primary, ALGORITHMS[0], durable=1)
    assert limiter.hit("k").source == "engine"
    primary.client.script_flush()
    assert limiter.hit("k").source == "engine"
    assert asyncio.run(limiter.hit_async("k")).source == "engine"
    assert replica.client.get("rl:failover:{sk}") == primary.client.get("rl:failover:{sk}")
    impatient = limiter_on(primary, ALGORITHMS[0], durable=1)
    fewer = TokenBucket("4/hour", table=Table.valkey(primary.url, name="failover", timeout=0.2, durable=1))
    replica.kill()
    decision = fewer.hit("k")
    assert (decision.allowed, decision.source) == (False, "fallback")
    until(lambda: fewer.hit("k").source == "fallback" and fewer.table.remote.traffic().is_open)
    assert impatient.table.remote.traffic().outages == 0
    replica.start()
    replica.client.replicaof("127.0.0.1", primary.port)
    until(lambda: not fewer.table.remote.traffic().is_open)
    assert fewer.hit("other").source == "engine"


def test_the_options_are_checked(server):
    with pytest.raises(ValueError, match=r"after_failover: .*'as-is'.*'empty'.*got 'full'"):
        Table.valkey(server.url, name="x", after_failover="full")
    with pytest.raises(ValueError, match="durable: "):
        Table.valkey(server.url, name="x", durable=-1)
    with pytest.raises(ValueError, match="after_failover: expected 'as-is' with a cluster"):
        FixedWindow("1/hour", table=Table.valkey("valkey+cluster://a", name="x", after_failover="empty"))


RATE, BURST = 500, 100
OVER_A_FAILOVER = [
    # the options, how much the replica's clock differs, and how much more than the promise may be admitted once
    pytest.param({}, None, BURST, id="as-is"),
    pytest.param({}, "-30s", BURST, id="as-is, behind"),
    pytest.param({}, "+30s", BURST, id="as-is, ahead"),
    pytest.param({"lease": 0.1}, None, BURST, id="as-is, leases"),
    pytest.param({"after_failover": "empty"}, None, 0, id="empty"),
    pytest.param({"after_failover": "empty"}, "-30s", 0, id="empty, behind"),
    pytest.param({"after_failover": "empty"}, "+30s", 0, id="empty, ahead"),
    pytest.param({"after_failover": "empty", "lease": 0.1}, None, 0, id="empty, leases"),
    pytest.param({"after_failover": "empty", "lease": 0.1}, "-30s", 0, id="empty, behind, leases"),
    pytest.param({"durable": 1}, None, 0, id="durable"),
    pytest.param({"durable": 1, "lease": 0.1}, None, 0, id="durable, leases"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "skew", "excess"), OVER_A_FAILOVER)
def test_a_primary_killed_in_mid_load_keeps_the_promise(watch, options, skew, excess):
    """Greedy threads over a failover by Sentinel. A decision counts from its beginning to its end."""
    (primary, *_), url = watch(replicas=2 if "durable" in options else 1, skew=skew)
    admitted, is_over = [], threading.Event()
    table = Table.valkey(url, name="load", timeout=1, remember=0, **options)
    limiter = TokenBucket(f"{RATE}/second", burst=BURST, table=table)

    def spend():
        while not is_over.is_set():
            begin = time.monotonic()
            if limiter.allow("k"):
                admitted.append((begin, time.monotonic()))

    threads = [threading.Thread(target=spend) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(admitted) > 2 * BURST)
    primary.kill()
    killed = time.monotonic()
    until(lambda: sum(begin > killed for begin, _ in admitted) > BURST, lambda: "the key is locked out")
    is_over.set()
    for thread in threads:
        thread.join()
    begun, ended = sorted(begin for begin, _ in admitted), sorted(end for _, end in admitted)
    worst = max(
        # what began after `first` and ended before `last` was admitted between them
        bisect.bisect_right(ended, last) - bisect.bisect_left(begun, first) - BURST - RATE * (last - first)
        for first in begun[::5]
        for last in ended[::5]
        if last > first
    )
    assert worst <= excess + 1
