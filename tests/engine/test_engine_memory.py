"""A server without memory, under each of its policies: what it does to decisions, and which of them are warned of."""

import warnings

import pytest

from ratelimit import FixedWindow, Table, TableFull, TokenBucket

SPENT = [f"spent:{number}" for number in range(50)]
ROOM = 400_000  # bytes beyond those of the empty server
FORGETTING = [
    *("allkeys-lru", "allkeys-lfu", "allkeys-random"),
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
]


@pytest.fixture
def crowded(own_server):
    """Return a function that makes a limiter on a server with little room and a policy."""
    own_server.client.config_set("maxmemory-samples", 10)

    def limiter(policy, *, algorithm=TokenBucket, on_full="raise", **options):
        own_server.client.config_set("maxmemory", own_server.client.info("memory")["used_memory"] + ROOM)
        own_server.client.config_set("maxmemory-policy", policy)
        table = Table.valkey(own_server.url, name="crowded", timeout=30, remember=0, **options)
        return algorithm("10/hour", table=table, on_full=on_full)

    return limiter


def flood(limiter, name, cost, is_enough, times=1):
    """Spend from new keys, some times from each, until it is enough."""
    number = 0
    while not is_enough():
        limiter.allow_many([f"{name}:{number + i}" for i in range(100)] * times, cost)
        number += 100


def admitted(limiter, keys):
    """Return how many keys get something to spend again."""
    return sum(limiter.peek(key).allowed for key in keys)


def test_a_full_server_that_evicts_nothing_refuses_to_spend_and_forgets_nothing(crowded, own_server):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limiter = crowded("noeviction")
    limiter.allow_many([*SPENT, "known"], [10] * len(SPENT) + [1])
    with pytest.raises(TableFull, match="no memory left"):
        flood(limiter, "new", 1, lambda: False)
    own_server.client.config_set("maxmemory", 1)
    with pytest.raises(TableFull):
        limiter.hit("known")  # since a decision writes
    decision = limiter.hit(SPENT[0])
    assert (decision.allowed, decision.source) == (False, "engine"), "a refusal writes nothing"
    assert admitted(limiter, SPENT) == 0
    assert own_server.client.info("stats")["evicted_keys"] == 0
    assert limiter.table.remote.traffic().outages == 0, "it answers"
    own_server.client.config_set("maxmemory", 0)
    assert limiter.hit("known").remaining == 8, "what was answered by on_full is not spent"


@pytest.mark.slow
@pytest.mark.parametrize("policy", FORGETTING)
def test_a_server_that_evicts_gives_keys_a_second_quota_and_is_warned_of(crowded, own_server, policy):
    with pytest.warns(UserWarning, match=f"maxmemory-policy is {policy}.*second quota.*noeviction"):
        limiter = crowded(policy)
    limiter.allow_many(SPENT, 10)
    assert admitted(limiter, SPENT) == 0
    names = [b"rl:crowded:{s%b}" % key.encode() for key in SPENT]
    # For the policies that look at how often a key is used, the new keys are used as often.
    flood(limiter, "new", 10, lambda: own_server.client.exists(*names) < len(names), times=4)
    assert limiter.hit("another").source == "engine"
    own_server.client.config_set("maxmemory", 0)
    kept = own_server.client.exists(*names)
    assert admitted(limiter, SPENT) == len(names) - kept


def test_a_server_that_evicts_what_expires_next_keeps_the_keys_that_spent_most(crowded, own_server):
    """The usual flood is of keys with a request or two."""
    with pytest.warns(UserWarning, match="volatile-ttl, which evicts first what is nearest to new"):
        limiter = crowded("volatile-ttl")
    limiter.allow_many(SPENT, 10)
    flood(limiter, "new", 1, lambda: own_server.client.info("stats")["evicted_keys"] > 5_000)
    assert admitted(limiter, SPENT) == 0


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_table_outlives_the_eviction_of_its_label(crowded, own_server, policy):
    with pytest.warns(UserWarning, match="maxmemory-policy"):
        limiter = crowded(policy, algorithm=FixedWindow)
    label = limiter.table.remote.label
    own_server.client.delete(label)
    limiter.table.remote._look_at = 0
    assert limiter.hit("k").remaining == 9
    assert own_server.client.exists(label)
