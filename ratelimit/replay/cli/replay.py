"""`ratelimit replay`: which requests would have been refused, when, and how unfairly."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from ...language import ALGORITHMS
from ..limits import EXAMPLE, Limit
from ..logs import replay_log
from ..render.text import table
from ..report import Report
from .common import ERRORS, add_log_arguments, check_outputs, reading, refusal, say, width, write, write_csv

KEY = ("key", "requests")
SMALL = 100_000_000  # bytes of logs, up to which the table has what the refused clients look like
LIMITS = [f"{algorithm} 60/minute" for algorithm in ALGORITHMS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratelimit replay",
        description="Replay an access log or a recorded trace through limits: which requests would have been refused?",
    )
    add_log_arguments(parser)
    parser.add_argument(
        "--limit",
        action="append",
        metavar="LIMIT",
        help=f"such as {EXAMPLE}, see docs/limits; may be repeated; by default 60/minute by each algorithm",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="decide each line as it comes: tail -F access.log | ratelimit replay --follow",
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="write all keys, with the requests that each limit refused, as CSV"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON, to standard output for -")
    parser.add_argument("--html", metavar="FILE", help="write the report as one page that needs nothing else")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; return 0, 1 if it was interrupted, or 2 if the arguments are wrong."""
    options = _parser().parse_args(arguments)
    try:
        check_outputs(options)
        limits = [Limit.parse(text) for text in options.limit or LIMITS]
        if options.follow:
            from .follow import follow

            return follow(options, limits if options.limit else limits[:1])
        with reading(options) as how:
            report = replay_log(options.logs, limits, kinds=bool(options.html) or small(options.logs), **how)
    except ERRORS as error:
        return refusal("replay", error)
    try:
        if "-" not in (options.json, options.html, options.csv):
            say(table(report, width()))
        if options.json:
            write(options.json, json.dumps(report.as_dict(), indent=1))
        if options.csv:
            write_csv(options.csv, [*KEY, *(f"refused by {one.limit}" for one in report.outcomes)], rows(report))
        if options.html:
            from ..render.html import page

            write(options.html, page(report))
    except OSError as error:
        return refusal("replay", error)
    return 0 if report.complete else 1


def small(logs: list[str]) -> bool:
    """Whether it costs little to look at each client."""
    return "-" not in logs and sum(Path(log).stat().st_size for log in logs) <= SMALL


def rows(report: Report) -> Iterator[list[str | int]]:
    """Yield a row for each key."""
    assert report.counts is not None
    for key, requests, refused in report.counts.rows():
        yield [key, requests, *refused]
