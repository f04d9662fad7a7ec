"""Several hosts with leases: processes, of which some share a memory, on one engine. Some are killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from greed import KINDS, SECOND, Record, check_promise, spend, wall_ahead
from test_engine_leases import on_engine, spend_until_leased
from tools import NIGHTLY
from waiting import PATIENCE, until

from ratelimit import FixedWindow, Limiter, Table
from ratelimit._remote.spending import hash_of, monotonic

HOSTS = ["a", "a", "b", "c"]  # of each process
AFTER = 3 if NIGHTLY else 1  # seconds after the kill
RATE, BURST = 1_000, 400


@pytest.mark.parametrize("kind", KINDS)
def test_hosts_keep_the_promise_while_some_are_killed(server, tmp_path, kind):
    for host in set(HOSTS):
        (tmp_path / host).mkdir()
    records = [Record(tmp_path, number) for number in range(len(HOSTS))]
    ahead = wall_ahead()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=spend,
            args=(server.url, str(tmp_path), number, host, kind, RATE, BURST),
            kwargs={"lease": 0.1, "timeout": 10},
        )
        for number, host in enumerate(HOSTS)
    ]
    for process in processes:
        process.start()
    until(lambda: sum(map(len, records)) > 300 and all(map(len, records)))
    for number in (0, 2):  # one of host a, and all of host b
        processes[number].kill()
    for number in (0, 2):
        processes[number].join()
    killed = time.monotonic_ns()
    before = [len(record) for record in records]
    ends = killed + AFTER * SECOND
    until(lambda: time.monotonic_ns() > ends and all(len(records[number]) > before[number] for number in (1, 3)))
    for record in records:
        record.stop()
    for number in (1, 3):
        processes[number].join()
    assert [len(records[number]) for number in (0, 2)] == [before[0], before[2]]
    check_promise(kind, records, RATE, BURST, ahead)
    assert len(list((tmp_path / "a").iterdir())) == 1  # the leases of the host


def test_a_killed_process_that_was_asking_delays_no_other(own_server, lease_folder):
    limiter = FixedWindow("500/second", table=Table.valkey(own_server.url, name="asking", lease=600, timeout=1))
    leases = limiter._leases
    hashed = hash_of(leases, "k")
    spend_until_leased(limiter, "k", 1)
    leases.forget(hashed)
    limiter.hit("k")
    code = (
        "from ratelimit import FixedWindow, Table; import pathlib, sys\n"
        "from ratelimit._storage.valkey import lease_file\n"
        f"lease_file.shared_folder = lambda: pathlib.Path({str(lease_folder)!r})\n"
        f"table = Table.valkey({own_server.url!r}, name='asking', lease=600, timeout=1)\n"
        "limiter = FixedWindow('500/second', table=table)\n"
        "print('ready', flush=True); sys.stdin.readline(); limiter.hit('k')\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "ready\n"
    own_server.hold()
    other.stdin.write("go\n")
    other.stdin.flush()
    until(lambda: not leases.begin_asking(hashed, monotonic(), monotonic()))
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    own_server.go_on()
    assert limiter.hit("k").source == "engine"  # at once, and singly
    until(lambda: limiter.hit("k").source == "lease")


@pytest.mark.parametrize("ending", ["exit", "kill"])
def test_a_process_gives_its_leases_back_when_it_ends(server, tmp_path, ending):
    code = (
        "import os, pathlib, signal, sys\n"
        "from ratelimit import FixedWindow, Table\n"
        "from ratelimit._storage.valkey import lease_file\n"
        f"lease_file.shared_folder = lambda: pathlib.Path({str(tmp_path)!r})\n"
        f"limiter = FixedWindow('900/hour', table=Table.valkey({server.url!r}, name='end', lease=60, timeout=10))\n"
        "spent = 0\n"
        "while limiter._leases.remaining(hash_of(limiter._leases, 'k'), monotonic()) < 10:\n"
        "    spent += limiter.hit('k').spent\n"
        "print(spent, flush=True)\n"
    ).replace("spent = 0", "from ratelimit._remote.spending import hash_of, monotonic\nspent = 0")
    code += "os.kill(os.getpid(), signal.SIGKILL)\n" if ending == "kill" else ""
    process = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
    )
    assert process.returncode == (-signal.SIGKILL if ending == "kill" else 0)
    limiter = Limiter.of(Table.valkey(server.url, name="end", timeout=10))
    left = on_engine(limiter, "k")
    assert left == 900 - int(process.stdout) if ending == "exit" else left <= 900 - int(process.stdout) - 10
