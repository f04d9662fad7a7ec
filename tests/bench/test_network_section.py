"""Decisions by a server: each part does the work that its time is reported for."""

import pytest
from tools import needs

from ratelimit.bench import network
from ratelimit.bench.measure import Effort

LITTLE = Effort(rounds=2, piece_ns=1_000_000, many=1_000)


@pytest.fixture(scope="module")
def port():
    needs("redis-server")
    with network.server() as port:
        yield port


def test_each_contestant_asks_the_server(port):
    import valkey

    client = valkey.Valkey("127.0.0.1", port)
    works = {"bare": network.bare(port), "ours": network.ours("TokenBucket", port), **network.peers(port)}
    assert len(works) >= 5
    for name, work in works.items():
        before = client.info("stats")["total_reads_processed"]
        work()
        assert client.info("stats")["total_reads_processed"] >= before + 2, name  # its own, and that of INFO


@pytest.mark.parametrize("peer", network.installed(), ids=lambda peer: f"{peer.library} {peer.algorithm}")
def test_a_peer_admits_and_keeps_its_keys_on_the_server(port, peer):
    """It writes a key of its own for each user, and does not refuse what is within the limit."""
    import valkey

    def keys():
        """How many there are, and how many there have been."""
        clients = [valkey.Valkey("127.0.0.1", port, number) for number in range(4)]
        return clients[0].info("stats")["expired_keys"] + sum(client.dbsize() for client in clients)

    before = keys()
    decide = peer.make(port)
    results = [decide(f"{peer.algorithm} of {number}") for number in range(3) for _ in range(2)]
    assert keys() >= before + 3
    assert not any(getattr(result, "limited", not result) for result in results)


def test_many_are_decided_together_and_a_refusal_is_remembered(port):
    import valkey

    client = valkey.Valkey("127.0.0.1", port)
    works = network.many(port)
    for name, most in (("128 at once", 20), ("a batch", 5), ("remembered", 1)):
        works[name]()  # connects
        before = client.info("stats")["total_reads_processed"]
        assert works[name]() == 128
        assert client.info("stats")["total_reads_processed"] - before <= most, name


def test_short_run_of_every_part(monkeypatch):
    needs("redis-server")
    section = network.measure(LITTLE, lambda step: None)
    [single, together] = section.tables
    assert [row[0] for row in single.rows][:2] == ["a bare GET", "`TokenBucket.allow`"]
    assert all(row[1] > 0 for row in [*single.rows, *together.rows])
    assert all(target.measured > 0 for target in section.targets)
    monkeypatch.setattr(network, "server_binary", lambda: None)
    assert network.measure(LITTLE, lambda step: None).text.startswith("Not measured")
