"""`ratelimit table`: list, show, check, change and remove tables in shared memory and in files."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from .._core import Limiter
from .._storage.census import census
from .._storage.metadata import MAGIC
from ..quota import Quota
from ..table import Table

NAME = "a name in shared memory, or the path of a file, with a / in it"


def main(arguments: list[str]) -> int:
    """Run the command; 0 when all is well, 1 when not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        raise  # not an error of the table; `run` handles it
    except (OSError, ValueError) as error:
        print(f"ratelimit table: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ratelimit table", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("list", _list, "list the tables in this host's shared memory")
    for name, run, text in [
        ("show", _show, "show what a table holds and how full it is"),
        ("check", _check, "check that no key has two slots; for a table that is not in use"),
        ("remove", _remove, "unlink the name; attached processes keep the table, later ones create a new table"),
    ]:
        command(name, run, text).add_argument("table", help=NAME)
    change = command("change", _change, "change the quota immediately, for all processes that share the table")
    change.add_argument("table", help=NAME)
    change.add_argument("quota", help="such as 100/minute")
    change.add_argument(
        "--burst",
        type=int,
        help="burst of a token bucket or capacity of a leaky bucket; by default the new limit",
    )
    change.add_argument(
        "--counts",
        choices=["keep", "scale", "reset"],
        default="keep",
        help="what becomes of spent requests (by default keep)",
    )
    return parser


def _table(options: argparse.Namespace) -> Table:
    return Table.open(Path(options.table)) if "/" in options.table else Table.shared(options.table)


def _list(options: argparse.Namespace) -> int:
    for name in Table.names():
        try:
            limiter = Limiter.of(Table.shared(name))
            print(f"{name:30} {limiter}, {len(limiter):,} of {limiter.max_keys:,} keys live")
        except (OSError, ValueError) as error:
            print(f"{name:30} {error}")
    return 0


def _show(options: argparse.Namespace) -> int:
    limiter = Limiter.of(_table(options))
    assert limiter.table.path is not None
    slots, status = census(limiter), limiter.table.path.stat()
    latest = datetime.fromtimestamp(limiter.latest_ns / 1e9, UTC).isoformat(timespec="seconds")
    for name, value in [
        ("file", limiter.table.path),
        ("limit", str(limiter)),
        ("keys", f"{len(limiter):,} live, at most {limiter.max_keys:,}"),
        ("slots", f"{slots.keys:,} with keys, {slots.free:,} free again, {slots.unused:,} never used"),
        ("claims", f"{slots.claims:,} unfinished"),
        ("no slot", f"{limiter.full_count:,} decisions"),
        ("collisions", f"{limiter.collision_count:,} updates repeated"),
        ("memory", f"{status.st_blocks * 512:,} of {status.st_size:,} bytes taken"),
        ("decided", f"up to {latest}" if limiter.latest_ns else "nothing yet"),
    ]:
        print(f"{name:12} {value}")
    return 0


def _check(options: argparse.Namespace) -> int:
    limiter = Limiter.of(_table(options))
    slots = census(limiter)
    print(f"{slots.keys:,} keys, {slots.duplicates:,} of them in two slots; {slots.claims:,} unfinished claims")
    return 1 if slots.duplicates else 0


def _remove(options: argparse.Namespace) -> int:
    table = _table(options)
    assert table.path is not None
    with table.path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{table} is not a ratelimit table, and was not removed")
    table.remove()
    return 0


def _change(options: argparse.Namespace) -> int:
    limiter = Limiter.of(_table(options))
    limiter.change(Quota.parse(options.quota).with_burst(options.burst), counts=options.counts)
    print(limiter)
    return 0
