"""What both commands share: options that say which logs to read, progress, and where reports are written."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ERRORS = (ValueError, OSError, ImportError, MemoryError)  # invalid arguments, and what the system refuses


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which logs to read, and how."""
    parser.add_argument("logs", nargs="*", metavar="LOG", help="files, plain, gzip or zstd; - is standard input")
    parser.add_argument(
        "--key",
        default="client",
        help="client (the default), client/64, user, 'method + path/2', header.x-api-key or any field",
    )
    parser.add_argument(
        "--format", choices=["combined", "common", "json", "csv"], help="by default found out from the first lines"
    )
    parser.add_argument("--time", default="time", metavar="FIELD", help="the field with the moment, in JSON and CSV")
    parser.add_argument(
        "--sort-window", type=float, default=60, metavar="SECONDS", help="lines are sorted within this; default: 60"
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, even on a terminal")


@contextmanager
def reading(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What the arguments say on how to read logs, with a progress bar on a terminal's standard error."""
    if not options.logs:
        if sys.stdin is not None and sys.stdin.isatty():
            raise ValueError("which log? Name it, or pipe it in")
        options.logs = ["-"]
    size = None if "-" in options.logs else sum(Path(log).stat().st_size for log in options.logs)
    with progress_bar(size, not options.no_progress) as progress:
        yield {
            "key": options.key,
            "format": options.format,
            "time": options.time,
            "window": options.sort_window,
            "progress": progress,
        }


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse what could not be written, before all the work."""
    if options.json == "-" == options.html:
        raise ValueError("--json and --html cannot both be standard output")
    for path in (options.json, options.html):
        if path not in (None, "-") and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
            raise ValueError(f"{path!r} cannot be written: it must be a file in a folder that there is")


def refusal(command: str, error: Exception) -> int:
    """Say what was wrong; the exit status."""
    if isinstance(error, ImportError):
        error = ImportError(f"reading logs takes the extra `replay`: pip install 'ratelimit-core[replay]' ({error})")
    print(f"ratelimit {command}: {error}", file=sys.stderr)
    return 2


def note(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def progress_bar(
    total: int | None, wanted: bool, unit: str = "B", title: str = ""
) -> Iterator[Callable[[int], object]]:
    """How to tell the progress: a bar on standard error if that is a terminal, otherwise nothing."""
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield lambda size: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, unit_scale=True, desc=title or None, file=sys.stderr, leave=False) as bar:
        yield bar.update


def width() -> int | None:
    """Of the terminal that standard output is, in characters; None when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def say(content: str) -> None:
    """Print, unless nobody listens any more, as in `ratelimit replay log | head`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(content.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere


def write(path: str, content: str) -> None:
    if path == "-":
        say(content)
    else:
        Path(path).write_text(content + "\n", encoding="utf-8")
