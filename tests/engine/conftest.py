import itertools
import subprocess
import tempfile
from pathlib import Path

import pytest
import valkey
from hosts import Host
from ports import free_port
from valkey_servers import Server, redis_8, redis_server, valkey_server
from waiting import until

from ratelimit import Table
from ratelimit._storage.memory import shared_folder
from ratelimit._storage.valkey import lease_file
from ratelimit._storage.valkey.engine import script

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
    server.client.script_load(script()[0])  # so that no test is the first one, which has another round trip
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
def two_hosts():
    """Two network namespaces; without the right to make them, two groups of processes."""
    hosts = [Host(), Host()]
    yield hosts
    for host in hosts:
        host.stop()


@pytest.fixture(autouse=True)
def lease_folder(monkeypatch):
    """A folder in shared memory for the leases of a test, so that it leaves none behind."""
    with tempfile.TemporaryDirectory(dir=shared_folder()) as folder:
        monkeypatch.setattr(lease_file, "shared_folder", lambda: Path(folder))
        yield Path(folder)


@pytest.fixture
def table(server):
    """Return a function that names a new table."""

    def named(name=None, **options):
        options.setdefault("timeout", 5)
        return Table.valkey(server.url, name=name or f"t{next(_numbers)}", **options)

    return named


@pytest.fixture
def watch(tmp_path):
    """Return a function that starts a primary, its replicas, and a Sentinel that promotes one when the primary is gone.

    It returns the servers, the primary first, and the URL of the Sentinel.
    """
    running, sentinels = [], []

    def start(replicas=1, skew=None):
        primary = Server(valkey_server(), "--repl-diskless-sync-delay", "0")
        running.append(primary)
        for _ in range(replicas):
            running.append(Server(valkey_server(), skew=skew))
            running[-1].client.replicaof("127.0.0.1", primary.port)
        until(lambda: all(one.client.info("replication")["master_link_status"] == "up" for one in running[1:]))
        file, port = tmp_path / "sentinel.conf", free_port()
        file.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor limits 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds limits 300\nsentinel failover-timeout limits 2000\n"
        )
        sentinels.append(
            subprocess.Popen([valkey_server(), file, "--sentinel"], stdout=subprocess.DEVNULL, cwd=tmp_path)
        )
        client = valkey.Valkey(port=port)
        until(lambda: knows_replicas(client, replicas))
        return running, f"valkey+sentinel://127.0.0.1:{port}/limits"

    yield start
    for sentinel in sentinels:
        sentinel.kill()
        sentinel.wait()
    for server in reversed(running):
        server.kill()


def knows_replicas(client, count):
    try:
        return client.sentinel_master("limits")["num-slaves"] == count
    except valkey.exceptions.ConnectionError:
        return False
