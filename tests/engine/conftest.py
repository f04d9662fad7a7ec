import itertools

import pytest
from valkey_servers import Server, redis_8, redis_server, valkey_server

from ratelimit import Table

_numbers = itertools.count()


@pytest.fixture(scope="session", params=[valkey_server, redis_server, redis_8], ids=["valkey", "redis-7", "redis-8"])
def each_server(request):
    """Every kind of server in turn, for what depends on its scripts."""
    server = Server(request.param())
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_server():
    server = Server(valkey_server())
    yield server
    server.kill()


@pytest.fixture
def server(shared_server):
    """A running server, emptied before each test."""
    shared_server.client.flushall()
    shared_server.client.config_set("maxmemory", 0)
    return shared_server


@pytest.fixture
def own_server():
    """A server that the test may stop and kill."""
    server = Server(valkey_server())
    yield server
    server.kill()


@pytest.fixture
def table(server):
    """Return a function that names a new table."""

    def named(name=None, **options):
        options.setdefault("timeout", 5)
        return Table.valkey(server.url, name=name or f"t{next(_numbers)}", **options)

    return named
