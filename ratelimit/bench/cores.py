"""One limit on two cores: how much a second thread or process adds, beside what it adds to a loop in C.

`python -m ratelimit.bench.cores ROUNDS PIECE_NS` measures `allow` in threads, in an interpreter without the GIL.
"""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from mmap import mmap
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Barrier, Thread
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import ratelimit
from ratelimit.bench import _loops
from ratelimit.bench.decisions import Say
from ratelimit.bench.measure import Effort, Keys
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOUR

ENOUGH, LONG = 100_000_000, 10_000 * HOUR  # admits everything, and a key that has asked stays live for 0.36 s
KEYS = 10_000  # of each thread or process, and decisions of one chunk
FREE_THREADED = "RATELIMIT_FREE_THREADED"  # in the environment: an interpreter without the GIL
C_LOOP, ADD = "a loop in C, own words", "a fetch-and-add in C, one counter"
OWN, HOT, DENIED = "own keys", "one hot key, allowed", "one hot key, denied"
TEXT = f"""
The gain is how many times as much two threads, or processes, do as one of them alone in the same time: 2 at best. Times
are those of the wall clock, so anything else that runs takes from the gain. All take turns with a loop in C, in which
two threads load and swap 128-bit words of one array at random places, each its own, and decide nothing. What counts is
how much of that loop's gain is reached.

The algorithm is `TokenBucket`; own keys are {KEYS:,} of each thread, in one table. Without a GIL what is measured is
`for key in keys: limiter.allow(key)`; `{FREE_THREADED}` in the environment names an interpreter that has none,
and in which this package is built.
"""
Chunk = Callable[[], object]


@dataclass(frozen=True)
class Crew:
    """Two who work at the same time: each does a chunk when called."""

    name: str
    chunks: tuple[Chunk, Chunk]


class Run(NamedTuple):
    seconds: float
    evenness: float  # when the first was done: the least done by one, as a share of the most


class Scaling:
    """Crews in turn, alone and together, by name and round."""

    def __init__(self, crews: Sequence[Crew], effort: Effort) -> None:
        self.gains: dict[str, list[float]] = {crew.name: [] for crew in crews}
        self.evenness: dict[str, list[float]] = {crew.name: [] for crew in crews}
        sizes = [_size(crew, effort) for crew in crews]
        for turn in range(effort.rounds):
            for crew, size in zip(crews, sizes, strict=True):
                alone = together([crew.chunks[turn % 2]], size)
                both = together(crew.chunks, size)
                self.gains[crew.name].append(gain(alone.seconds, both.seconds))
                self.evenness[crew.name].append(both.evenness)

    def gain(self, name: str) -> float:
        return median(self.gains[name])

    def ratio(self, name: str, base: str) -> float:
        """The gain as a share of that of `base` in the same round."""
        return median(a / b for a, b in zip(self.gains[name], self.gains[base], strict=True))


def gain(alone: float, both: float) -> float:
    """Of two who took `both` for twice the work that takes `alone`."""
    return 2 * alone / both


def together(chunks: Sequence[Chunk], size: int) -> Run:
    """Let all do `size` chunks at once, each in a thread."""
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


def _size(crew: Crew, effort: Effort) -> int:
    """Chunks of about five pieces: longer than the scheduler's turns. The first run only makes things known."""
    together(crew.chunks, 1)
    return max(1, int(5 * effort.piece_ns / 1e9 / together(crew.chunks[:1], 1).seconds))


# --- who works ------------------------------------------------------------------------------------------------


def c_loop() -> Crew:
    """The memory work of a table with both threads' keys, without the decisions."""
    words = np.frombuffer(mmap(-1, 3 * KEYS * 16), np.uint64).reshape(-1, 2)  # begins with a page
    places = np.random.default_rng(1).permutation(3 * KEYS)[: 2 * KEYS].reshape(2, KEYS)
    first, second = (lambda mine=mine: _loops.swap_words(words, mine) for mine in places)
    return Crew(C_LOOP, (first, second))


def adding() -> Crew:
    counter = np.zeros(1, np.uint64)
    return Crew(ADD, (lambda: _loops.fetch_and_add(counter, KEYS),) * 2)


def batching(name: str) -> Crew:
    first, second = (_batches(limiter, keys) for limiter, keys in _shared_out(name))
    return Crew(name, (first, second))


def asking(name: str) -> Crew:
    first, second = (_calls(limiter, _texts(keys)) for limiter, keys in _shared_out(name))
    return Crew(name, (first, second))


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
def processes() -> Iterator[Crew]:
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
        yield Crew("two processes, own keys", (first, second))
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


# --- what comes of it -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gains:
    """Of one crew: the gain; as a share of the C loop's, and of the fetch-and-add's; and how even the two were."""

    gain: float
    of_loop: float
    of_add: float
    evenness: float


def measured(crews: Sequence[Crew], effort: Effort) -> dict[str, Gains]:
    scaling = Scaling([c_loop(), adding(), *crews], effort)
    return {
        name: Gains(
            scaling.gain(name), scaling.ratio(name, C_LOOP), scaling.ratio(name, ADD), median(scaling.evenness[name])
        )
        for name in scaling.gains
    }


def measure(effort: Effort, say: Say) -> Section:
    say("allow_many in threads, allow in processes")
    with processes() as crew:
        here = measured([crew, *(batching(name) for name in (OWN, HOT, DENIED))], effort)
        (across,) = (here.pop(name) for name in [crew.name])
    say("allow in threads without a GIL")
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
    """What threads gain in an interpreter without the GIL; or nothing, and why."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return measured([asking(name) for name in (OWN, HOT, DENIED)], effort), ""
    if FREE_THREADED not in os.environ:
        return {}, f"this Python has a GIL; set `{FREE_THREADED}` to one without"
    interpreter, package = os.environ[FREE_THREADED], Path(ratelimit.__file__).parents[1]
    command = [interpreter, "-m", __name__, str(effort.rounds), str(effort.piece_ns)]
    environment = os.environ | {"PYTHONPATH": str(package)}
    try:
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return {}, f"`{FREE_THREADED}` names an interpreter that cannot do it: {error}"
    return {name: Gains(**gains) for name, gains in json.loads(output).items()}, ""


def main(rounds: str, piece_ns: str) -> None:
    gains, why_not = without_gil(Effort(int(rounds), int(piece_ns), 0))
    if not gains:
        raise SystemExit(why_not)
    print(json.dumps({name: asdict(each) for name, each in gains.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
