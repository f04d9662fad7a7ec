"""Files of tables, as the operating system sees them: opened safely, allocated, and described in errors."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LINKS = 40  # symbolic links in a row, as many as Linux follows
_STEP = 1 << 20
_LEASE_SECONDS = 60  # more than a lease outlasts the first attempt to open its file, by default
_PAUSE = 0.01


@contextmanager
def opened(path: Path, flags: int, *, any_owner: bool = False) -> Iterator[int]:
    """Open a regular file; unless any owner will do, one that this user or root owns.

    Another owner could truncate a mapped file, and thus kill this process. A symbolic link as the last component is
    followed here and not by the kernel, and only if this user owns it.
    """
    for _ in range(_LINKS):
        try:
            descriptor = _open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(errno.EINVAL, "is not a regular file", str(path)) from None
            if error.errno != errno.ELOOP:
                raise
        if not any_owner and os.lstat(path).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "is a symbolic link that another user owns", str(path))
        path = path.parent / os.readlink(path)
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        if not any_owner and status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, "belongs to another user, who could truncate it", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open a file; wait for a process that has a lease on it, as `ratelimit table compact` while it works.

    The kernel ends the lease of a process that is stopped.
    """
    deadline = time.monotonic() + _LEASE_SECONDS
    while True:
        try:
            return os.open(path, flags)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise BlockingIOError(error.errno, "another process has a lease on the file", str(path)) from None
            time.sleep(_PAUSE)


def reserve(descriptor: int, size: int) -> None:
    """Allocate all of a file. Its content stays as it is; where the file becomes longer, it is zero."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(os.fstat(descriptor).st_size, size, _STEP):
        os.pwrite(descriptor, bytes(min(_STEP, size - start)), start)


def data_ranges(descriptor: int, size: int) -> list[tuple[int, int]]:
    """Return where a file has data, as offsets of starts and ends; what is between is a hole, which reads as zeros."""
    ranges: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data follows
                break
            start, at = at, size
        ranges.append((start, at))
    return ranges


def free_bytes(folder: Path) -> int:
    """Return how much is free in the file system of a folder."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def missing(table: object) -> FileNotFoundError:
    """Return the error for a table that does not exist."""
    error = FileNotFoundError(f"{table} does not exist; `ratelimit table list` prints those in shared memory")
    error.errno = errno.ENOENT
    return error


def remedy_for_permissions(error: PermissionError, table: object, path: Path) -> PermissionError:
    """Return the error for a table that this user may not use, with the owner and what to do."""
    try:
        status = path.lstat()
    except OSError:
        return error
    return PermissionError(
        error.errno,
        f"{table}: {error.strerror}; user {status.st_uid} owns it with the mode {stat.S_IMODE(status.st_mode):#o}, and "
        f"this process is user {os.geteuid()}. Create the table as the user that its processes run as, with "
        "mode=0o660 for a group if root created it; if another user took the name, choose another",
        str(path),
    )
