"""Where the bytes of a table are: in this process, in the host's shared memory, or in a file."""

import errno
import fcntl
import mmap
import os
import stat
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

SHARED_FOLDER = Path("/dev/shm")
SHARED_PREFIX = "ratelimit."
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
_LINKS = 40  # symbolic links in a row, as many as Linux follows


def boot_id() -> int:
    """Return a number that identifies this boot of the host, never zero."""
    return int(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16], 16) or 1


class Storage(ABC):
    """Where a table is kept: everything in which the kinds of tables differ.

    A limiter maps a table's bytes once, and from then on reads and writes them with atomic instructions. It asks the
    storage for nothing else than to attach, and for a lock while it changes the quota.

    Attributes:
        path: the file, or None for memory that ends with the process.
        is_remote: whether an engine on another host keeps the keys, and here is only a copy of the metadata.
    """

    path: Path | None = None
    is_remote = False

    @abstractmethod
    def open(self) -> Bytes:
        """Map the existing table.

        Raises:
            FileNotFoundError: the table does not exist.
            ValueError: the table is in this process's memory, where only `open_or_create` makes it.
        """

    @abstractmethod
    def open_or_create(self, size: int, initialize: Callable[[Bytes], None]) -> Bytes:
        """Map the table. If it does not exist, create it: `size` zero bytes, into which `initialize` has written."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Exclude other processes that would change the quota. Decisions never take this lock."""

    @abstractmethod
    def remove(self) -> None:
        """Unlink the table's name. Attached processes keep the table.

        Raises:
            FileNotFoundError: the table does not exist.
        """

    @abstractmethod
    def __repr__(self) -> str:
        """Return the expression that makes the table, for error messages."""


class ProcessMemory(Storage):
    """Memory of this process. The kernel provides each page when it is first touched."""

    def open(self) -> Bytes:
        raise ValueError("table: expected shared memory or a file; a table in this process belongs to its limiter")

    def open_or_create(self, size: int, initialize: Callable[[Bytes], None]) -> Bytes:
        try:
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
        except (OSError, OverflowError) as error:
            raise MemoryError(str(error)) from error
        memory = np.frombuffer(block, np.uint8)
        initialize(memory)
        return memory

    def locked(self) -> AbstractContextManager[None]:
        return nullcontext()

    def remove(self) -> None:
        raise ValueError("table: expected shared memory or a file; a table in this process is freed with its limiter")

    def __repr__(self) -> str:
        return "Table()"


class MappedFile(Storage):
    """A file that every process maps; it outlives the processes and the host.

    Args:
        path: of the file; relative to the current directory.
        mode: the permissions of a new file.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str], mode: int) -> None:
        self.path = Path(path).absolute()
        self.mode = mode

    def open(self) -> Bytes:
        with _opened(self.path) as descriptor:
            size = os.fstat(descriptor).st_size
            if size == 0:
                return np.empty(0, np.uint8)
            return np.frombuffer(mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED), np.uint8)

    def open_or_create(self, size: int, initialize: Callable[[Bytes], None]) -> Bytes:
        while True:
            try:
                return self.open()
            except FileNotFoundError:
                self._create(size, initialize)

    def _create(self, size: int, initialize: Callable[[Bytes], None]) -> None:
        """Create the file, unless another process creates it first.

        It is filled under a temporary name and then linked to its own, which the kernel does atomically. So no process
        ever sees it half written, and one that dies in between leaves nothing but the hidden temporary file.
        """
        try:
            descriptor, unfinished = tempfile.mkstemp(prefix=f".{self.path.name[:200]}.", dir=self.path.parent)
        except OSError as error:
            raise type(error)(error.errno, f"cannot create the table: {error.strerror}", str(self.path)) from None
        try:
            os.fchmod(descriptor, self.mode)
            self._reserve(descriptor, size)
            block = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
            initialize(np.frombuffer(block, np.uint8))
            block.flush()
            with suppress(FileExistsError):
                os.link(unfinished, self.path)
            if self.path.is_symlink() and not self.path.exists():
                raise FileNotFoundError(errno.ENOENT, "is a symbolic link to a missing file", str(self.path))
        finally:
            os.unlink(unfinished)
            os.close(descriptor)

    def _reserve(self, descriptor: int, size: int) -> None:
        """Allocate the blocks now: writing to mapped memory on a full disk would kill the process."""
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            message = f"cannot create a table of {size:,} bytes: {error.strerror}"
            raise type(error)(error.errno, message, str(self.path)) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        with _opened(self.path) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel releases it when the process dies
            yield

    def remove(self) -> None:
        self.path.unlink()

    def __repr__(self) -> str:
        return f"Table.open({str(self.path)!r})"


class SharedMemory(MappedFile):
    """A file in the host's shared memory, which lasts until the host restarts."""

    @property
    def name(self) -> str | None:
        """The name in shared memory, or None for a file there that was not named by `Table.shared`."""
        return self.path.name.removeprefix(SHARED_PREFIX) if self.path.name.startswith(SHARED_PREFIX) else None

    def _reserve(self, descriptor: int, size: int) -> None:
        """Check that the memory is free. Blocks are not allocated: a table takes memory as it is used."""
        space = os.fstatvfs(descriptor)
        free = space.f_bavail * space.f_frsize
        if size > free:
            raise OSError(
                errno.ENOSPC,
                f"a table of {size:,} bytes does not fit into the {free:,} that are free in {SHARED_FOLDER}; "
                "lower max_keys or enlarge the file system",
            )
        os.ftruncate(descriptor, size)

    def __repr__(self) -> str:
        return super().__repr__() if self.name is None else f"Table.shared({self.name!r})"


def storage_at(path: str | os.PathLike[str], mode: int) -> MappedFile:
    """Return the storage of the file at this path, which may be in shared memory."""
    kind = SharedMemory if Path(path).absolute().parent == SHARED_FOLDER else MappedFile
    return kind(path, mode)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file that this user or root owns: any other owner could truncate it, and thus kill this process.

    A symbolic link as the last component is followed here and not by the kernel, and only if this user owns it.
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
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        if status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EPERM, "belongs to another user, who could truncate it", str(path))
        yield descriptor
    finally:
        os.close(descriptor)
