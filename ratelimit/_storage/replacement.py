"""Replacing a table's file by a smaller one, while no process has it open.

The kernel knows who has a file open: it grants a *lease* only to the one process that does. While the lease lasts,
others wait to open the file (files.py), so no process can attach. The new file is renamed to the name of the old one as
the last step. A process that is killed anywhere loses its lease, and leaves the old table or the new one.

The first attempt to open the file asks for the lease. The process then gives up, and the other one has the old table.
"""

import fcntl
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .files import opened, reserve
from .memory import Bytes, can_grow


class InUse(OSError):
    """Another process has the table's file open."""


@contextmanager
def leased(path: Path, *, any_owner: bool) -> Iterator[int]:
    """Open a file, and let no other process open it meanwhile.

    Raises:
        InUse: another process has it open.
        OSError: the system or the file system has no leases.
    """
    with opened(path, os.O_RDWR, any_owner=any_owner) as descriptor:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # which is ignored; SIGIO would end this process
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError as error:
            raise InUse(error.errno, "a process is attached", str(path)) from None
        except (AttributeError, OSError) as error:
            number = error.errno if isinstance(error, OSError) else None
            raise OSError(number, "cannot make sure that no process is attached: no lease", str(path)) from error
        try:
            yield descriptor
        finally:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)  # also of a child that has inherited it


@contextmanager
def replacement(path: Path, descriptor: int) -> Iterator[int]:
    """Make a file that replaces the leased one at the end, unless another process wants that one by then.

    Raises:
        InUse: another process wants the old file, which stays.
    """
    status = os.fstat(descriptor)
    unfinished = path.with_name(f".{path.name[:200]}.{os.urandom(8).hex()}")
    new = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(new, status.st_uid, status.st_gid)
        os.fchmod(new, stat.S_IMODE(status.st_mode))
        os.ftruncate(new, status.st_size)
        if not can_grow():
            reserve(new, status.st_size)
        yield new
        os.fsync(new)
        if fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_WRLCK or not os.path.samestat(status, path.lstat()):
            raise InUse(None, "a process attached meanwhile", str(path))
        os.rename(unfinished, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    finally:
        os.close(new)
    sync_folder(path.parent)


def write_parts(descriptor: int, memory: Bytes, parts: Sequence[slice]) -> None:
    """Write parts of a table's memory to where they are in its file."""
    for part in parts:
        at, end, _ = part.indices(len(memory))
        while at < end:
            at += os.pwrite(descriptor, memory[at:end].data, at)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last over a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
