"""`ratelimit bench`: the algorithms beside each other, the floor and other libraries, on this machine."""

import argparse
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path

from ratelimit.bench.measure import FULL, QUICK
from ratelimit.bench.report import Report, machine, to_markdown, to_text

# Each module has `measure(effort, say) -> Section`: a table of targets of its own.
SECTIONS = {
    "decisions": "ratelimit.bench.decisions",
    "memory": "ratelimit.bench.memory",
    "cores": "ratelimit.bench.cores",
    "sharing": "ratelimit.bench.sharing",
}


def main(arguments: list[str]) -> int:
    """Measure and print; 0 also where a target is missed, for that is a result."""
    options = _parser().parse_args(arguments)
    for path in (options.json, options.markdown):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            return refusal(f"'{path}' cannot be written: expected a file in an existing folder")
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
        return refusal(f"'{options.load}' is not what --json wrote")
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
    """Measure the sections, with a line about the progress of each step on standard error.

    Interrupted (KeyboardInterrupt), it reports the sections that are complete; if there are none, it stays interrupted.
    """
    begin = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {step}", file=sys.stderr)

    report = Report(command, machine(), [])
    effort = QUICK if quick else FULL
    for name in sections:
        try:
            report.sections.append(import_module(SECTIONS[name]).measure(effort, say))
        except KeyboardInterrupt:
            if not report.sections:
                raise
            say(f"interrupted in {name}: what follows was known by then")
            break
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ratelimit bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and fewer keys: rough numbers in a minute")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page docs/benchmarks.md")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing: read what --json wrote")
    return parser
