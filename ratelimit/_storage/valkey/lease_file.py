"""Where the leases of a host are: a file in its shared memory, for all processes of one user that use a table."""

import hashlib
import os

from ..memory import SharedMemory, boot_id, shared_folder
from .leases import SIZE, Leases, initialize

PREFIX = "ratelimit-leases-1."  # the number is that of the layout


def lease_file(table: str) -> SharedMemory:
    """Return the file of a table's leases; `table` names it on all hosts."""
    named = f"{table} {os.geteuid()} {boot_id()}"
    digest = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
    return SharedMemory(shared_folder() / f"{PREFIX}{digest}", 0o600)


def open_leases(table: str, length: float, longest: float) -> Leases:
    """Map the leases of a table, and make the file if it does not exist.

    Args:
        length, longest: seconds, of a lease and of a refusal that is kept.
    """
    memory = lease_file(table).open_or_create(SIZE, initialize)
    return Leases(memory, round(length * 1e9), round(longest * 1e9))
