"""A table in shared memory and in a file, and a flood of new keys."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import numpy as np

import ratelimit
from ratelimit.bench import scenarios
from ratelimit.bench.measure import CHUNK, Contestant, Effort, Keys, Progress, Race, Work, looped
from ratelimit.bench.memory import STATM, resident
from ratelimit.bench.process import call
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOT, HOUR, IN_TURN, Scenario

PRIVATE, SHARED = "in this process", "in shared memory"
USUAL = "new keys, a table with room"
IDLE, LIVE = "a flood, its keys idle after a while", "a flood, its keys all live"
BATCH, WATCHED, FLOOD = 10_000, 1_000, 10  # FLOOD: times `max_keys`
LIMIT = 100_000  # an hour: after one request, a key is like new in 36 ms
TEXT = """
**Shared memory.** `TokenBucket.allow` on a table in shared memory, in turns with one in the memory of the process.

**Opening.** The time until `Limiter.of(Table.open(path))` has decided a first request, in a new process, after a full
file was evicted from the kernel's cache. It includes the time that page faults wait for the disk; the processor time
is that of the process and of the kernel.

**Flood.** Ten times `max_keys` new keys arrive at a table in which a thousand keys have spent their quota. In one
case the new keys are like new again after 36 ms, and their slots are reused. In the other every key stays live and
the table is full, so each request searches all the slots that it could take. The time is that of `allow` with a new
key, in turns with new keys in a table that has room. The memory is the growth of the process during the flood, after
as many keys as the table has room for.
"""


def measure(effort: Effort, progress: Progress) -> Section:
    title = "Shared memory, files and floods"
    if not STATM.exists():
        return Section(title, f"Not measured: this system has no `{STATM}`.")
    many = scenarios.at_random(effort.many)
    races = {scenario: _shared(scenario, effort, progress) for scenario in (HOT, IN_TURN, many)}
    slowest = max(races, key=lambda scenario: races[scenario].ratio(SHARED, PRIVATE))
    opened = _opened(effort, progress)
    floods = {}
    for kind in (IDLE, LIVE):
        progress(f"{kind}, {FLOOD * effort.many:,} keys")
        floods[kind] = call(flood, kind, effort)
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
            Table("Opening a file", ["keys", "ms", "ms of processor time"], [[f"{effort.many:,}", *opened]]),
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
            Target(
                f"opening a file with {effort.many:,} keys",
                10,
                opened[1],
                "ms of processor time",
                remark=f"{opened[0]:.1f} ms with the disk",
            ),
            *(Target(f"`allow`, {kind}", 2, each["x usual"], "x its usual time") for kind, each in floods.items()),
            Target("memory during the flood", 1, grown / 1e6, "MB more"),
            Target("live keys forgiven in the flood", 0, sum(each["forgiven"] for each in floods.values()), "keys"),
        ],
    )


# --- shared memory ---------------------------------------------------------------------------------------------


def _shared(scenario: Scenario, effort: Effort, progress: Progress) -> Race:
    progress(f"shared memory, {scenario.name}")
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
    def prepare() -> Work:
        limiter = ratelimit.TokenBucket(scenario.quota("TokenBucket"), table=table)
        for chunk in scenarios.every_key(scenario):
            limiter.allow_many(chunk)
        return Work(looped(limiter.allow), scenarios.visits(scenario))

    return Contestant(name, prepare)


# --- files -----------------------------------------------------------------------------------------------------


def _opened(effort: Effort, progress: Progress) -> tuple[float, float]:
    """Return what `opening` does, as medians of new processes."""
    progress(f"opening a file with {effort.many:,} keys")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.tbl"
        call(fill, str(path), effort.many)
        times = [call(opening, str(path), effort.many) for _ in range(effort.rounds)]
        return median(took for took, _ in times), median(worked for _, worked in times)


def fill(path: str, many: int) -> int:
    limiter = ratelimit.TokenBucket("1/day", table=ratelimit.Table.open(path, max_keys=many))
    for start in range(0, many, BATCH):
        limiter.allow_many(np.arange(start, min(start + BATCH, many)))
    return len(limiter)


def opening(path: str, many: int) -> tuple[float, float]:
    """Return the milliseconds until a spent key is refused, and those of processor time."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin, worked = perf_counter(), thread_time()
    refused = not ratelimit.Limiter.of(ratelimit.Table.open(path)).allow(many // 2)
    took, worked = perf_counter() - begin, thread_time() - worked
    if not refused:
        raise RuntimeError("a spent key is not in the file")
    return took * 1e3, worked * 1e3


# --- a flood ---------------------------------------------------------------------------------------------------


class NewKeys(Sequence[Keys]):
    """Chunks of keys without a request yet; each is made when it is indexed."""

    def __init__(self, prefix: str, chunks: int) -> None:
        self.prefix, self.chunks = prefix, chunks

    def __len__(self) -> int:
        return self.chunks

    def __getitem__(self, number: Any) -> list[str]:
        return [f"{self.prefix}{number}:{key}" for key in range(CHUNK)]


def flood(kind: str, numbers: Sequence[int]) -> dict[str, float]:
    """Measure a flood: its time, its memory, and the number of spent keys that it gave quota back.

    Args:
        numbers: those of an Effort.
    """
    effort = Effort(*numbers)
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
    forgiven = sum(flooded.allow_many(watched, max(1, quota.limit // 2)).tolist())  # in less than half an hour
    # This table has room for all keys of the measurement.
    roomy = ratelimit.TokenBucket(ratelimit.Quota(LIMIT, HOUR), max_keys=effort.many)
    contestants = [
        Contestant(USUAL, lambda: Work(looped(roomy.allow), NewKeys("usual:", chunks // 2))),
        Contestant(kind, lambda: Work(looped(flooded.allow), NewKeys("more:", chunks * FLOOD))),
    ]
    race = Race(contestants, effort)
    return {
        "usual": race.ns(USUAL),
        "ns": race.ns(kind),
        "x usual": race.ratio(kind, USUAL),
        "grown": float(grown),
        "forgiven": float(forgiven),
    }
