"""A table in shared memory and in a file, and a flood of new keys.

`python -m ratelimit.bench.sharing fill|open|flood ARGUMENT ROUNDS PIECE_NS MANY` does one part in a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import ratelimit
from ratelimit.bench import scenarios
from ratelimit.bench.decisions import Say
from ratelimit.bench.measure import CHUNK, Contestant, Effort, Keys, Race, looped
from ratelimit.bench.memory import STATM, resident
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOT, HOUR, IN_TURN, Scenario

PRIVATE, SHARED = "in this process", "in shared memory"
USUAL = "new keys, a table with room"
IDLE, LIVE = "a flood, its keys idle after a while", "a flood, its keys all live"
BATCH, WATCHED, FLOOD = 10_000, 1_000, 10  # FLOOD: times `max_keys`
LIMIT = 100_000  # an hour: who asks once is like new after 36 ms
TEXT = """
**Shared memory.** `TokenBucket.allow` on a table in shared memory, in turns with one in the process's own.

**Opening.** The time until `Limiter.of(Table.open(path))` has answered a first request, in a new process, after a
file with as many keys as it takes was thrown out of the kernel's cache: page faults are in it.

**Flood.** Ten times `max_keys` new keys come to a table in which a thousand keys have spent all they had. Either the
new keys are like new again after 36 ms, and their slots are taken from them; or every key stays live and
the table is full, so that each request has searched all the slots that it might have taken. The time is that of
`allow` with a new key, in turns with new keys in a table that has room. Memory is what the process grew by during the
flood, after as many keys as the table takes had come.
"""


def measure(effort: Effort, say: Say) -> Section:
    title = "Shared memory, files and floods"
    if not STATM.exists():
        return Section(title, f"Not measured: this system has no `{STATM}`.")
    many = scenarios.at_random(effort.many)
    races = {scenario: _shared(scenario, effort, say) for scenario in (HOT, IN_TURN, many)}
    slowest = max(races, key=lambda scenario: races[scenario].ratio(SHARED, PRIVATE))
    opened = _opened(effort, say)
    floods = {}
    for kind in (IDLE, LIVE):
        say(f"{kind}, {FLOOD * effort.many:,} keys")
        floods[kind] = _in_new_process("flood", kind, effort)
    grown = max(each["grown"] for each in floods.values())
    rows: list[list[Cell]] = [
        [kind, each["usual"], each["ns"], each["x usual"], each["grown"] / 1e6, each["forgiven"]]
        for kind, each in floods.items()
    ]
    return Section(
        title,
        TEXT.strip(),
        [
            Table(
                "Shared memory, ratio to this process's memory",
                ["", *(scenario.name for scenario in races)],
                [["`TokenBucket.allow`", *(race.ratio(SHARED, PRIVATE) for race in races.values())]],
            ),
            Table("Opening a file", ["keys", "ms"], [[f"{effort.many:,}", opened]]),
            Table(
                f"{FLOOD * effort.many:,} new keys through a table of {effort.many:,}",
                ["", "ns, with room", "ns, flooded", "ratio", "MB grown", "keys forgiven"],
                rows,
            ),
        ],
        [
            Target(
                "`allow` in shared memory",
                1.25,
                races[slowest].ratio(SHARED, PRIVATE),
                "x in this process",
                remark=slowest.name,
            ),
            Target(f"opening a file with {effort.many:,} keys", 10, opened, "ms"),
            *(Target(f"`allow`, {kind}", 2, each["x usual"], "x its usual time") for kind, each in floods.items()),
            Target("memory during the flood", 1, grown / 1e6, "MB more"),
            Target("live keys forgiven in the flood", 0, sum(each["forgiven"] for each in floods.values()), "keys"),
        ],
    )


def _in_new_process(part: str, argument: str, effort: Effort) -> Any:
    command = [sys.executable, "-m", __name__, part, argument, *map(str, effort)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


# --- shared memory ---------------------------------------------------------------------------------------------


def _shared(scenario: Scenario, effort: Effort, say: Say) -> Race:
    say(f"shared memory, {scenario.name}")
    with _shared_table(scenario) as table:
        private = ratelimit.Table(max_keys=max(1_000, scenario.distinct))
        return Race([_allow(PRIVATE, private, scenario), _allow(SHARED, table, scenario)], effort)


@contextmanager
def _shared_table(scenario: Scenario) -> Iterator[ratelimit.Table]:
    table = ratelimit.Table.shared(f"bench-{os.getpid()}", max_keys=max(1_000, scenario.distinct))
    try:
        yield table
    finally:
        table.remove()


def _allow(name: str, table: ratelimit.Table, scenario: Scenario) -> Contestant:
    limiter = ratelimit.TokenBucket(scenario.quota("TokenBucket"), table=table)
    for chunk in scenarios.every_key(scenario):
        limiter.allow_many(chunk)
    return Contestant(name, looped(limiter.allow), scenarios.visits(scenario))


# --- files -----------------------------------------------------------------------------------------------------


def _opened(effort: Effort, say: Say) -> float:
    """Milliseconds, the median of new processes."""
    say(f"opening a file with {effort.many:,} keys")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.tbl"
        _in_new_process("fill", str(path), effort)
        return median(float(_in_new_process("open", str(path), effort)) for _ in range(effort.rounds))


def fill(path: str, effort: Effort) -> int:
    limiter = ratelimit.TokenBucket("1/day", table=ratelimit.Table.open(path, max_keys=effort.many))
    for start in range(0, effort.many, BATCH):
        limiter.allow_many(np.arange(start, min(start + BATCH, effort.many)))
    return len(limiter)


def opening(path: str, effort: Effort) -> float:
    """Milliseconds until a key that was spent is refused."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin = perf_counter()
    refused = not ratelimit.Limiter.of(ratelimit.Table.open(path)).allow(effort.many // 2)
    took = perf_counter() - begin
    if not refused:
        raise RuntimeError("a key that was spent is not in the file")
    return took * 1e3


# --- a flood ---------------------------------------------------------------------------------------------------


class NewKeys(Sequence[Keys]):
    """Chunks of keys that nobody has asked for, made when they are needed; taken by number."""

    def __init__(self, prefix: str, chunks: int) -> None:
        self.prefix, self.chunks = prefix, chunks

    def __len__(self) -> int:
        return self.chunks

    def __getitem__(self, number: Any) -> list[str]:
        return [f"{self.prefix}{number}:{key}" for key in range(CHUNK)]


def flood(kind: str, effort: Effort) -> dict[str, float]:
    """What a flood costs, in time and memory, and how many spent keys it gave anything."""
    quota = ratelimit.Quota(LIMIT if kind == IDLE else 1, HOUR)
    flooded = ratelimit.TokenBucket(quota, max_keys=effort.many)
    watched = [f"watched:{number}" for number in range(WATCHED)]
    for key in watched:
        flooded.hit(key, quota.limit)
    chunks = effort.many // CHUNK
    new = NewKeys("flood:", chunks * FLOOD)
    before = 0
    for number in range(len(new)):
        if number == 2 * chunks:
            before = resident()
        flooded.allow_many(new[number])
    grown = resident() - before
    forgiven = sum(flooded.allow_many(watched, max(1, quota.limit // 2)).tolist())  # half an hour has not passed
    # A table with room for all that will come to it while this is measured, and whose keys stay as few.
    roomy = ratelimit.TokenBucket(ratelimit.Quota(LIMIT, HOUR), max_keys=effort.many)
    contestants = [
        Contestant(USUAL, looped(roomy.allow), NewKeys("usual:", chunks // 2)),
        Contestant(kind, looped(flooded.allow), NewKeys("more:", chunks * FLOOD)),
    ]
    race = Race(contestants, effort)
    return {
        "usual": race.ns(USUAL),
        "ns": race.ns(kind),
        "x usual": race.ratio(kind, USUAL),
        "grown": float(grown),
        "forgiven": float(forgiven),
    }


PARTS = {"fill": fill, "open": opening, "flood": flood}


def main(part: str, argument: str, *effort: str) -> None:
    print(json.dumps(PARTS[part](argument, Effort(*map(int, effort)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
