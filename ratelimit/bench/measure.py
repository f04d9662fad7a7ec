"""How times are taken: contestants in turn, round after round, in CPU time of this process.

A contestant decides whole chunks of keys, so a measured piece is a thousand decisions or more. Nothing is subtracted:
each time includes the loop that makes the calls, for the floor as for every other contestant. Contestants that take
turns meet the same noise, so times are compared only within one round, as ratios. The median of all rounds counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time_ns
from types import FunctionType
from typing import Any, NamedTuple

Keys = Sequence[Any]  # a list or an array
Progress = Callable[[str], None]  # is called with the name of each step
CHUNK = 1_000  # keys


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int
    piece_ns: int  # CPU time of one measured piece, about
    many: int  # keys of a scenario with many keys


FULL = Effort(rounds=25, piece_ns=20_000_000, many=1_000_000)
QUICK = Effort(rounds=5, piece_ns=4_000_000, many=100_000)


class Work(NamedTuple):
    """A function that decides a chunk of keys, and the chunks."""

    run: Callable[[Any], object]
    chunks: Sequence[Any]


@dataclass(frozen=True)
class Contestant:
    """One implementation in one scenario; `prepare` makes it and brings its keys."""

    name: str
    prepare: Callable[[], Work]


class Race:
    """The times of contestants that took turns: CPU nanoseconds for each decision, by name and round."""

    def __init__(self, contestants: Sequence[Contestant], effort: Effort) -> None:
        works = {contestant.name: contestant.prepare() for contestant in contestants}
        sizes = {name: max(1, effort.piece_ns // _cpu_ns(work, 0, 1)) for name, work in works.items()}
        self.times: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(effort.rounds):
            for name, work in works.items():
                decided = sum(len(chunk) for chunk in _piece(work, turn, sizes[name]))
                self.times[name].append(_cpu_ns(work, turn, sizes[name]) / decided)

    def ns(self, name: str) -> float:
        return median(self.times[name])

    def ratio(self, name: str, base: str) -> float:
        """How many times as long as `base`."""
        return median(a / b for a, b in zip(self.times[name], self.times[base], strict=True))


def looped(function: Callable[[Any], object]) -> Callable[[Keys], object]:
    """Return a loop that calls `function` with each key. Each loop is a function of its own: CPython specializes it."""
    return FunctionType(_loop.__code__.replace(), globals(), argdefs=(function,))


def looped_making(function: Callable[[Any], object]) -> Callable[[Keys], object]:
    """Return a loop as `looped` does, over the numbers of users: the text of a key is made for each call."""
    return FunctionType(_loop_making.__code__.replace(), globals(), argdefs=(function,))


def _loop_making(numbers: Keys, function: Callable[[Any], object]) -> None:
    for number in numbers:
        function(f"user:{number}")


def _loop(keys: Keys, function: Callable[[Any], object]) -> None:
    for key in keys:
        function(key)


def _piece(work: Work, turn: int, size: int) -> list[Keys]:
    """Return the next `size` chunks; the first one follows the last."""
    return [work.chunks[(turn * size + i) % len(work.chunks)] for i in range(size)]


def _cpu_ns(work: Work, turn: int, size: int) -> int:
    piece = _piece(work, turn, size)
    run = work.run
    start = process_time_ns()
    for chunk in piece:
        run(chunk)
    return process_time_ns() - start
