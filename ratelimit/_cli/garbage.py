"""Tables in shared memory that no process uses: of processes that ended, of other versions, or never finished."""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .._core import Limiter
from .._storage.files import opened
from .._storage.memory import SHARED_PREFIX, shared_folder
from .._storage.metadata import MAGIC
from .._storage.valkey.lease_file import PREFIX as LEASES
from ..table import Table
from .users import mapped_files

_OURS = re.compile(r"\.?ratelimit(-\d+|-leases-\d+)?\.")


def collect(idle_seconds: float, *, remove: bool) -> Iterator[Path]:
    """Remove each table that no process of this user maps and that has decided nothing for so long; yield its path.

    A table whose processes cannot be seen, such as those of another user or in another container, is kept.
    """
    used = mapped_files()
    for path in sorted(shared_folder().glob("*ratelimit*")):
        with suppress(OSError, ValueError):
            status = path.lstat()
            idle = time.time() - _last_used(path, status)
            if (
                _OURS.match(path.name)
                and stat.S_ISREG(status.st_mode)
                and status.st_uid == os.geteuid()
                and (status.st_dev, status.st_ino) not in used
                and idle >= idle_seconds
            ):
                if remove:
                    path.unlink()
                yield path


def unlisted() -> list[Path]:
    """Return the files in shared memory with a name like a table's that are not tables of this version."""
    names = set(Table.names())
    return sorted(
        path
        for path in shared_folder().glob("ratelimit*")
        if _OURS.match(path.name)
        and not path.name.startswith(LEASES)
        and path.name.removeprefix(SHARED_PREFIX) not in names
    )


def _last_used(path: Path, status: os.stat_result) -> float:
    """Return when a table decided for the last time, or when its file was written if it does not know.

    Live keys are never thrown away: they count as used.
    """
    name = path.name.removeprefix(SHARED_PREFIX)
    if path.name.startswith(LEASES):
        return status.st_mtime
    if not path.name.startswith(SHARED_PREFIX) or name not in Table.names():
        return status.st_mtime if _is_table(path) or path.name.startswith(".") else time.time()
    try:
        limiter = Limiter.of(Table.shared(name).snapshot())
    except ValueError:
        return status.st_mtime  # damaged, or with a clock that was given as clock=
    return time.time() if len(limiter) else max(limiter.latest_ns / 1e9, status.st_mtime)


def _is_table(path: Path) -> bool:
    with opened(path, os.O_RDONLY, any_owner=True) as descriptor:
        return os.read(descriptor, len(MAGIC)) == MAGIC
