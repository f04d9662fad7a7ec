"""A cluster of three servers: slots that move in the middle of a batch, limits on several servers, a server that dies."""

import asyncio
import multiprocessing
import time

import pytest
import valkey
from ports import free_port
from test_engine_leases import on_engine, spend_until_leased
from valkey_servers import Server, valkey_server
from waiting import PATIENCE, until

from ratelimit import All, FixedWindow, SlidingLog, Table, TableUnreachable, TokenBucket
from ratelimit._cli import table as command
from ratelimit._remote.keeper import keeper
from ratelimit._storage.valkey.cluster import SLOTS

BOUNDS = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]


def port_for_bus():
    """Return a free port for which the port of the cluster's bus, 10,000 higher, exists."""
    return next(port for port in iter(free_port, None) if port < 55_000)


class Cluster:
    """Three primaries, each with a third of the slots."""

    def __init__(self):
        options = "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"
        self.servers = [Server(valkey_server(), *options, find_port=port_for_bus) for _ in range(3)]
        for server, first, after in zip(self.servers, BOUNDS, BOUNDS[1:], strict=False):
            server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
            server.client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        until(lambda: all(self.is_complete(server) for server in self.servers))
        self.url = f"valkey+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}"

    def is_complete(self, server):
        state = self.call(server, "CLUSTER", "INFO")
        return b"cluster_slots_ok:16384" in state and b"cluster_state:ok" in state

    @staticmethod
    def call(server, *words):
        """Send a command that the client itself would read otherwise."""
        connection = server.client.connection_pool.get_connection("x")
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            server.client.connection_pool.release(connection)

    def server_of(self, slot):
        return next(server for server, after in zip(self.servers, BOUNDS[1:], strict=True) if slot < after)

    def identity(self, server):
        return self.call(server, "CLUSTER", "MYID").decode()

    def move(self, slot, target, half=False):
        """Move a slot with its keys to another server; `half` leaves it between both."""
        source = self.server_of(slot)
        self.call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(source))
        self.call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(target))
        keys = self.call(source, "CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        if keys:
            self.call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
        if not half:
            for server in (target, source):
                self.call(server, "CLUSTER", "SETSLOT", slot, "NODE", self.identity(target))

    def kill(self):
        for server in self.servers:
            server.kill()


@pytest.fixture(scope="module")
def shared_cluster():
    cluster = Cluster()
    yield cluster
    cluster.kill()


@pytest.fixture
def cluster(shared_cluster):
    for server in shared_cluster.servers:
        server.client.flushall()
    return shared_cluster


@pytest.fixture
def own_cluster():
    cluster = Cluster()
    yield cluster
    cluster.kill()


def table_on(cluster, name, **options):
    return Table.valkey(cluster.url, name=name, **{"timeout": 10, "remember": 0, **options})


def limit_on(cluster, quota="5/hour", name="cluster", algorithm=FixedWindow, **options):
    return algorithm(quota, table=table_on(cluster, name, **options))


def slot_of(limiter, key):
    remote = limiter.table.remote
    return remote.engine.slot_of(remote.prefix + b"{s%b}" % key.encode())


def test_every_verb_finds_the_server_of_its_key(cluster):
    limiter = limit_on(cluster, algorithm=TokenBucket)
    for key in map(str, range(30)):
        assert limiter.hit(key, 2).remaining == 3
        limiter.refund(key)
        limiter.reserve(key).cancel()
        assert limiter.peek(key).remaining == 4
        limiter.block(key, 50)
        assert not limiter.allow(key)
        limiter.reset(key)
        assert limiter.allow(key)
    assert all(server.client.dbsize() > 1 for server in cluster.servers)
    limiter.change("9/hour")
    assert limit_on(cluster, "5/hour", algorithm=TokenBucket).hit("0").limit == 9


def test_a_batch_goes_to_all_servers_at_once_and_keeps_its_order(cluster):
    limiter = limit_on(cluster)
    keys = [str(number) for number in range(60)] * 3
    limiter.allow_many(keys)
    limiter.table.remote._look_at = 1e18
    engine = limiter.table.remote.engine
    before = engine.trips
    assert limiter.allow_many(keys).tolist() == [True] * 120 + [False] * 60
    assert engine.trips - before == 3, "one for each server"

    async def at_once():
        return await asyncio.gather(*(limiter.hit_async(f"new{number % 50}") for number in range(300)))

    asyncio.run(limiter.hit_async("warm"))
    before = engine.trips
    assert sum(decision.allowed for decision in asyncio.run(at_once())) == 250
    assert engine.trips - before <= 6, "one for each server, and the script"


def test_leases_of_keys_on_all_servers(cluster):
    limiter = limit_on(cluster, "900/hour", lease=20)
    keys = [f"k{number}" for number in range(9)]
    spent = {key: spend_until_leased(limiter, key) for key in keys}
    assert limiter.allow_many(keys).all()
    until(lambda: not keeper.is_busy)
    keeper.give_all_back()
    assert {key: 900 - on_engine(limiter, key) - 1 for key in keys} == spent


def test_limits_of_one_key_are_one_script(cluster):
    both = limit_on(cluster, name="one") & limit_on(cluster, "3/hour", name="two", algorithm=SlidingLog)
    both.hit("k")
    engine = both.limiters[0].table.remote.engine
    for one in both.limiters:
        one.table.remote._look_at = 1e18
    before = engine.trips
    both.hit("k")
    assert engine.trips - before == 1
    assert both.reserve("k").allowed


def keys_on_several_servers(limiter, cluster):
    found = {}
    for number in range(1_000):
        found.setdefault(cluster.server_of(slot_of(limiter, f"u{number}")).port, f"u{number}")
    assert len(found) == 3
    return list(found.values())


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "asyncio"])
def test_limits_on_several_servers_are_taken_at_once_or_not(cluster, is_async):
    limiters = [limit_on(cluster, quota, name=f"n{quota[0]}") for quota in ("9/hour", "2/hour", "8/hour")]
    keys = keys_on_several_servers(limiters[0], cluster)
    bound = All(*limiters).bind(keys)
    hit = (lambda: asyncio.run(bound.hit_async())) if is_async else bound.hit
    assert [hit().allowed for _ in range(4)] == [True, True, False, False]
    assert hit().limiter is limiters[1]
    assert [limiter.peek(key).remaining for limiter, key in zip(limiters, keys, strict=True)] == [7, 0, 6]
    assert not bound.peek().allowed


def test_no_promise_is_broken_over_several_servers(cluster):
    """Greedy processes; the moments are those at which a request was surely still being decided."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=spend_greedily, args=(cluster.url, 1.0, results)) for _ in range(3)]
    for process in processes:
        process.start()
    seen = [one for _ in processes for one in results.get(timeout=PATIENCE)]
    for process in processes:
        process.join()
    began, ended = sorted(one[0] for one in seen), sorted(one[1] for one in seen)
    # All that was admitted was admitted from the first beginning to the last end.
    seconds = (ended[-1] - began[0]) / 1e9
    assert len(seen) <= 50 + seconds * 200 + 1
    assert len(seen) > 50, "the limits admit something"


def spend_greedily(url, seconds, results):
    all_of, user = (
        TokenBucket(quota, burst=50, table=Table.valkey(url, name=name, timeout=10, remember=0))
        for name, quota in (("global", "200/second"), ("user", "300/second"))
    )
    bound = All(all_of, user).bind(["all", "u0"])
    bound.hit()
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic_ns()
        if bound.hit().allowed:
            seen.append((begin, time.monotonic_ns()))
    results.put(seen)


def test_a_slot_that_moves_in_the_middle_of_a_batch_loses_nothing(own_cluster):
    limiter = limit_on(own_cluster)
    keys = [f"k{number}" for number in range(20)]
    limiter.allow_many(keys)
    slot = slot_of(limiter, "k0")
    source = own_cluster.server_of(slot)
    target = next(server for server in own_cluster.servers if server is not source)
    own_cluster.move(slot, target, half=True)
    assert limiter.hit("k0").remaining == 3, "by ASK"
    assert asyncio.run(limiter.hit_async("k0")).remaining == 2
    for server in (target, source):
        own_cluster.call(server, "CLUSTER", "SETSLOT", slot, "NODE", own_cluster.identity(target))
    assert limiter.allow_many(keys).all(), "by MOVED"
    own_cluster.move(slot_of(limiter, "k1"), target) if own_cluster.server_of(
        slot_of(limiter, "k1")
    ) is not target else 0
    assert asyncio.run(limiter.hit_async("k1")).remaining == 2
    assert limiter.peek("k0").remaining == 1
    assert limiter.table.remote.engine.unanswered == 0


def test_a_server_that_is_away_takes_only_its_keys_with_it(own_cluster):
    limiter = limit_on(own_cluster, timeout=1)
    raising = limit_on(own_cluster, timeout=1, unreachable="raise", name="raise")
    keys = keys_on_several_servers(limiter, own_cluster)
    limiter.allow_many(keys)
    dead = own_cluster.server_of(slot_of(limiter, keys[1]))
    dead.kill()
    sources = [limiter.hit(key).source for key in keys]
    assert sources == ["engine", "fallback", "engine"]
    assert limiter.allow_many(keys).tolist() == [True, False, True]
    bound = All(limiter, raising).bind([keys[0], keys[1]])
    left = limiter.peek(keys[0]).remaining
    with pytest.raises(TableUnreachable):
        bound.hit()
    assert limiter.peek(keys[0]).remaining == left, "what was taken alone is given back"
    until(lambda: limiter.table.remote.traffic().is_open or (limiter.hit(keys[1]) and None))


def test_a_cluster_client_and_the_command_know_its_tables(cluster, capsys):
    client = valkey.ValkeyCluster(host="127.0.0.1", port=cluster.servers[1].port)
    limiter = FixedWindow("5/hour", table=Table.valkey(client, name="client", timeout=10))
    assert limiter.allow_many([str(number) for number in range(30)]).all()
    assert command.main(["list", cluster.url]) == 0
    assert "fixed-window 5/hour" in capsys.readouterr().out
    assert command.main(["show", f"{cluster.url}?name=client"]) == 0
    assert "keys         30" in capsys.readouterr().out
    assert command.main(["remove", f"{cluster.url}?name=client"]) == 0
    assert sum(server.client.dbsize() for server in cluster.servers) == 0
