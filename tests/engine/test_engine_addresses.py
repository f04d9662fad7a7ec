"""Where an engine may be: behind TLS, behind Sentinel with a failover, and at a client's own address."""

import asyncio

import pytest
import redis
from ports import free_port
from valkey_servers import Server, redis_server
from waiting import PATIENCE, pace_async, until

from ratelimit import FixedWindow, Table, TableUnreachable


@pytest.fixture
def tls_server(certificate):
    """A server that speaks TLS beside plain TCP, which only the test uses."""
    key, chain = certificate
    port = free_port()
    server = Server(
        redis_server(), *("--tls-port", str(port), "--tls-cert-file", chain, "--tls-key-file", key),
        *("--tls-ca-cert-file", chain, "--tls-auth-clients", "no"),
    )  # fmt: skip
    server.tls_port = port
    yield server
    server.kill()


@pytest.mark.parametrize("scheme", ["valkeys", "rediss"])
def test_uses_tls_and_checks_the_certificate(tls_server, certificate, scheme):
    url = f"{scheme}://localhost:{tls_server.tls_port}/0"
    trusted = Table.valkey(f"{url}?ssl_ca_certs={certificate[1]}", name=scheme, timeout=5)
    assert repr(trusted).startswith("Table.valkey('valkeys://localhost:")
    limiter = FixedWindow("2/hour", table=trusted)
    assert [limiter.hit("k").source for _ in range(2)] == ["engine", "engine"]
    assert not limiter.allow("k")
    assert FixedWindow("2/hour", table=Table.valkey(tls_server.url, name=scheme)).peek("k").remaining == 0
    with pytest.raises(TableUnreachable, match="certificate verify failed"):
        FixedWindow("2/hour", table=Table.valkey(url, name=scheme))


def test_takes_a_client_of_redis_py(own_server):
    client = redis.Redis(port=own_server.port, db=3)
    limiter = FixedWindow("2/hour", table=Table.valkey(client, name="client", timeout=5))
    assert [limiter.allow("k") for _ in range(3)] == [True, True, False]
    assert client.dbsize() > 0, "the database of the client has the keys"
    assert own_server.client.dbsize() == 0


def replicate(primary):
    """Wait until the replica has all that was written; WAIT asks for the writes of its own connection."""
    with primary.client.client() as one:
        one.set("last", 1)
        assert one.wait(1, 60_000) == 1


def test_follows_sentinel_to_the_promoted_replica(watch):
    (primary, replica), url = watch()
    limiter = FixedWindow("9/hour", anchor="first", table=Table.valkey(url, name="failover", timeout=5))
    assert limiter.hit("k", 4).source == "engine"
    replicate(primary)
    primary.kill()
    after = until(lambda: (found := limiter.hit("k")).source == "engine" and found)
    assert after.remaining <= 4, "what was spent is still spent"
    assert replica.client.info("replication")["role"] == "master"


def test_follows_sentinel_in_an_event_loop(watch):
    (primary, _), url = watch()
    limiter = FixedWindow("9/hour", anchor="first", table=Table.valkey(url, name="failover", timeout=5))

    async def main():
        assert (await limiter.hit_async("k")).source == "engine"
        replicate(primary)
        primary.kill()
        sources = []
        while "engine" not in sources:
            sources.append((await limiter.hit_async("k")).source)
            await pace_async(0.01)
        return (await limiter.peek_async("k")).remaining

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) <= 7
