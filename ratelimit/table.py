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
Unreachable = Literal["deny", "allow", "raise", "share"]
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
        _check_name(name)
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
        _check_choice(if_changed, "if_changed", get_args(IfChanged))
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
    def valkey(
        cls,
        url: Any,
        *,
        name: str,
        timeout: float = 0.25,
        unreachable: Unreachable = "deny",
        hosts: int | None = None,
        remember: float = 1.0,
        if_changed: IfChanged = "raise",
    ) -> "Table":
        """Name a table on Valkey or Redis, for all hosts that use the name. It is made when the first limiter attaches.

        Args:
            url: `valkey://user:password@host:6379/0`, with TLS `valkeys://`, with Sentinel
                `valkey+sentinel://host,host/service`; `redis` may replace `valkey`. Or a client of valkey-py or
                redis-py, whose address and credentials are used.
            name: as for `shared`.
            timeout: seconds within which a decision connects, sends and receives.
            unreachable: the answer while the engine does not reply: `"deny"`, `"allow"`, `"raise"`
                (TableUnreachable) or `"share"`, by a local limiter with this host's share of the limit.
            hosts: for `"share"`, how many processes share the limit.
            remember: for at most so many seconds a refused key is refused again without a request to the engine; 0
                asks each time. Quota that another process gives back meanwhile is noticed after that time.
            if_changed: as for Table.
        """
        from ._storage.valkey.storage import Options, ValkeyStorage  # so that only its users load it

        _check_name(name)
        _check_choice(if_changed, "if_changed", get_args(IfChanged))
        _check_choice(unreachable, "unreachable", get_args(Unreachable))
        for seconds, least, argument in (timeout, 0.001, "timeout"), (remember, 0, "remember"):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not least <= seconds <= 3_600:
                raise ValueError(f"{argument}: expected seconds from {least} to 3600, got {seconds!r}")
        if (hosts is not None) != (unreachable == "share"):
            raise ValueError(f"hosts: expected for unreachable='share' and only for it, got hosts={hosts!r}")
        if hosts is not None:
            checked_int(hosts, "hosts")
        table = cls(max_keys=1)  # of this process's copy of the metadata
        table._storage = ValkeyStorage(Options(url, name, timeout, unreachable, hosts, remember))
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

    @property
    def remote(self) -> Any:
        """The table's keeper on another host, a ValkeyStorage; None for a table on this one."""
        return self._storage if self._storage.is_remote else None

    def part(self, number: int) -> "Table":
        """Return the table for the n-th of several limits: the first has the name itself, the n-th has `.n` appended.

        Raises:
            ValueError: this table is in the process's memory, and has no name.
        """
        if number == 1:
            return self
        if self.remote is not None:
            options = self.remote.options._asdict()
            url, name = options.pop("given"), options.pop("name")
            return Table.valkey(url, name=f"{name}.{number}", if_changed=self.if_changed, **options)
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
            self._mapping.metadata.require(wanted, self.max_keys)
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
        if self.path is None and self.remote is None:
            raise TypeError("a table in this process's memory cannot be pickled; use Table.shared or Table.open")
        return {name: value for name, value in vars(self).items() if name not in ("_mapping", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _mapping=None, _lock=threading.RLock())

    def __repr__(self) -> str:
        in_process = isinstance(self._storage, ProcessMemory)
        return f"Table(max_keys={self.max_keys or MAX_KEYS})" if in_process else repr(self._storage)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name: expected up to 200 letters, digits, '_', '.' and '-', got {name!r}")


def _check_choice(given: object, argument: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(map(repr, choices))}, got {given!r}")
