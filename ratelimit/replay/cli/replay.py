"""`ratelimit replay`: which requests would have been refused, when, and how unfairly."""

import argparse
import json

from ...language import ALGORITHMS
from ..limits import EXAMPLE, Limit
from ..logs import replay_log
from ..render.text import table
from .common import ERRORS, add_log_arguments, check_outputs, reading, refusal, say, width, write

LIMITS = [f"{algorithm} 60/minute" for algorithm in ALGORITHMS]


def main(arguments: list[str]) -> int:
    """Run the command; return 0, 1 if it was interrupted, or 2 if the arguments are wrong."""
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
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON, to standard output for -")
    parser.add_argument("--html", metavar="FILE", help="write the report as one page that needs nothing else")
    options = parser.parse_args(arguments)
    try:
        check_outputs(options)
        limits = [Limit.parse(text) for text in options.limit or LIMITS]
        with reading(options) as how:
            report = replay_log(options.logs, limits, **how)
    except ERRORS as error:
        return refusal("replay", error)
    try:
        if "-" not in (options.json, options.html):
            say(table(report, width()))
        if options.json:
            write(options.json, json.dumps(report.as_dict(), indent=1))
        if options.html:
            from ..render.html import page

            write(options.html, page(report))
    except OSError as error:
        return refusal("replay", error)
    return 0 if report.complete else 1
