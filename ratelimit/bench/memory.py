"""Resident memory per live key: what many keys add to a process, each contestant in a process of its own.

`python -m ratelimit.bench.memory NAME KEYS LIMIT REQUESTS` measures one: the bytes, and the number of live keys.
"""

import subprocess
import sys
from itertools import chain
from pathlib import Path
from resource import getpagesize

import numpy as np

import ratelimit
from ratelimit.bench.decisions import Say
from ratelimit.bench.measure import Effort
from ratelimit.bench.peers import PEERS, present
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOUR, OURS, Scenario, every_key

STATM = Path("/proc/self/statm")
BATCH = 1_000
TEXT = """
How much more a process has in memory (its resident set) once `max_keys` keys have come, divided by the keys that are
live. The texts of the keys were there before and are not counted. `SlidingLog` also keeps the requests, see
[](keys.md#memory).
"""
LOGS = [(1, 1), (10, 1), (10, 10), (100, 100)]  # limit, and requests of each key


def measure(effort: Effort, say: Say) -> Section:
    title = "Memory"
    if not STATM.exists():
        return Section(title, f"Not measured: this system has no `{STATM}`.")
    ours = {name: _in_new_process(name, effort.many, 1_000, 1, say) for name in OURS if name != "SlidingLog"}
    rows: list[list[Cell]] = [[f"`{name}`", size] for name, size in ours.items()]
    for limit, requests in LOGS:
        size = _in_new_process("SlidingLog", effort.many // requests, limit, requests, say)
        rows.append([f"`SlidingLog`, a limit of {limit}, of which {requests} spent", size])
    rows += [[peer.title, _in_new_process(peer.name, effort.many // 10, 1_000, 1, say)] for peer in present()]
    worst, remark = max((size, name) for name, size in ours.items())
    return Section(
        title,
        TEXT.strip(),
        [Table("Bytes a key", ["", "bytes"], rows)],
        [Target("resident memory per live key at `max_keys`", 24, worst, "bytes", remark=remark)],
    )


def _in_new_process(name: str, keys: int, limit: int, requests: int, say: Say) -> float:
    say(f"memory of {name}, {keys:,} keys, {requests} requests each")
    command = [sys.executable, "-m", __name__, name, str(keys), str(limit), str(requests)]
    size, live = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return int(size) / int(live)


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * getpagesize()


def grown_by_ours(name: str, keys: int, limit: int, requests: int) -> tuple[int, int]:
    """Bytes that live keys took, and how many there are."""
    numbers = np.arange(keys)
    OURS[name](ratelimit.Quota(limit, HOUR), max_keys=BATCH).allow_many(numbers[:BATCH])  # what batches need themselves
    before = resident()
    limiter = OURS[name](ratelimit.Quota(limit, HOUR), max_keys=keys)
    for _ in range(requests):
        for start in range(0, keys, BATCH):
            limiter.allow_many(numbers[start : start + BATCH])
    return resident() - before, len(limiter)


def grown_by_peer(name: str, keys: int, limit: int) -> tuple[int, int]:
    peer = next(peer for peer in PEERS if peer.name == name)
    texts = list(chain.from_iterable(every_key(Scenario(name, keys))))
    peer.make(limit, HOUR)(texts[0])  # the import
    before = resident()
    decide = peer.make(limit, HOUR)
    for text in texts:
        decide(text)
    return resident() - before, keys


def main(name: str, keys: str, limit: str, requests: str) -> None:
    if name in OURS:
        print(*grown_by_ours(name, int(keys), int(limit), int(requests)))
    else:
        print(*grown_by_peer(name, int(keys), int(limit)))


if __name__ == "__main__":
    main(*sys.argv[1:])
