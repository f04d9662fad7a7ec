"""`ratelimit table compact`: make a table again at the size that its live keys need."""

import os

from .._core import Limiter
from .._engine.constants import PAGE_BYTES
from .._storage.files import missing
from .._storage.memory import session_of
from .._storage.metadata import bytes_for
from .._storage.replacement import InUse, leased, replacement, write_parts
from ..table import Table
from .users import users_of


def compact(table: Table) -> int:
    """Replace the table's file by one with its live keys in as few levels as hold them; return the bytes given back.

    Raises:
        ValueError: the table is not on this host, or has a clock that was given as clock=.
        OSError: a process is attached, or the new file has no room.
    """
    if table.remote is not None or table.path is None:
        raise ValueError("compact: expected a table in shared memory or a file")
    path = table.path.resolve()
    try:
        with leased(path, any_owner=os.geteuid() == 0) as old, replacement(path, old) as new:
            limiter = Limiter.of(table.snapshot(old))
            limiter._compact(session_of(os.fstat(new)))
            mapping = limiter.table.attach_existing()
            used, capacity = limiter.slots().nbytes, mapping.metadata.format.capacity
            rings = bytes_for(limiter.max_keys, 0)
            write_parts(new, mapping.memory, [slice(0, PAGE_BYTES + used), slice(rings, rings + used * capacity)])
            return 512 * (os.fstat(old).st_blocks - os.fstat(new).st_blocks)
    except FileNotFoundError:
        raise missing(table) from None
    except InUse as error:
        raise InUse(error.errno, f"{error.strerror}: process {users_of(path)}; stop it first", str(path)) from None
