"""`ratelimit suggest`: the smallest limits that refuse no more than a given share."""

import argparse
import json
from dataclasses import asdict

from ...language import ALGORITHMS
from ...quota import Quota
from ..logs import Rooms, recorded
from ..render.text import suggestions
from ..report import Answer, Suggestion
from ..search import Replays, curve, grid, suggest
from .common import ERRORS, add_log_arguments, check_outputs, progress_bar, reading, refusal, say, width, write


def share_of(text: str) -> float:
    """Parse "0.1%" or "0.001"."""
    try:
        share = float(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"must be a share such as 0.1% or 0.001, below 1, not {text!r}")
    return share


def main(arguments: list[str]) -> int:
    """Run the command; return 0, 1 if it was interrupted, or 2 if the arguments are wrong."""
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
            from ..reading.reader import Reader

            reader = Reader(options.logs, **how)
            trace, complete = recorded(reader)
    except ERRORS as error:
        return refusal("suggest", error)
    found: list[Suggestion] = []
    none: list[str] = []
    replays = Replays(trace, Rooms(trace, None if reader.more_keys else reader.distinct))
    with progress_bar(None, not options.no_progress, unit=" decisions") as replayed:
        try:
            for algorithm in (options.algorithm or ALGORITHMS) if len(trace) else ():
                one = suggest(replays, algorithm, int(options.refuse_at_most * len(trace)), period_ns, replayed)
                if one is None:
                    none.append(algorithm)
                else:
                    found.append(one)
            numbers = grid(found, period_ns) if found else []
            for i, one in enumerate(found):
                found[i] = curve(replays, one, numbers, period_ns, replayed)
        except KeyboardInterrupt:
            complete = False
    answer = Answer(
        len(trace),
        reader.distinct,
        reader.more_keys,
        reader.source(),
        options.refuse_at_most,
        options.per,
        found,
        none,
        complete,
    )
    try:
        if "-" not in (options.json, options.html):
            say(suggestions(answer, width()))
        if options.json:
            write(options.json, json.dumps(asdict(answer), indent=1))
        if options.html:
            from ..render.html import suggestions_page

            write(options.html, suggestions_page(answer))
    except OSError as error:
        return refusal("suggest", error)
    return 0 if complete else 1
