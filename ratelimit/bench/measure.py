"""How times are taken: contestants in turn, round after round, in CPU time of this process.

A contestant decides whole chunks of keys, so a measured piece is a thousand decisions or more. Nothing is subtracted: a
time holds its share of the loop that makes the calls, for the floor as for everybody else. Contestants that take turns
meet the same noise, so what is compared is always the ratio of two neighbours within one round; of all
rounds the median counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time_ns
from types import FunctionType
from typing import Any, NamedTuple

Keys = Sequence[Any]  # a list or an array
CHUNK = 1_000  # keys


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int
    piece_ns: int  # CPU time of one measured piece, about
    many: int  # keys where there are many


FULL = Effort(rounds=25, piece_ns=20_000_000, many=1_000_000)
QUICK = Effort(rounds=5, piece_ns=4_000_000, many=100_000)


@dataclass(frozen=True)
class Contestant:
    """Somebody who decides chunks of keys."""

    name: str
    run: Callable[[Keys], object]
    chunks: Sequence[Keys]


class Race:
    """The times of some contestants that took turns: CPU nanoseconds a decision, by name and round."""

    def __init__(self, contestants: Sequence[Contestant], effort: Effort) -> None:
        self.times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
        sizes = [max(1, effort.piece_ns // _cpu_ns(contestant, 0, 1)) for contestant in contestants]
        for turn in range(effort.rounds):
            for contestant, size in zip(contestants, sizes, strict=True):
                decided = sum(len(chunk) for chunk in _piece(contestant, turn, size))
                self.times[contestant.name].append(_cpu_ns(contestant, turn, size) / decided)

    def ns(self, name: str) -> float:
        return median(self.times[name])

    def ratio(self, name: str, base: str) -> float:
        """How many times as long as `base`."""
        return median(a / b for a, b in zip(self.times[name], self.times[base], strict=True))


def looped(function: Callable[[Any], object]) -> Callable[[Keys], object]:
    """Calls `function` with each key. The loop is the caller's own: CPython adapts it to what is called there."""
    return FunctionType(_loop.__code__.replace(), globals(), argdefs=(function,))


def _loop(keys: Keys, function: Callable[[Any], object]) -> None:
    for key in keys:
        function(key)


def _piece(contestant: Contestant, turn: int, size: int) -> list[Keys]:
    """The next `size` chunks, from the beginning again after the last."""
    chunks = contestant.chunks
    return [chunks[(turn * size + i) % len(chunks)] for i in range(size)]


def _cpu_ns(contestant: Contestant, turn: int, size: int) -> int:
    piece = _piece(contestant, turn, size)
    run = contestant.run
    start = process_time_ns()
    for chunk in piece:
        run(chunk)
    return process_time_ns() - start
