"""A key table, as users name it: in this process, in the host's shared memory, or in a file."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ._storage.memory import (
    SHARED_FOLDER,
    SHARED_PREFIX,
    Bytes,
    MappedFile,
    ProcessMemory,
    SharedMemory,
    Storage,
    storage_at,
)
from ._storage.metadata import StoredQuota, TableFormat, TableMetadata, bytes_for
from .quota import checked_int

MAX_KEYS = 1_000_000
MAX_KEYS_BITS = 48  # keeps the size in bytes far below 64 bits
IfChanged = Literal["raise", "keep", "scale", "reset"]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Mapping(NamedTuple):
    """A table in this process's address space."""

    memory: Bytes
    metadata: TableMetadata


class Table:
    """A key table; pass it to a limiter as `table=`.

    `Table(max_keys=...)` is in this process's memory. `Table.shared(name)` is in the host's shared memory, one table
    for all processes that use the name, until the host restarts or the table is removed. `Table.open(path)` is a file,
    and survives restarts. A table serves one limit: all limiters on it have the same algorithm and quota.

    Args:
        max_keys: how many keys may be live at once. It bounds the memory, 24 bytes per key, which is taken as it is
            used (a file's is allocated when the table is made). The default is 1,000,000, or what an existing table
            was made with.
        if_changed: what to do if the table exists and has another quota: `"raise"` (ValueError), or change it to the
            limiter's as `Limiter.change` does, with counts `"keep"`, `"scale"` or `"reset"`.
        mode: the permissions of a new file.

    Thread-safety: every method may be called from any thread. Any number of processes may create and attach at once:
    all use the same table.
    """

    def __init__(self, *, max_keys: int | None = None) -> None:
        self.max_keys = None if max_keys is None else checked_int(max_keys, "max_keys", bits=MAX_KEYS_BITS)
        self.if_changed: IfChanged = "raise"
        self._storage: Storage = ProcessMemory()
        self._mapping: Mapping | None = None
        self._lock = threading.RLock()

    @classmethod
    def shared(
        cls, name: str, *, max_keys: int | None = None, if_changed: IfChanged = "raise", mode: int = 0o600
    ) -> "Table":
        """Name a table in shared memory. It is made when the first limiter attaches.

        Args:
            name: up to 200 letters, digits, `_`, `.` and `-`; the first is not a `.` or `-`.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"name: expected up to 200 letters, digits, '_', '.' and '-', got {name!r}")
        return cls.open(SHARED_FOLDER / (SHARED_PREFIX + name), max_keys=max_keys, if_changed=if_changed, mode=mode)

    @classmethod
    def open(
        cls,
        path: "str | os.PathLike[str]",
        *,
        max_keys: int | None = None,
        if_changed: IfChanged = "raise",
        mode: int = 0o600,
    ) -> "Table":
        """Name a table in a file. It is made when the first limiter attaches."""
        if if_changed not in get_args(IfChanged):
            accepted = ", ".join(map(repr, get_args(IfChanged)))
            raise ValueError(f"if_changed: expected one of {accepted}, got {if_changed!r}")
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(f"path: expected the name of a file, a str or a Path, got {path!r}")
        if "\0" in str(path):
            raise ValueError(f"path: expected the name of a file, without NUL characters, got {str(path)!r}")
        if not isinstance(mode, int) or not 0 <= mode <= 0o777:
            raise ValueError(f"mode: expected permissions such as 0o600, got {mode!r}")
        table = cls(max_keys=max_keys)
        table._storage = storage_at(path, mode)
        table.if_changed = if_changed
        return table

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of this host's tables in shared memory."""
        return sorted(path.name.removeprefix(SHARED_PREFIX) for path in SHARED_FOLDER.glob(f"{SHARED_PREFIX}*"))

    @property
    def path(self) -> Path | None:
        """The table's file, also in shared memory; None for a table in this process's memory."""
        return self._storage.path

    @property
    def name(self) -> str | None:
        """The table's name in shared memory; None for a table elsewhere."""
        return self._storage.name if isinstance(self._storage, SharedMemory) else None

    def part(self, number: int) -> "Table":
        """Return the table for the n-th of several limits: the first has the name itself, the n-th has `.n` appended.

        Raises:
            ValueError: this table is in the process's memory, and has no name.
        """
        if number == 1:
            return self
        if not isinstance(self._storage, MappedFile):
            raise ValueError(
                f"table: expected a shared table or a file for several limits, got {self!r}; use max_keys="
            )
        path = self._storage.path.with_name(f"{self._storage.path.name}.{number}")
        return Table.open(path, max_keys=self.max_keys, if_changed=self.if_changed, mode=self._storage.mode)

    def remove(self) -> None:
        """Unlink the table's name. Attached processes keep the table; the next one to use the name makes a new table.

        Raises:
            FileNotFoundError: the table does not exist.
            ValueError: the table is in this process's memory.
        """
        self._storage.remove()

    # --- for the limiter

    def attach(self, wanted: TableFormat, quota: StoredQuota) -> Mapping:
        """Map the table for a limiter, and create it if it does not exist.

        Raises:
            CorruptTable: the memory is not a table, or is damaged.
            ValueError: the table was made for another algorithm, size, clock or period.
        """
        with self._lock:
            if self._mapping is None:
                memory = self._open_or_create(wanted, quota)
                self._mapping = Mapping(memory, TableMetadata(memory, repr(self)))
            self._mapping.metadata.require(wanted, self.max_keys, quota.maximum == 0)
            return self._mapping

    def _open_or_create(self, wanted: TableFormat, quota: StoredQuota) -> Bytes:
        max_keys = self.max_keys or MAX_KEYS
        size = bytes_for(max_keys, wanted.capacity)
        try:
            return self._storage.open_or_create(
                size, lambda memory: TableMetadata.write(memory, wanted, max_keys, quota)
            )
        except MemoryError as error:
            limit = f" with a limit of {wanted.capacity}" if wanted.capacity else ""
            raise MemoryError(f"max_keys={max_keys}{limit} takes {size:,} bytes of address space: {error}") from error

    def attach_existing(self) -> Mapping:
        """Map a table that exists.

        Raises:
            FileNotFoundError: the table does not exist.
            CorruptTable: the memory is not a table, or is damaged.
            ValueError: the table is in this process's memory.
        """
        with self._lock:
            if self._mapping is None:
                memory = self._storage.open()
                self._mapping = Mapping(memory, TableMetadata(memory, repr(self)))
            return self._mapping

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other threads and processes that would change the quota."""
        with self._lock, self._storage.locked():
            yield

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the table's name; its memory is mapped again when it is unpickled."""
        if self.path is None:
            raise TypeError("a table in this process's memory cannot be pickled; use Table.shared or Table.open")
        return {name: value for name, value in vars(self).items() if name not in ("_mapping", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _mapping=None, _lock=threading.RLock())

    def __repr__(self) -> str:
        return f"Table(max_keys={self.max_keys or MAX_KEYS})" if self.path is None else repr(self._storage)
