"""Shared by both commands: options that select logs, progress, and the output of reports."""

import argparse
import csv
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

ERRORS = (ValueError, OSError, ImportError, MemoryError)  # invalid arguments, and errors of the system


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which logs to read, and how."""
    parser.add_argument(
        "logs",
        nargs="*",
        metavar="LOG",
        help="files, plain or compressed (gzip, zstd, bzip2, xz, lz4); - is standard input",
    )
    parser.add_argument(
        "--key",
        default="client",
        help="what to count by: client (the default), client/64, user, 'method + path/2', header.x-api-key, "
        "'header.x-forwarded-for[1]' or any other field",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--format", metavar="NAME", help="the format's name, see the documentation; found out by default")
    how.add_argument("--log-format", metavar="STRING", help="the format as nginx's log_format or Apache's LogFormat")
    how.add_argument(
        "--pattern", metavar="REGEX", help="the format as a regular expression with groups such as (?P<client>...)"
    )
    parser.add_argument("--time", default="time", metavar="FIELD", help="the field with the time, in JSON and CSV")
    parser.add_argument("--where", metavar="CONDITION", help="only these requests: 'path ^= /login and status >= 400'")
    parser.add_argument("--since", metavar="TIME", help="only requests from this time on, such as 2026-01-05T12:00")
    parser.add_argument("--until", metavar="TIME", help="only requests before this time")
    parser.add_argument("--sample", type=share_of, metavar="SHARE", help="only so many of the keys, such as 10%%")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, even on a terminal")


@contextmanager
def reading(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Return the arguments for reading logs, with a progress bar if standard error is a terminal."""
    if not options.logs:
        if sys.stdin is not None and sys.stdin.isatty():
            raise ValueError("which log? Name it, or pipe it in")
        options.logs = ["-"]
    size = None if "-" in options.logs else sum(Path(log).stat().st_size for log in options.logs)
    with progress_bar(size, not options.no_progress) as progress:
        yield {
            "key": options.key,
            "format": format_option(options),
            "time": options.time,
            **conditions(options),
            "progress": progress,
        }


def format_option(options: argparse.Namespace) -> Any:
    """Return the format that the options name or describe, or None if it is to be detected."""
    if options.log_format is None and options.pattern is None:
        return options.format
    from ..reading.formats.described import from_log_format, from_pattern

    return from_log_format(options.log_format) if options.log_format is not None else from_pattern(options.pattern)


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Which requests count, by the options."""
    from ..reading.timestamps import BROKEN, LATEST, from_text
    from ..reading.where import Where

    times = {"since": 0, "until": LATEST}
    for name in times:
        text = getattr(options, name)
        if text is not None:
            times[name] = from_text(text)
            if times[name] == BROKEN:
                raise ValueError(f"--{name}: expected a time such as 2026-01-05T12:00, got {text!r}")
    where = None if options.where is None else Where(options.where)
    return {"where": where, **times, "sample": 1.0 if options.sample is None else options.sample}


def share_of(text: str) -> float:
    """Parse "0.1%" or "0.001"."""
    try:
        share = float(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 0.1% or 0.001, below 1, got {text!r}")
    return share


def check_outputs(options: argparse.Namespace) -> None:
    """Reject outputs that cannot be written, before the work begins."""
    outputs = [options.json, options.html, options.csv]
    if outputs.count("-") > 1:
        raise ValueError("only one of --json, --html and --csv can be standard output")
    for path in outputs:
        if path not in (None, "-") and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
            raise ValueError(f"{path!r} cannot be written: expected a file in an existing folder")


def refusal(command: str, error: Exception) -> int:
    """Print an error; return the exit status."""
    if isinstance(error, ImportError):
        error = ImportError(f"reading logs requires the extra `replay`: pip install 'ratelimit-core[replay]' ({error})")
    print(f"ratelimit {command}: {error}", file=sys.stderr)
    return 2


def note(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def progress_bar(
    total: int | None, wanted: bool, unit: str = "B", title: str = ""
) -> Iterator[Callable[[int], object]]:
    """Return a function to report progress: a bar on standard error if it is a terminal, otherwise nothing."""
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield lambda size: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, unit_scale=True, desc=title or None, file=sys.stderr, leave=False) as bar:
        yield bar.update


def width() -> int | None:
    """Return the width of the terminal that standard output is, in characters, or None."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def say(content: str) -> None:
    """Print, unless the reader has closed the pipe, as in `ratelimit replay log | head`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(content.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest to be flushed is dropped


def write(path: str, content: str) -> None:
    if path == "-":
        say(content)
    else:
        Path(path).write_text(content + "\n", encoding="utf-8")


def write_csv(path: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as RFC 4180 describes it."""
    if path != "-":
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(chain([head], rows))
        return
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    say(text.getvalue().removesuffix("\n"))
