"""Where the bytes of a table are: in this process, in the host's shared memory, or in a file."""

import errno
import mmap
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .._engine.constants import LAYOUT, PAGE_BYTES
from .files import data_ranges, free_bytes, missing, opened, remedy_for_permissions, reserve

if TYPE_CHECKING:
    import numpy.typing as npt

Bytes: TypeAlias = "npt.NDArray[np.uint8]"

SHARED_PREFIX = f"ratelimit-{LAYOUT}."  # so that old and new workers share no table during an upgrade
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")  # of a table
_SHARED_MEMORY = Path("/dev/shm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of Linux 5.14
_INODE_FACTOR = 0x9E3779B97F4A7C15  # odd: no two inodes have the same product


def shared_folder() -> Path:
    """Return the folder of the tables in shared memory; where there is no /dev/shm, one of this user."""
    if _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
        return _SHARED_MEMORY
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(base) / f"ratelimit-{os.geteuid()}"


def check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"name: expected up to 200 letters, digits, '_', '.' and '-', got {name!r}")


def boot_id() -> int:
    """Return a number that identifies this boot of the host, or 0 if the host does not name it."""
    try:
        return int(_BOOT_ID.read_text().replace("-", "")[:16], 16)
    except (OSError, ValueError):
        return 0


@cache
def can_grow() -> bool:
    """Return whether the kernel can be asked for a mapped file's memory before it is used."""
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(_POPULATE_WRITE)
    except AttributeError:
        return False
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def session_of(status: os.stat_result) -> int:
    """Return a number that identifies this file on this boot of the host, or 0 if the host does not name its boot.

    A copy of a file has another number: its first page may be older than the rest of it.
    """
    boot = boot_id()
    return (boot ^ status.st_ino * _INODE_FACTOR) % 2**64 or 1 if boot else 0


class Storage(ABC):
    """Where a table is kept: everything in which the kinds of tables differ.

    A limiter maps a table's bytes once, and from then on reads and writes them with atomic instructions. It asks the
    storage for nothing else than to attach.

    Attributes:
        path: the file, or None for memory that ends with the process.
        session: identifies this file on this boot of the host, once it is open; 0 if the host does not name its boot.
        data: where the file that is open has data, and no holes: offsets of starts and ends.
        is_mapped: whether memory must be reserved before it is used.
        is_remote: whether an engine on another host keeps the keys, and here is only a copy of the metadata.
    """

    path: Path | None = None
    session: int = 1
    data: Sequence[tuple[int, int]] = ()
    is_mapped = False
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

    def has_data(self, start: int, end: int) -> bool:
        """Return whether a part of the open file has no holes."""
        return any(first <= start and end <= last for first, last in self.data)

    def data_before(self, end: int, start: int) -> int:
        """Return how far from `start` the data of the open file goes, before `end`."""
        return max((min(last, end) - start for first, last in self.data if first < end and last > start), default=0)

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
        memory = private_bytes(size)
        initialize(memory)
        return memory

    def remove(self) -> None:
        raise ValueError("table: expected shared memory or a file; a table in this process is freed with its limiter")

    def __repr__(self) -> str:
        return "Table()"


class MappedFile(Storage):
    """A file that every process maps; it outlives the processes and the host.

    The file is as long as the table can become, and has holes where that is not in use. A part has its memory
    before it is used: to write to a hole on a full disk would kill the process.

    Args:
        path: of the file; relative to the current directory.
        mode: the permissions of a new file.
    """

    path: Path
    is_mapped = True

    def __init__(self, path: str | os.PathLike[str], mode: int) -> None:
        self.path = Path(path).absolute()
        self.mode = mode
        self.any_owner = False  # whether to open a file whose owner could truncate it, and thus kill this process

    def open(self) -> Bytes:
        try:
            with opened(self.path, os.O_RDWR, any_owner=self.any_owner) as descriptor:
                status = os.fstat(descriptor)
                self.session = session_of(status)
                if not os.path.samestat(status, self.path.stat()):  # replaced meanwhile, see replacement.py
                    return self.open()
                if status.st_size == 0:
                    return np.empty(0, np.uint8)
                self.data = data_ranges(descriptor, status.st_size)
                return np.frombuffer(self._map(descriptor, status.st_size), np.uint8)
        except FileNotFoundError as error:
            raise (error if error.strerror != os.strerror(errno.ENOENT) else missing(self)) from None
        except PermissionError as error:
            raise remedy_for_permissions(error, self, self.path) from None

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
        unfinished = self.path.with_name(f".{self.path.name[:200]}.{os.urandom(8).hex()}")
        try:
            descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise type(error)(error.errno, f"cannot create the table: {error.strerror}", str(self.path)) from None
        try:
            os.fchmod(descriptor, self.mode)
            block = self._map(descriptor, size, PAGE_BYTES)
            initialize(np.frombuffer(block, np.uint8))
            block.flush()
            with suppress(FileExistsError):
                os.link(unfinished, self.path)
            if self.path.is_symlink() and not self.path.exists():
                raise FileNotFoundError(errno.ENOENT, "is a symbolic link to a missing file", str(self.path))
        finally:
            os.unlink(unfinished)
            os.close(descriptor)

    def _map(self, descriptor: int, size: int, reserved: int = 0) -> mmap.mmap:
        """Map a file, made so long if it is shorter, and reserve its first bytes; where it cannot grow, all."""
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            if reserved or not can_grow():
                reserve(descriptor, reserved if can_grow() else size)
            return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
        except OSError as error:
            raise self.no_room(error, size) from None

    def no_room(self, error: OSError, size: int) -> OSError:
        """Return the error for bytes of the table that have no memory or disk."""
        free = free_bytes(self.path.parent)
        return type(error)(
            error.errno,
            f"{self}: {size:,} bytes of the table do not fit into the {free:,} that are free in {self.path.parent} "
            f"({error.strerror}); lower max_keys, remove tables, or enlarge the file system",
        )

    def remove(self) -> None:
        try:
            self.path.unlink()
        except FileNotFoundError:
            raise missing(self) from None

    def __repr__(self) -> str:
        return f"Table.open({str(self.path)!r})"


class SharedMemory(MappedFile):
    """A file in the host's shared memory, which lasts until the host restarts."""

    @property
    def name(self) -> str | None:
        """The name in shared memory, or None for a file there that was not named by `Table.shared`."""
        return self.path.name.removeprefix(SHARED_PREFIX) if self.path.name.startswith(SHARED_PREFIX) else None

    def _create(self, size: int, initialize: Callable[[Bytes], None]) -> None:
        if self.path.parent != _SHARED_MEMORY:
            own_folder(self.path.parent)
        super()._create(size, initialize)

    def __repr__(self) -> str:
        return super().__repr__() if self.name is None else f"Table.shared({self.name!r})"


def own_folder(folder: Path) -> None:
    """Make a folder that only this user can use.

    Raises:
        PermissionError: another user made a folder of that name.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "another user can write to the folder of the shared tables", str(folder))


def private_bytes(size: int) -> Bytes:
    """Return zero bytes of this process; the kernel provides each page when it is first touched."""
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    except (OSError, OverflowError) as error:
        raise MemoryError(str(error)) from error
    return np.frombuffer(block, np.uint8)


def storage_at(path: str | os.PathLike[str], mode: int) -> MappedFile:
    """Return the storage of the file at this path, which may be in shared memory."""
    kind = SharedMemory if Path(path).absolute().parent == shared_folder() else MappedFile
    return kind(path, mode)
