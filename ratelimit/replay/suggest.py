"""`ratelimit suggest`: the smallest limits that refuse no more than a given share."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import TableFull
from ..quota import Quota
from .command import ERRORS, add_log_arguments, check_outputs, progress_bar, reading, refusal, say, width, write
from .engine import GROWTH, first_room
from .limits import ALGORITHMS, Limit, Part
from .order import AT_ONCE, Chunk
from .report import Source
from .table import broken_lines, columns, fit, keyed, percent, several, short, source_notes

BURSTS = [round(size * 10**power) for power in range(7) for size in (1, 1.5, 2, 3, 5, 7)]


class Trace:
    """Moments and keys on disk: to be read again and again, in bounded memory."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.keys = 1 << 62  # how many, if it is known
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the trace)
        self._sizes: list[int] = []
        for chunk in chunks:
            for begin in range(0, len(chunk.moments), AT_ONCE):
                part = chunk.at(slice(begin, begin + AT_ONCE))
                self._sizes.append(len(part.moments))
                self._file.write(np.ascontiguousarray(part.moments).tobytes())
                self._file.write(np.ascontiguousarray(part.keys).tobytes())
        self._growth: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._sizes)

    def parts(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
        """Moments and keys, 65,536 at a time."""
        self._file.seek(0)
        for size in self._sizes:
            yield (
                np.frombuffer(self._file.read(8 * size), np.int64),
                np.frombuffer(self._file.read(8 * size), np.uint64),
            )

    def refused(self, limit: Limit) -> int:
        """How many the limit refuses."""
        kind = limit.parts[0].algorithm
        while True:
            limiter = limit.make(min(first_room(limit) * self._growth.get(kind, 1), self.keys))
            try:
                return sum(
                    int(np.count_nonzero(~limiter.allow_many(keys, now=moments))) for moments, keys in self.parts()
                )
            except TableFull:
                self._growth[kind] = GROWTH * self._growth.get(kind, 1)


@dataclass(frozen=True)
class Suggestion:
    """The smallest limit of one algorithm.

    Attributes:
        limit: as it is written.
        number: requests in each period; at_once: burst, or one more than the capacity; both None if none will do.
        refused, share: what it refuses of these requests.
        most: the most it can ever admit one key in one period, which is what "smallest" means where a rate can be
            traded for a burst.
        curve: (number, share refused) with the same burst.
    """

    algorithm: str
    limit: str
    number: int
    at_once: int
    refused: int
    share: float
    most: int
    curve: list[tuple[int, float]] = field(default_factory=list)


def suggest(
    trace: Trace, algorithm: str, allowed: int, period_ns: int, replayed: Callable[[int], object]
) -> Suggestion | None:
    """The smallest limit that refuses at most `allowed` requests of the trace.

    For windows it is the smallest number. A bucket has two: for each of a row of bursts the smallest rate is
    looked for, and the pair that can admit least in a period is taken; then the burst is lowered as far as it goes.
    Each number is found by bisection: a larger one never refuses more in these algorithms, up to single
    requests in the sliding window's estimate. None when no limit does, up to the number of requests.
    """
    # With as many as there are requests no window refuses one of them; of a bucket's rate, more is useless.
    too_many = smallest(lambda number: not accepted(algorithm, number, period_ns, None), len(trace) + 1)

    @cache
    def refused(number: int, burst: int | None) -> int:
        count = trace.refused(Limit((part(algorithm, number, period_ns, burst),)))
        replayed(len(trace))
        return count

    def number_for(burst: int | None, below: int) -> int:
        return smallest(lambda number: refused(number, burst) <= allowed, below)

    burst: int | None = None
    if algorithm in ("token-bucket", "leaky-bucket"):
        number, least = too_many, 2 * too_many  # of number + burst
        for candidate in BURSTS:
            if candidate + 1 >= least:
                break
            below = min(least - candidate, too_many)
            found = number_for(candidate, below)
            if found < below:
                number, burst, least = found, candidate, found + candidate
        if burst is not None:
            burst = smallest(lambda size: refused(number, size) <= allowed, burst + 1)
    else:
        number = number_for(None, too_many)
    if number == too_many:
        return None
    best = part(algorithm, number, period_ns, burst)
    return Suggestion(
        algorithm,
        str(best),
        number,
        best.at_once,
        refused(number, burst),
        refused(number, burst) / max(len(trace), 1),
        best.most,
    )


def curve(
    trace: Trace, found: Suggestion, numbers: Iterable[int], period_ns: int, replayed: Callable[[int], object]
) -> Suggestion:
    """The same suggestion with the share that is refused by limits of these numbers."""
    burst = found.at_once if found.algorithm in ("token-bucket", "leaky-bucket") else None
    points = []
    for number in numbers:
        points.append(
            (number, trace.refused(Limit((part(found.algorithm, number, period_ns, burst),))) / max(len(trace), 1))
        )
        replayed(len(trace))
    return Suggestion(**{**asdict(found), "curve": points})


def part(algorithm: str, number: int, period_ns: int, burst: int | None) -> Part:
    """`burst` is the most at one moment; a leaky bucket's capacity is one less, for one is served."""
    quota = Quota(number, period_ns / 1e9 if period_ns % 10**9 else period_ns // 10**9)
    if burst is None:
        return Part(algorithm, quota)
    return Part(algorithm, quota, (("capacity", burst - 1) if algorithm == "leaky-bucket" else ("burst", burst),))


def accepted(algorithm: str, number: int, period_ns: int, burst: int | None) -> bool:
    """Whether there is such a limit: a sliding log's and a sliding window's numbers have bounds."""
    try:
        Limit((part(algorithm, number, period_ns, burst),)).make(max_keys=1)
    except ValueError:
        return False
    return True


def smallest(holds: Callable[[int], bool], below: int) -> int:
    """The smallest number from 1 for which it holds; `below` when there is none that is smaller."""
    if below <= 1 or not holds(below - 1):
        return below
    high = 1
    while high < below and not holds(high):
        high *= 2
    low = high // 2 + 1
    high = min(high, below - 1)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high


def grid(found: list[Suggestion], period_ns: int) -> list[int]:
    """Round numbers from well below all that were found to well above, as far as all have such limits."""
    numbers = [one.number for one in found]
    low, high = max(min(numbers) // 8, 1), 3 * max(numbers)
    return [
        number
        for number in sorted({1, *BURSTS})
        if low <= number <= high and all(accepted(one.algorithm, number, period_ns, None) for one in found)
    ]


def share_of(text: str) -> float:
    """ "0.1%" or "0.001"."""
    try:
        share = float(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"must be a share such as 0.1% or 0.001, below 1, not {text!r}")
    return share


def main(arguments: list[str]) -> int:
    """Run the command; its exit status: 0, or 1 when it was interrupted, or 2 when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="ratelimit suggest",
        description="The smallest limit by each algorithm that refuses no more than a given share.",
    )
    add_log_arguments(parser)
    parser.add_argument(
        "--refuse-at-most", type=share_of, default=0.001, metavar="SHARE", help="such as 0.1%%, which is the default"
    )
    parser.add_argument(
        "--per", default="minute", metavar="PERIOD", help="second, minute, '10 seconds', hour, ...; default: minute"
    )
    parser.add_argument(
        "--algorithm", action="append", choices=list(ALGORITHMS), help="may be repeated; by default each"
    )
    parser.add_argument("--json", metavar="FILE", help="write the answer as JSON, to standard output for -")
    parser.add_argument("--html", metavar="FILE", help="write the answer as one page that needs nothing else")
    options = parser.parse_args(arguments)
    try:
        check_outputs(options)
        period_ns = Quota.parse(f"1/{options.per}").period_ns
        with reading(options) as how:
            from .reader import Reader

            reader = Reader(options.logs, **how)
            trace = Trace(reader.chunks())
            if reader.distinct == reader.numbers.size:
                trace.keys = max(reader.distinct, 1)
    except ERRORS as error:
        return refusal("suggest", error)
    except KeyboardInterrupt:
        print("ratelimit suggest: interrupted while reading, so nothing is known yet", file=sys.stderr)
        return 1
    found: list[Suggestion] = []
    none: list[str] = []
    complete = True
    with progress_bar(None, not options.no_progress, unit=" decisions") as replayed:
        try:
            for algorithm in (options.algorithm or ALGORITHMS) if len(trace) else ():
                one = suggest(trace, algorithm, int(options.refuse_at_most * len(trace)), period_ns, replayed)
                if one is None:
                    none.append(algorithm)
                else:
                    found.append(one)
            numbers = grid(found, period_ns) if found else []
            for i, one in enumerate(found):
                found[i] = curve(trace, one, numbers, period_ns, replayed)
        except KeyboardInterrupt:
            complete = False
    answer = Answer(
        len(trace), reader.distinct, reader.source(), options.refuse_at_most, options.per, found, none, complete
    )
    try:
        if "-" not in (options.json, options.html):
            say(text(answer, width()))
        if options.json:
            write(options.json, json.dumps(asdict(answer), indent=1))
        if options.html:
            from .html import suggestions_page

            write(options.html, suggestions_page(answer))
    except OSError as error:
        return refusal("suggest", error)
    return 0 if complete else 1


@dataclass(frozen=True)
class Answer:
    """What `ratelimit suggest` found, and by which algorithms there is none."""

    requests: int
    keys: int
    source: Source
    refuse_at_most: float
    per: str
    suggestions: list[Suggestion]
    none: list[str]
    complete: bool

    @property
    def notes(self) -> list[str]:
        """What to know before believing the rest."""
        lines = [] if self.requests else ["no requests, and so no limit"]
        if not self.complete:
            lines.append("interrupted: this is what was known by then")
        return [*lines, *source_notes(self.source), *(f"{name}: no limit refuses so few" for name in self.none)]


def text(answer: Answer, width: int | None = None) -> str:
    """For a terminal, or to fit `width`."""
    lines = []
    if answer.requests:
        lines.append(
            f"{several(answer.requests, 'request')} by {keyed(answer.keys, answer.source.key)}; the smallest limits "
            f"that refuse at most {percent(answer.refuse_at_most)} ({int(answer.refuse_at_most * answer.requests):,})"
        )
    lines = [fit(line, width) for line in (*lines, *answer.notes, *broken_lines(answer.source))]
    rows = [[one.limit, f"{one.refused:,}", percent(one.share), f"{one.most:,}"] for one in answer.suggestions]
    if rows:
        lines += ["", columns(["smallest limit", "refused", "", f"never more in a {answer.per} than"], rows, width)]
    drawn = [one for one in answer.suggestions if one.curve]
    if drawn:
        points = [
            [f"{number:,}/{answer.per}", *(percent(one.curve[i][1]) for one in drawn)]
            for i, (number, _) in enumerate(drawn[0].curve)
        ]
        head = ["refused by", *(short(one.limit) for one in drawn)]
        lines += ["", columns(head, points, width)]
    return "\n".join(lines)
