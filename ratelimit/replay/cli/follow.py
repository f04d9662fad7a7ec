"""`ratelimit replay --follow`: which clients would be refused now."""

import argparse
import os
import sys

from ..follow import Follower, Refusal, live_blocks
from ..limits import Limit
from ..measures import NEVER
from ..render.text import columns, duration, moment, several, shown
from .common import conditions, format_option, width

TOP = 10
CLEAR = "\x1b[H\x1b[J"  # the cursor goes to the corner, and everything behind it disappears


def follow(options: argparse.Namespace, limits: list[Limit]) -> int:
    """Decide standard input line by line, until it ends, Ctrl-C is pressed or the output is closed; return 0.

    Raises: as Reader.
    """
    from ..reading.reader import Reader

    if sys.stdin is None or options.logs not in ([], ["-"]):
        raise ValueError(
            "--follow: expected a log from a pipe, such as: tail -F access.log | ratelimit replay --follow"
        )
    terminal = sys.stdout.isatty()
    reader = Reader(
        ["-"],
        options.key,
        format=format_option(options),
        time=options.time,
        blocks=lambda *ignored: live_blocks(sys.stdin.fileno(), tick),
        **conditions(options),
    )
    follower = Follower(limits, reader.name)

    def tick() -> None:
        if terminal and follower.requests:
            print(CLEAR + picture(follower, width()), end="", flush=True)

    try:
        try:
            for batch in reader.batches():
                for refusal in follower.take(batch):
                    if not terminal:
                        print(event(refusal, len(limits) > 1), flush=True)
        except KeyboardInterrupt:
            pass
        if reader.lines:
            reader.finish()
        print((CLEAR if terminal else "") + summary(follower, reader.broken, width()), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to be flushed is dropped
    return 0


def event(refusal: Refusal, several_limits: bool) -> str:
    """Return a line for requests that would have been refused."""
    again = "never" if refusal.ready_ns >= NEVER else f"in {duration(refusal.ready_ns / 1e9)}"
    limit = f" by {refusal.limit}" if several_limits else ""
    return (
        f"{moment(refusal.at_ns)}  {shown(refusal.key)}  {refusal.refused:,} of {several(refusal.requests, 'request')} "
        f"refused{limit}, again {again}"
    )


def picture(follower: Follower, wide: int | None) -> str:
    """Return the table of the last minute."""
    parts = [f"{several(follower.requests, 'request')} to {moment(follower.last_ns)}; Ctrl-C ends"]
    for number, limit in enumerate(follower.limits):
        recent = follower.recent(number)
        rows = [
            [shown(key), f"{refused:,}", f"{follower.by_key[number][key]:,}"]
            for key, refused in recent.most_common(TOP)
        ]
        head = [str(limit), "refused in the last minute", "in all"]
        parts.append(columns(head, rows or [["no client", "0", f"{follower.refused[number]:,}"]], wide))
    return "\n\n".join(parts) + "\n"


def summary(follower: Follower, broken: int, wide: int | None) -> str:
    """Return the results when it ends."""
    if not follower.requests:
        return "no requests"
    lines = [f"{several(follower.requests, 'request')}, {moment(follower.first_ns)} to {moment(follower.last_ns)}"]
    if broken:
        lines.append(f"{several(broken, 'line')} could not be read")
    rows = [
        [str(limit), f"{follower.refused[number]:,}", f"{len(follower.by_key[number]):,}"]
        for number, limit in enumerate(follower.limits)
    ]
    return "\n".join(lines) + "\n\n" + columns(["limit", "refused", "keys refused"], rows, wide)
