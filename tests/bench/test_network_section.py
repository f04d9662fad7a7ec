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
    assert section.targets[0].measured > 0
    monkeypatch.setattr(network, "server_binary", lambda: None)
    assert network.measure(LITTLE, lambda step: None).text.startswith("Not measured")
