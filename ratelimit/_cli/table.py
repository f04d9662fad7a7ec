"""`ratelimit table`: list, show, check, change, clear, compact and remove tables, wherever they are."""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from .._core import Limiter
from .._storage.census import census
from .._storage.files import opened
from .._storage.metadata import MAGIC
from ..errors import RateLimitError
from ..quota import Quota
from ..table import Table
from . import engines
from .compaction import compact
from .garbage import collect, unlisted

NAME = "a name in shared memory, the path of a file with a / in it, or a URL: valkey://host:6379/0?name=api"


def main(arguments: list[str]) -> int:
    """Run the command; 0 when all is well, 1 when not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        raise  # not an error of the table; `run` handles it
    except (OSError, ValueError, ImportError, RateLimitError) as error:
        print(f"ratelimit table: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ratelimit table", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    listing = command("list", _list, "list the tables in this host's shared memory, with their size and age")
    listing.add_argument("engine", nargs="?", help="list the tables of this engine: valkey://host:6379/0")
    for name, run, text in [
        ("show", _show, "show what a table holds and how full it is"),
        ("check", _check, "check that no key has two slots and that the header fits; for a table that is not in use"),
        ("clear", _clear, "forget all keys, and a horizon that a clock given as clock= has left in the future"),
        ("compact", _compact, "give back the memory of past floods; no process may be attached"),
        ("remove", _remove, "unlink the name; attached processes keep the table, later ones create a new table"),
    ]:
        command(name, run, text).add_argument("table", help=NAME)
    change = command("change", _change, "change the quota immediately, for all processes that share the table")
    change.add_argument("table", help=NAME)
    change.add_argument("quota", help="such as 100/minute")
    change.add_argument(
        "--burst",
        type=int,
        help="burst of a token bucket or capacity of a leaky bucket; by default it stays, or is the limit if it was",
    )
    change.add_argument(
        "--counts",
        choices=["keep", "scale", "reset"],
        default="keep",
        help="what becomes of spent requests (by default keep)",
    )
    gc = command("gc", _gc, "remove the tables in shared memory that no process uses, and what was left unfinished")
    gc.add_argument("--days", type=float, default=1, help="how long a table must have decided nothing (by default 1)")
    gc.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    return parser


def _table(options: argparse.Namespace) -> Table:
    """Name the table. root may change that of any user: only this command would end if its owner truncated it."""
    if "://" in options.table:
        return Table.at(options.table)
    table = Table.open(Path(options.table)) if "/" in options.table else Table.shared(options.table)
    return table.of_any_owner() if os.geteuid() == 0 else table


def _list(options: argparse.Namespace) -> int:
    if options.engine is not None:
        for name, text in engines.tables_of(options.engine):
            print(f"{name:30} {_printable(text)}")
        return 0
    for name in Table.names():
        table = Table.shared(name)
        try:
            limiter = Limiter.of(table.snapshot())
            print(
                f"{name:30} {limiter}, {len(limiter):,} of {limiter.max_keys:,} keys live, {_size(table)}, "
                f"{_age(limiter.latest_ns)}"
            )
        except (OSError, ValueError) as error:
            print(f"{name:30} {_printable(str(error))}")
    for path in unlisted():
        print(f"{path.name!a} is not a table of this version; `ratelimit table gc` removes old ones")
    return 0


def _show(options: argparse.Namespace) -> int:
    table = _table(options)
    limiter = Limiter.of(table.snapshot())
    if table.remote is not None:
        return _print(engines.facts_of(limiter))
    slots = census(limiter)
    latest = datetime.fromtimestamp(limiter.latest_ns / 1e9, UTC).isoformat(timespec="seconds")
    facts = [
        ("file", _printable(str(table.path))),
        ("limit", str(limiter)),
        ("started", _start(limiter)),
        ("keys", f"{len(limiter):,} live, at most {limiter.max_keys:,}"),
        ("slots", f"{slots.keys:,} with keys, {slots.free:,} free again, {slots.unused:,} never used"),
        *_growth(limiter),
        ("claims", f"{limiter.claim_count:,} by new keys, {slots.claims:,} unfinished"),
        ("no slot", f"{limiter.full_count:,} decisions"),
        ("collisions", f"{limiter.collision_count:,} updates repeated"),
        ("memory", _size(table)),
        ("decided", f"up to {latest}" if limiter.latest_ns else "nothing yet"),
    ]
    return _print(facts)


def _growth(limiter: Limiter) -> Iterable[tuple[str, str]]:
    live, height, starved = limiter._growth()
    sizes = [size for _, size, _ in limiter._levels()]
    yield "levels", f"{len(sizes)} of at most {height} are open: {_sum(sizes)} slots"
    yield "live keys", f"{_sum(live)} in these levels"
    yield "growth", f"{starved:,} attempts found no memory"


def _sum(numbers: list[int]) -> str:
    return " + ".join(f"{number:,}" for number in numbers)


def _print(facts: Iterable[tuple[str, str]]) -> int:
    for name, value in facts:
        print(f"{name:12} {value}")
    return 0


def _start(limiter: Limiter) -> str:
    born = limiter.table.attach_existing().metadata.born
    return f"spent, {datetime.fromtimestamp(born / 1e9, UTC).isoformat(timespec='seconds')}" if born else "fresh"


def _check(options: argparse.Namespace) -> int:
    table = _table(options)
    if table.remote is not None:
        raise ValueError("check: expected a table on this host; an engine has no slots")
    limiter = Limiter.of(table.snapshot())
    slots = census(limiter)
    print(f"{slots.keys:,} keys, {slots.duplicates:,} of them in two slots; {slots.claims:,} unfinished claims")
    for fault in slots.header:
        print(fault)
    return 1 if slots.duplicates or slots.header else 0


def _clear(options: argparse.Namespace) -> int:
    Limiter.of(_table(options)).clear()
    return 0


def _compact(options: argparse.Namespace) -> int:
    table = _table(options)
    print(f"{compact(table):,} bytes given back; {_size(table)}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    table = _table(options)
    if table.path is not None and table.path.exists():
        with opened(table.path, os.O_RDONLY, any_owner=True) as descriptor:
            if os.read(descriptor, len(MAGIC)) != MAGIC:
                raise ValueError(f"{table} is not a ratelimit table, and was not removed")
    table.remove()
    return 0


def _change(options: argparse.Namespace) -> int:
    limiter = Limiter.of(_table(options))
    if options.burst is None:
        limiter._change_rate(Quota.parse(options.quota), options.counts)
    else:
        limiter.change(Quota.parse(options.quota).with_burst(options.burst), counts=options.counts)
    print(limiter)
    return 0


def _gc(options: argparse.Namespace) -> int:
    for path in collect(options.days * 86_400, remove=not options.dry_run):
        print(f"{'would remove' if options.dry_run else 'removed'} {path.name!a}")
    return 0


def _size(table: Table) -> str:
    assert table.path is not None
    status = table.path.stat()
    return f"{status.st_blocks * 512:,} of {status.st_size:,} bytes taken"


def _age(latest_ns: int) -> str:
    if not latest_ns:
        return "nothing decided yet"
    seconds = max(0, round(time.time() - latest_ns / 1e9))
    unit, name = next((unit, name) for unit, name in _UNITS if seconds >= unit or unit == 1)
    return f"decided {seconds // unit} {name} ago"


_UNITS = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]


def _printable(text: str) -> str:
    """Return the text without characters that could control a terminal."""
    return text if text.isprintable() else ascii(text)
