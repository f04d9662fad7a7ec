"""One limit on two cores: the gain by a second thread or process, beside the same gain of a loop in C."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from mmap import mmap
from multiprocessing.connection import Connection
from statistics import median
from threading import Barrier, Thread
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import ratelimit
from ratelimit.bench import _loops
from ratelimit.bench.measure import Effort, Keys, Progress
from ratelimit.bench.process import call
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOUR

ENOUGH, LONG = 100_000_000, 10_000 * HOUR  # admits all requests, and a key stays live for 0.36 s after one
KEYS = 10_000  # of each thread or process, and decisions of one chunk
FREE_THREADED = "RATELIMIT_FREE_THREADED"  # in the environment: an interpreter without the GIL
C_LOOP, ADD = "a loop in C, own words", "a fetch-and-add in C, one counter"
OWN, HOT, DENIED = "own keys", "one hot key, allowed", "one hot key, denied"
TEXT = f"""
The gain is the work of two threads or processes, divided by the work of one alone in the same time: 2 at best. Times
are those of the wall clock, so any other process on the machine reduces the gain. All take turns with a loop in C, in
which two threads load and swap 128-bit words of one array at random places, each its own, without any decision. The
share of that loop's gain counts.

The algorithm is `TokenBucket`; "own keys" are {KEYS:,} of each thread, in one table. Without a GIL, the measured loop
is `for key in keys: limiter.allow(key)`. The environment variable `{FREE_THREADED}` names an interpreter without a
GIL for which this package is built.
"""
Chunk = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """Two functions that run at the same time; each does a chunk when called."""

    name: str
    chunks: tuple[Chunk, Chunk]


class Run(NamedTuple):
    seconds: float
    evenness: float  # slower / faster: chunks done when the first one ends


class Scaling:
    """Pairs in turn, one of the two alone and both together, by name and round."""

    def __init__(self, pairs: Sequence[Pair], effort: Effort) -> None:
        self.gains: dict[str, list[float]] = {pair.name: [] for pair in pairs}
        self.evenness: dict[str, list[float]] = {pair.name: [] for pair in pairs}
        sizes = [_size(pair, effort) for pair in pairs]
        for turn in range(effort.rounds):
            for pair, size in zip(pairs, sizes, strict=True):
                alone = together([pair.chunks[turn % 2]], size)
                both = together(pair.chunks, size)
                self.gains[pair.name].append(gain(alone.seconds, both.seconds))
                self.evenness[pair.name].append(both.evenness)

    def gain(self, name: str) -> float:
        return median(self.gains[name])

    def ratio(self, name: str, base: str) -> float:
        """Return the gain, divided by that of `base` in the same round."""
        return median(a / b for a, b in zip(self.gains[name], self.gains[base], strict=True))


def gain(alone: float, both: float) -> float:
    """Return the gain of two that need the time `both` for twice the work that takes one `alone`."""
    return 2 * alone / both


def together(chunks: Sequence[Chunk], size: int) -> Run:
    """Let each do `size` chunks at the same time, in a thread."""
    barrier = Barrier(len(chunks))
    begins, ends = [0.0] * len(chunks), [0.0] * len(chunks)
    done = [0] * len(chunks)
    first: list[float] = []

    def work(number: int, chunk: Chunk) -> None:
        barrier.wait()
        begins[number] = perf_counter()
        for count in range(1, size + 1):
            chunk()
            done[number] = count
        ends[number] = perf_counter()
        first.append(min(done) / max(done))

    threads = [Thread(target=work, args=each) for each in enumerate(chunks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(first) < len(chunks):
        raise RuntimeError("a thread failed")
    return Run(max(ends) - min(begins), first[0])


def _size(pair: Pair, effort: Effort) -> int:
    """Return the number of chunks for about five pieces, longer than the scheduler's turns, after a warm-up run."""
    together(pair.chunks, 1)
    return max(1, int(5 * effort.piece_ns / 1e9 / together(pair.chunks[:1], 1).seconds))


# --- the pairs ------------------------------------------------------------------------------------------------


def c_loop() -> Pair:
    """Return the loops that access a table's memory like the keys of both threads, without decisions."""
    words = np.frombuffer(mmap(-1, 3 * KEYS * 16), np.uint64).reshape(-1, 2)  # begins with a page
    places = np.random.default_rng(1).permutation(3 * KEYS)[: 2 * KEYS].reshape(2, KEYS)
    first, second = (lambda mine=mine: _loops.swap_words(words, mine) for mine in places)
    return Pair(C_LOOP, (first, second))


def adding() -> Pair:
    counter = np.zeros(1, np.uint64)
    return Pair(ADD, (lambda: _loops.fetch_and_add(counter, KEYS),) * 2)


def batching(name: str) -> Pair:
    first, second = (_batches(limiter, keys) for limiter, keys in _shared_out(name))
    return Pair(name, (first, second))


def calling(name: str) -> Pair:
    first, second = (_calls(limiter, _texts(keys)) for limiter, keys in _shared_out(name))
    return Pair(name, (first, second))


def _shared_out(name: str) -> list[tuple[ratelimit.Limiter, Any]]:
    limiter = ratelimit.TokenBucket(ratelimit.Quota(1 if name == DENIED else ENOUGH, LONG), max_keys=2 * KEYS)
    first, second = np.split(np.arange(2 * KEYS) if name == OWN else np.zeros(2 * KEYS, int), 2)
    return [(limiter, first), (limiter, second)]


def _texts(keys: Keys) -> list[str]:
    return [f"user:{key}" for key in keys]


def _batches(limiter: ratelimit.Limiter, keys: Any) -> Chunk:
    return lambda: limiter.allow_many(keys)


def _calls(limiter: ratelimit.Limiter, keys: Keys) -> Chunk:
    def chunk() -> None:
        for key in keys:
            limiter.allow(key)

    return chunk


@contextmanager
def processes() -> Iterator[Pair]:
    """Two processes that attach to one table in shared memory, each with keys of its own."""
    table = ratelimit.Table.shared(f"bench-{os.getpid()}", max_keys=2 * KEYS)
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    limiter = ratelimit.TokenBucket(ratelimit.Quota(ENOUGH, LONG), table=table)
    try:
        for number in range(2):
            mine, other = context.Pipe()
            worker = context.Process(target=_serve, args=(other, limiter, number), daemon=True)
            worker.start()
            pipes.append(mine)
            workers.append(worker)
        first, second = (_order(pipe) for pipe in pipes)
        yield Pair("two processes, own keys", (first, second))
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
        table.remove()


def _order(pipe: Connection) -> Chunk:
    def chunk() -> None:
        pipe.send(None)
        pipe.recv()

    return chunk


def _serve(pipe: Connection, limiter: ratelimit.Limiter, number: int) -> None:
    work = _calls(limiter, _texts(range(number * KEYS, (number + 1) * KEYS)))
    while True:
        pipe.recv()
        work()
        pipe.send(None)


# --- the section -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gains:
    """The gain of one pair; that gain divided by the C loop's and by the fetch-and-add's; and the evenness."""

    gain: float
    of_loop: float
    of_add: float
    evenness: float


def measured(pairs: Sequence[Pair], effort: Effort) -> dict[str, Gains]:
    scaling = Scaling([c_loop(), adding(), *pairs], effort)
    return {
        name: Gains(
            scaling.gain(name), scaling.ratio(name, C_LOOP), scaling.ratio(name, ADD), median(scaling.evenness[name])
        )
        for name in scaling.gains
    }


def measure(effort: Effort, progress: Progress) -> Section:
    progress("allow_many in threads, allow in processes")
    with processes() as pair:
        here = measured([pair, *(batching(name) for name in (OWN, HOT, DENIED))], effort)
        (across,) = (here.pop(name) for name in [pair.name])
    progress("allow in threads without a GIL")
    free, why_not = without_gil(effort)
    tables = [_table("Two threads, `allow_many`", here)]
    tables.append(Table("Two processes, `allow` on one shared table", COLUMNS, [_row(OWN, across)]))
    if free:
        tables.append(_table("Two threads without a GIL, `allow`", free))
    targets = [
        *_targets("`allow_many` of 2 threads", here, 0.9),
        Target("`allow` of 2 processes on one shared table, own keys", 0.9, across.of_loop, UNIT, at_least=True),
        *_targets("`allow` of 2 threads without a GIL", free, 0.85, why_not),
    ]
    return Section("One limit on two cores", TEXT.strip(), tables, targets)


UNIT = "x the C loop's gain"
COLUMNS = ["", "gain", UNIT, "x the fetch-and-add's gain", "slower x faster"]


def _targets(who: str, gains: dict[str, Gains], own: float, why_not: str = "") -> list[Target]:
    def aim(what: str, bound: float, key: str, part: str, unit: str) -> Target:
        reached = getattr(gains[key], part) if gains else None
        return Target(f"{who}, {what}", bound, reached, unit, at_least=True, remark=why_not)

    return [
        aim("own keys", own, OWN, "of_loop", UNIT),
        aim("one hot key", 0.5, HOT, "gain", "x one thread"),
        aim("one hot key", 1, HOT, "of_add", "x the fetch-and-add's gain"),
        aim("one hot key: the slower one", 0.5, HOT, "evenness", "x the faster one's decisions"),
        aim("one hot key, denied", 0.9, DENIED, "of_loop", UNIT),
    ]


def _table(title: str, gains: dict[str, Gains]) -> Table:
    return Table(title, COLUMNS, [_row(name, each) for name, each in gains.items()])


def _row(name: str, gains: Gains) -> list[Cell]:
    return [name, gains.gain, gains.of_loop, gains.of_add, gains.evenness]


def without_gil(effort: Effort) -> tuple[dict[str, Gains], str]:
    """Return the gains of threads in an interpreter without the GIL; or no gains, and the reason."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return measured([calling(name) for name in (OWN, HOT, DENIED)], effort), ""
    if FREE_THREADED not in os.environ:
        return {}, f"this Python has a GIL; set `{FREE_THREADED}` to one without"
    try:
        gains, why_not = call(free_threaded, effort, interpreter=os.environ[FREE_THREADED])
    except (OSError, subprocess.CalledProcessError) as error:
        return {}, f"`{FREE_THREADED}` names an interpreter that failed: {error}"
    return {name: Gains(**each) for name, each in gains.items()}, why_not


def free_threaded(numbers: Sequence[int]) -> tuple[dict[str, dict[str, float]], str]:
    """`without_gil` as JSON can have it, for the numbers of an Effort."""
    del os.environ[FREE_THREADED]  # this is the interpreter that it names
    gains, why_not = without_gil(Effort(*numbers))
    return {name: asdict(each) for name, each in gains.items()}, why_not
