"""Hosts behind a bad network: delays, replies that are lost, connections that are cut, and a link that is down."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from greed import Record, check_promise, wall_ahead
from lines import Line
from valkey_servers import Server, valkey_server
from waiting import PATIENCE, until

import ratelimit
from ratelimit import FixedWindow, SlidingLog, Table, TokenBucket

TESTS = Path(__file__).parents[1]
RATE, BURST = 60, 30  # less than the lines carry
GREEDY = "import sys; sys.path.insert(0, {tests!r}); from greed import spend; spend(**{arguments!r})"


@pytest.fixture
def reachable(two_hosts):
    """A server that the hosts reach."""
    server = Server(valkey_server(), address="0.0.0.0" if two_hosts[0].is_separate else "127.0.0.1")
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("lease", [None, 0.1], ids=["direct", "lease"])
@pytest.mark.parametrize("kind", ["token bucket", "sliding log"])
def test_greedy_hosts_behind_bad_lines_keep_the_promise(two_hosts, reachable, tmp_path, kind, lease):
    """Two hosts of two processes each. Decisions that were lost on the way are spent, and admit nothing."""
    lines = [
        Line(reachable.port, host.outside, delay=0.02, cut=0.01, loss=0.01, seed=seed)
        for seed, host in enumerate(two_hosts)
    ]
    records = [Record(tmp_path, number) for number in range(4)]
    ahead, processes = wall_ahead(), []

    def state():
        ended = [process.poll() for process in processes]
        return f"admitted {list(map(len, records))}, ended {ended}, {[(line.cuts, line.losses) for line in lines]}"

    try:
        for number in range(4):
            host, line, memory = two_hosts[number // 2], lines[number // 2], f"host{number // 2}"
            (tmp_path / memory).mkdir(exist_ok=True)
            arguments = {
                **{"url": f"valkey://{host.outside}:{line.port}/0", "folder": str(tmp_path), "number": number},
                **{"host": memory, "kind": kind, "rate": RATE, "burst": BURST, "lease": lease, "timeout": 0.2},
            }
            code = GREEDY.format(tests=str(TESTS), arguments=arguments)
            processes.append(host.start(sys.executable, "-c", retried(code), folder=tmp_path))
        until(lambda: sum(map(len, records)) > 3 * RATE and all(map(len, records)), state)
        until(lambda: all(line.cuts > 5 and line.losses > 5 for line in lines), state)
    finally:
        for record in records:
            record.stop()
        for line in lines:
            line.close()
    check_promise(kind, records, RATE, BURST, ahead)


def retried(code):
    """Return the code of a process that begins again until the server answers it: a limiter cannot be made before."""
    return f"from ratelimit import TableUnreachable\nwhile True:\n  try:\n    {code}\n    break\n  except TableUnreachable: pass"


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("algorithm", [FixedWindow, SlidingLog])
def test_nothing_is_carried_out_twice_on_a_bad_line(server, algorithm, is_async):
    """The server counted the requests that were admitted, and at most those whose answer was lost."""
    made = algorithm("40000/day", table=Table.valkey(server.url, name="bad", timeout=5, remember=0))
    line = Line(server.port, delay=0.001, cut=0.03, loss=0.02)
    url = f"valkey://127.0.0.1:{line.port}/0"
    limiter = until(lambda: connected(algorithm, url))
    admitted = lost = 0

    async def at_once():
        return await asyncio.gather(*(limiter.hit_async("k", 1 + number) for number in range(3)))

    async def ask():
        nonlocal admitted, lost
        while lost < 30 or admitted < 300:
            until(lambda: not limiter.table.remote.traffic().is_open)
            for cost, decision in enumerate(await at_once() if is_async else [limiter.hit("k")], 1):
                if decision.source == "fallback":
                    lost += cost
                else:
                    admitted += cost

    asyncio.run(ask())
    line.close()
    counted = 40_000 - made.peek("k").remaining
    assert admitted <= counted <= admitted + lost


def connected(algorithm, url):
    try:
        return algorithm("40000/day", table=Table.valkey(url, name="bad", timeout=0.1, remember=0))
    except ratelimit.TableUnreachable:
        return None


ASK = """
import sys
from ratelimit import FixedWindow, Table
limiter = FixedWindow("1000/day", table=Table.valkey({url!r}, name="cut-off", timeout=0.2))
for line in sys.stdin:
    print(limiter.hit("k").source, flush=True)
"""


@pytest.mark.slow
def test_a_host_that_is_cut_off_answers_by_itself_until_it_is_back(two_hosts, reachable):
    """The other host does not notice."""
    if not two_hosts[0].is_separate:
        pytest.skip("only root makes network namespaces")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        host.start(
            *(sys.executable, "-c", ASK.format(url=f"valkey://{host.outside}:{reachable.port}/0")),
            folder=Path(reachable.folder.name),
            **pipes,
        )
        for host in two_hosts
    ]

    def source(process):
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    assert [source(process) for process in processes] == ["engine"] * 2
    two_hosts[0].set_link("down")
    assert [source(processes[0]) for _ in range(20)] == ["fallback"] * 20
    assert source(processes[1]) == "engine"
    two_hosts[0].set_link("up")
    until(lambda: source(processes[0]) == "engine")
    for process in processes:
        process.stdin.close()
        process.wait(timeout=PATIENCE)


def test_a_primary_without_its_replicas_stops_deciding(own_server):
    """As the page on several hosts advises, so that a primary that was cut off does not decide alone for long."""
    own_server.client.config_set("min-replicas-max-lag", 1)
    limiter = TokenBucket("10/hour", table=Table.valkey(own_server.url, name="alone", timeout=5))
    assert limiter.hit("k").source == "engine"
    own_server.client.config_set("min-replicas-to-write", 1)
    decision = limiter.hit("k")
    assert (decision.allowed, decision.source) == (False, "fallback")
    assert not limiter.table.remote.traffic().is_open, "it answers"
    own_server.client.config_set("min-replicas-to-write", 0)
    assert limiter.hit("k").remaining == 8
