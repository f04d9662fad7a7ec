"""The bytes of a table: mapped from nowhere, from shared memory, or from a file."""

import errno
import fcntl
import mmap
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

SHARED_FOLDER = Path("/dev/shm")
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
_LINKS = 40  # how many symbolic links in a row Linux follows


def boot_id() -> int:
    """A number of this start of the host, never zero."""
    return int(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16], 16) or 1


def private(size: int, wanted: str) -> Bytes:
    """Zeroed memory of this process, which the kernel hands out as it is touched."""
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{wanted} takes {size:,} bytes of address space: {error}") from error
    return np.frombuffer(block, np.uint8)


def existing(path: Path) -> Bytes:
    """The whole file, shared with all who map it."""
    with _opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED), np.uint8)


def create(path: Path, size: int, mode: int, fill: Callable[[Bytes], None]) -> None:
    """Make the file, zeros that `fill` has written into, unless somebody else made it meanwhile.

    It is filled under another name and then linked to its own, which the kernel does at once or not at all: nobody
    ever sees it half done, and who dies on the way leaves nothing behind but the other, hidden name.
    """
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name[:200]}.", dir=path.parent)
    except OSError as error:
        raise type(error)(error.errno, f"cannot be made: {error.strerror}", str(path)) from None
    try:
        os.fchmod(descriptor, mode)
        _reserve(descriptor, path, size)
        block = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
        fill(np.frombuffer(block, np.uint8))
        block.flush()
        with suppress(FileExistsError):
            os.link(unfinished, path)
        if path.is_symlink() and not path.exists():
            raise FileNotFoundError(errno.ENOENT, "is a symbolic link to a file that is not there", str(path))
    finally:
        os.unlink(unfinished)
        os.close(descriptor)


def _reserve(descriptor: int, path: Path, size: int) -> None:
    """Grow the file. A write to mapped memory that finds no room kills the process: so ask for it now."""
    if path.parent != SHARED_FOLDER:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            words = f"a table of {size:,} bytes cannot be made: {error.strerror}"
            raise type(error)(error.errno, words, str(path)) from None
        return
    space = os.fstatvfs(descriptor)
    if size > space.f_bavail * space.f_frsize:
        raise OSError(
            errno.ENOSPC,
            f"a table of {size:,} bytes does not fit into the {space.f_bavail * space.f_frsize:,} that are free in "
            f"{SHARED_FOLDER}; lower max_keys or make that larger",
        )
    os.ftruncate(descriptor, size)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, which the kernel takes back from a process that dies. No decision ever asks for it."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file that is ours to map: whoever owns it can cut it short, and so kill us.

    The last name on the way is never followed by the kernel, but here, and only if it is our own link.
    """
    for _ in range(_LINKS):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        if os.lstat(path).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "is a symbolic link that another user owns", str(path))
        path = path.parent / os.readlink(path)
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, "belongs to another user, who could cut it short under us", str(path))
        yield descriptor
    finally:
        os.close(descriptor)
