"""`ratelimit suggest`: the smallest limits that touch few clients."""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict

from ...language import ALGORITHMS
from ...quota import Quota
from ..answer import Inquiry
from ..logs import recorded
from ..render.by_group import groups_configuration
from ..render.configuration import FORMS, configuration
from ..render.text import headline, suggestions
from ..report import Answer
from .common import (
    ERRORS,
    add_log_arguments,
    check_outputs,
    progress_bar,
    reading,
    refusal,
    say,
    share_of,
    width,
    write,
    write_csv,
)


def grouping(text: str) -> str:
    """Check how requests are grouped: "path/1", "method", or both with +."""
    if not all(re.fullmatch(r" *(?:method|path(?:/[1-9]\d*)?) *", term) for term in text.split("+")):
        raise argparse.ArgumentTypeError(f"expected path/1, method or 'method + path/2', got {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratelimit suggest",
        description="Find the smallest limit by each algorithm that touches few of the clients that are not programs.",
    )
    add_log_arguments(parser)
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument(
        "--clients-at-most",
        type=share_of,
        metavar="SHARE",
        help="how many of the clients that do not look like programs may be refused anything; default: 0.1%%",
    )
    bound.add_argument(
        "--refuse-at-most", type=share_of, metavar="SHARE", help="how many requests of any client may be refused"
    )
    parser.add_argument(
        "--by", type=grouping, metavar="FIELDS", help="a limit for each path/1, method or 'method + path/2'"
    )
    parser.add_argument(
        "--per", default="minute", metavar="PERIOD", help="second, minute, '10 seconds', hour, ...; default: minute"
    )
    parser.add_argument(
        "--algorithm", action="append", choices=list(ALGORITHMS), help="may be repeated; by default each"
    )
    parser.add_argument(
        "--as", dest="form", choices=list(FORMS), help="print the first limit as configuration, and nothing else"
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="write all clients, with their peak and what they look like, as CSV"
    )
    parser.add_argument("--json", metavar="FILE", help="write the answer as JSON, to standard output for -")
    parser.add_argument("--html", metavar="FILE", help="write the answer as one page that needs nothing else")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; return 0, 1 if it was interrupted, or 2 if the arguments are wrong."""
    options = _parser().parse_args(arguments)
    try:
        check_outputs(options)
        period_ns = Quota.parse(f"1/{options.per}").period_ns
        with reading(options) as how:
            from ..reading.reader import Reader

            reader = Reader(options.logs, profile=True, **how)
            trace, complete = recorded(reader)
    except ERRORS as error:
        return refusal("suggest", error)
    if options.clients_at_most is None and options.refuse_at_most is None:
        options.clients_at_most = 0.001
    with progress_bar(None, not options.no_progress, unit=" decisions") as replayed:
        inquiry = Inquiry(
            reader,
            trace,
            options.algorithm or list(ALGORITHMS),
            period_ns,
            clients_at_most=options.clients_at_most,
            refuse_at_most=options.refuse_at_most,
            per=options.per,
            by=options.by,
            replayed=replayed,
        )
        answer = inquiry.answer(complete)
    try:
        _write_outputs(options, answer, inquiry.rows())
    except (OSError, ValueError) as error:
        return refusal("suggest", error)
    return 0 if answer.complete else 1


def _write_outputs(options: argparse.Namespace, answer: Answer, clients: Iterator[tuple[str, int, int, str]]) -> None:
    """Write the answer to each output that was asked for; to the terminal if none of them is standard output."""
    if "-" not in (options.json, options.html, options.csv):
        say(configured(answer, options.form) if options.form else suggestions(answer, width()))
    if options.json:
        write(options.json, json.dumps(asdict(answer), indent=1))
    if options.csv:
        write_csv(options.csv, ["key", "requests", f"most in a {options.per}", "looks like"], clients)
    if options.html:
        from ..render.html import suggestions_page

        write(options.html, suggestions_page(answer))


def configured(answer: Answer, form: str) -> str:
    """Return the first suggestion as configuration, or those of the groups."""
    if answer.by is not None:
        return groups_configuration(answer, form)
    if not answer.suggestions:
        raise ValueError(headline(answer))
    return configuration(answer.suggestions[0], form)
