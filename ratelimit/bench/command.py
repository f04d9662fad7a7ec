"""`ratelimit bench`: measure the algorithms on this machine, beside a floor and other libraries."""

import argparse
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path

from ratelimit.bench.measure import FULL, QUICK
from ratelimit.bench.report import Report, machine, to_markdown, to_text

# Each module has `measure(effort, progress) -> Section`.
SECTIONS = {
    "decisions": "ratelimit.bench.decisions",
    "lives": "ratelimit.bench.lives",
    "memory": "ratelimit.bench.memory",
    "cores": "ratelimit.bench.cores",
    "sharing": "ratelimit.bench.sharing",
    "network": "ratelimit.bench.network",
}


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status: 0 also if a target is missed, because that is a result."""
    options = _parser().parse_args(arguments)
    for path in (options.json, options.markdown):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            return refusal(f"{path}: expected a file in an existing folder")
    try:
        if options.load:
            report = Report.from_json(options.load.read_text())
        else:
            report = run(options.only or list(SECTIONS), options.quick, shlex.join(["ratelimit", "bench", *arguments]))
    except OSError as error:
        return refusal(str(error))
    except (ValueError, KeyError, TypeError):
        if not options.load:
            raise
        return refusal(f"{options.load}: expected a file that --json wrote")
    print(to_text(report))
    try:
        if options.json:
            options.json.write_text(report.to_json())
        if options.markdown:
            options.markdown.write_text(to_markdown(report))
    except OSError as error:
        return refusal(str(error))
    return 0


def refusal(reason: str) -> int:
    print(f"ratelimit bench: {reason}", file=sys.stderr)
    return 2


def run(sections: list[str], quick: bool, command: str) -> Report:
    """Measure the sections and print each step to standard error.

    A KeyboardInterrupt ends it with the sections that are complete. Before the first one is, it is raised again.
    """
    begin = time.monotonic()

    def progress(step: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {step}", file=sys.stderr)

    report = Report(command, machine(), [])
    effort = QUICK if quick else FULL
    for name in sections:
        try:
            report.sections.append(import_module(SECTIONS[name]).measure(effort, progress))
        except KeyboardInterrupt:
            if not report.sections:
                raise
            progress(f"interrupted in {name}; the report has the sections before it")
            break
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ratelimit bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="use fewer rounds and keys: rough numbers within a minute")
    parser.add_argument(
        "--only",
        action="append",
        choices=SECTIONS,
        metavar="SECTION",
        help=f"measure one of {', '.join(SECTIONS)}; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all measurements as a page")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing, and read a file that --json wrote")
    return parser
