"""A key table, as users name it: in this process, in the host's shared memory, or in a file.

In one file: a third is the documentation of one class.
"""

import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ._engine.constants import PAGE_BYTES
from ._storage.files import opened
from ._storage.memory import (
    NAME,
    SHARED_PREFIX,
    Bytes,
    MappedFile,
    ProcessMemory,
    SharedMemory,
    Storage,
    can_grow,
    check_name,
    shared_folder,
    storage_at,
)
from ._storage.metadata import (
    DEFAULT_KEYS,
    TAKEN,
    Mapping,
    Starts,
    StoredQuota,
    TableFormat,
    TableKind,
    TableMetadata,
    bytes_for,
    default_max_keys,
    kind_of,
)
from ._storage.snapshot import Snapshot
from .errors import check_choice
from .quota import checked_int

MAX_PARTS = 16  # limits that one description may have
MAX_KEYS_BITS = 48  # keeps the size in bytes far below 64 bits
IfChanged = Literal["raise", "keep", "scale", "reset", "follow"]
Unreachable = Literal["deny", "allow", "raise", "share"]
_tables: "weakref.WeakSet[Table]" = weakref.WeakSet()


class Table:
    """A key table; pass it to a limiter as `table=`.

    `Table(max_keys=...)` is in this process's memory. `Table.shared(name)` is in the host's shared memory, one table
    for all processes that use the name, until the host restarts or the table is removed. `Table.open(path)` is a file,
    and survives restarts. A table serves one limit: all limiters on it have the same algorithm and quota.

    Args:
        starts: `"fresh"`, the default: a key that the table has not seen has its whole quota. `"spent"`: as if each key
            had spent its quota when the table was made, so that after a restart no key gets a second quota. None: what
            an existing table was made with.
        max_keys: how many keys may be live at once. It bounds the memory, 24 bytes per key, to which a table grows as
            its live keys need it. The default is what an existing table was made with, otherwise 4,000,000; for a
            sliding log, as many as 64 GB of addresses hold with their requests, and in a file 4 GB.
        min_keys: for how many keys a new table has memory from the start, at most `max_keys`. A table that grew to a
            million keys takes up to twice as long for each decision as one that began with room for them. None: what
            an existing table was made with, otherwise 10,000.
        if_changed: what to do if the table exists and has another quota than the limiter. By default, one that no
            limiter on the table was made with before is put in force as by `Limiter.change`, with counts `"keep"`,
            `"scale"` or `"reset"`, and otherwise the limiter follows the table. `"follow"` always follows the table;
            `"raise"` raises a ValueError.
        version: of the quota, a whole number. A limiter of a higher version than all before puts its quota in force,
            also one that was used before; a lower one follows the table.
        mode: the permissions of a new file.

    Thread-safety: every method may be called from any thread. Any number of processes may create and attach at once:
    all use the same table.
    """

    def __init__(
        self, *, max_keys: int | None = None, min_keys: int | None = None, starts: Starts | None = None
    ) -> None:
        if starts is not None:
            check_choice(starts, "starts", get_args(Starts))
        self.starts = starts
        self.max_keys = None if max_keys is None else checked_int(max_keys, "max_keys", bits=MAX_KEYS_BITS)
        self.min_keys = None if min_keys is None else checked_int(min_keys, "min_keys", bits=MAX_KEYS_BITS)
        if min_keys is not None and min_keys > (max_keys or DEFAULT_KEYS):
            raise ValueError(f"min_keys: expected at most max_keys={max_keys or DEFAULT_KEYS}, got {min_keys}")
        self.if_changed: IfChanged = "raise"
        self._storage: Storage = ProcessMemory()
        self.version: int | None = None
        self._mapping: Mapping | None = None
        self._renew_lock()

    @classmethod
    def shared(
        cls,
        name: str,
        *,
        max_keys: int | None = None,
        min_keys: int | None = None,
        starts: Starts | None = None,
        if_changed: IfChanged = "keep",
        version: int | None = None,
        mode: int = 0o600,
    ) -> "Table":
        """Name a table in shared memory. It is made when the first limiter attaches.

        Args:
            name: up to 200 letters, digits, `_`, `.` and `-`; the first is not a `.` or `-`.
        """
        check_name(name)
        path = shared_folder() / (SHARED_PREFIX + name)
        return cls.open(
            path, max_keys=max_keys, min_keys=min_keys, starts=starts, if_changed=if_changed, version=version, mode=mode
        )

    @classmethod
    def open(
        cls,
        path: "str | os.PathLike[str]",
        *,
        max_keys: int | None = None,
        min_keys: int | None = None,
        starts: Starts | None = None,
        if_changed: IfChanged = "keep",
        version: int | None = None,
        mode: int = 0o600,
    ) -> "Table":
        """Name a table in a file. It is made when the first limiter attaches."""
        check_choice(if_changed, "if_changed", get_args(IfChanged))
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(f"path: expected the name of a file, a str or a Path, got {path!r}")
        if "\0" in str(path):
            raise ValueError(f"path: expected the name of a file, without NUL characters, got {str(path)!r}")
        if not isinstance(mode, int) or not 0 <= mode <= 0o777:
            raise ValueError(f"mode: expected permissions such as 0o600, got {mode!r}")
        table = cls(max_keys=max_keys, min_keys=min_keys, starts=starts)
        table._storage = storage_at(path, mode)
        table.if_changed = if_changed
        table.version = None if version is None else checked_int(version, "version", least=0)
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
        lease: float | None = None,
        durable: int = 0,
        after_failover: Literal["as-is", "empty"] = "as-is",
        starts: Starts | None = None,
        if_changed: IfChanged = "keep",
        version: int | None = None,
    ) -> "Table":
        """Name a table on Valkey or Redis, for all hosts that use the name. It is made when the first limiter attaches.

        Args:
            url: `valkey://user:password@host:6379/0`, with TLS `valkeys://`, with Sentinel
                `valkey+sentinel://host,host/service`, of a cluster `valkey+cluster://host,host`; `redis` may replace
                `valkey`. Or a client of valkey-py or
                redis-py, whose address and credentials are used.
            name: as for `shared`.
            timeout: seconds within which a decision connects, sends and receives.
            unreachable: the answer while the engine does not reply: `"deny"`, `"allow"`, `"raise"`
                (TableUnreachable) or `"share"`, by a local limiter with this host's share of the limit.
            hosts: for `"share"`, how many processes share the limit.
            remember: for at most so many seconds a refused key is refused again without a request to the engine; 0
                asks each time. Quota that another process gives back meanwhile is noticed after that time.
            lease: seconds for which a host takes in advance what it spends on a key, to decide without a request to the
                engine. The same on all hosts; hosts.md has its price. None asks for each decision.
            durable: how many replicas have to confirm a decision; without them `unreachable` answers.
            after_failover: `"empty"`: a replica that becomes the primary, and may lack the last writes, takes every key
                for one that has just spent all. `"as-is"`: it does not.
            starts: only `"fresh"`, since the engine forgets each key once it is like new, and decides by that.
            if_changed, version: as for Table.
        """
        from ._storage.valkey.options import checked_options  # so that only its users load it
        from ._storage.valkey.storage import ValkeyStorage

        check_choice(if_changed, "if_changed", get_args(IfChanged))
        if starts not in ("fresh", None):
            raise ValueError(f"starts: expected 'fresh' on an engine, which forgets idle keys, got {starts!r}")
        table = cls(max_keys=1)  # of this process's copy of the metadata
        options = checked_options(url, name, timeout, unreachable, hosts, remember, lease, durable, after_failover)
        table._storage = ValkeyStorage(options)
        table.if_changed = if_changed
        table.version = None if version is None else checked_int(version, "version", least=0)
        return table

    @classmethod
    def at(cls, place: str, part: str = "", *, max_keys: int | None = None, **options: Any) -> "Table":
        """Name a table by a text, as configurations have it.

        Args:
            place: `shared:NAME`, `file:FOLDER`, or the URL of an engine with the table's name in its query and, if
                wanted, other arguments of `valkey`: `valkey://host:6379/0?name=api&timeout=0.1`.
            part: which of the tables there; it ends the name.
            max_keys, options: of a table on this host, and of one on an engine; the URL may replace the latter.
        """
        kind, _, base = place.partition(":")
        if base.startswith("//"):
            from ._storage.valkey.options import split_url

            url, named = split_url(place)
            named["name"] += f".{part}" if part else ""
            return cls.valkey(url, **{**options, **named})
        if kind == "shared":
            return cls.shared(f"{base}.{part}" if part else base, max_keys=max_keys)
        if kind != "file" or not part:
            raise ValueError(f"tables: expected memory, shared:NAME, file:FOLDER or an engine's URL, got {place!r}")
        os.makedirs(base, exist_ok=True)
        return cls.open(os.path.join(base, f"{part}.tbl"), max_keys=max_keys)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of this host's tables in shared memory."""
        found = (path.name.removeprefix(SHARED_PREFIX) for path in shared_folder().glob(f"{SHARED_PREFIX}*"))
        return sorted(filter(NAME.fullmatch, found))

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

    def parts(self, kinds: Sequence[TableKind]) -> "list[Table]":
        """Return a table for each of several limits: one that exists and was made for its algorithm and period.

        So a limit that is added, removed or moved does not take the table of another. The first limit without a table
        gets the name itself if that is free, the others the first free ones of `NAME.2`, `NAME.3` and so on.

        Raises:
            ValueError: this table is in the process's memory, and has no name.
        """
        if len(kinds) == 1 and not isinstance(self._storage, MappedFile):
            return [self]
        if self.remote is not None:
            return [self, *(self._remote_part(number) for number in range(2, len(kinds) + 1))]
        names = [self._part(number) for number in range(1, 2 * MAX_PARTS + 1)]
        existing = [table.kind() for table in names]
        if len(kinds) == 1 and (kinds[0] not in existing or existing[0] is None):
            return [self]
        chosen: list[Table | None] = []
        for kind in kinds:
            place = existing.index(kind) if kind in existing else None
            chosen.append(None if place is None else names[place])
            if place is not None:
                existing[place] = TAKEN
        free = (table for table, kind in zip(names, existing, strict=True) if kind is None)
        return [table or next(free) for table in chosen]

    def kind(self) -> TableKind | None:
        """Return the algorithm and the period with which the table was made; None if it does not exist."""
        try:
            with opened(self._storage.path or Path(), os.O_RDONLY, any_owner=True) as descriptor:
                return kind_of(np.frombuffer(os.pread(descriptor, PAGE_BYTES, 0), np.uint8))
        except FileNotFoundError:
            return None
        except OSError:
            return TAKEN

    def _part(self, number: int) -> "Table":
        if number == 1:
            return self
        if not isinstance(self._storage, MappedFile):
            raise ValueError(
                f"table: expected a shared table or a file for several limits, got {self!r}; use max_keys="
            )
        return Table.open(
            self._storage.path.with_name(f"{self._storage.path.name}.{number}"),
            mode=self._storage.mode,
            **{name: getattr(self, name) for name in ("max_keys", "min_keys", "starts", "if_changed", "version")},
        )

    def _remote_part(self, number: int) -> "Table":
        part = type(self)(max_keys=1)
        part._storage = self.remote.renamed(f"{self.remote.options.name}.{number}")
        part.if_changed, part.version = self.if_changed, self.version
        return part

    def snapshot(self, descriptor: int | None = None) -> "Table":
        """Return a copy of an existing table in this process's memory, for `Limiter.of`.

        For looking: it takes no memory of the table, and the table may belong to any user. If the file is open as
        `descriptor`, the copy has the requests of a sliding log, too.
        """
        copy = self.following()
        if isinstance(self._storage, MappedFile):
            copy._storage = Snapshot(self._storage, descriptor)
            copy._mapping = None
        return copy

    def of_any_owner(self) -> "Table":
        """Return the same table, attached even if another user owns it, who could end this process by truncating it."""
        copy = self.following()
        if isinstance(self._storage, MappedFile):
            copy._storage = storage_at(self._storage.path, self._storage.mode)
            copy._storage.any_owner = True
        return copy

    def following(self) -> "Table":
        """Return the same table for a limiter that takes the quota as it is in force."""
        other = type(self).__new__(type(self))
        vars(other).update(vars(self), if_changed="follow", version=None)
        return other

    def remove(self) -> None:
        """Unlink the table's name. Attached processes keep the table; the next one to use the name makes a new table.

        Raises:
            FileNotFoundError: the table does not exist.
            ValueError: the table is in this process's memory.
        """
        self._storage.remove()

    # --- for the limiter

    def attach(self, wanted: TableFormat, quota: StoredQuota, born: int) -> Mapping:
        """Map the table for a limiter, and create it if it does not exist.

        Args:
            born: of the metadata of a new table.

        Raises:
            CorruptTable: the memory is not a table, or is damaged.
            ValueError: the table was made for another algorithm, size, clock or period.
        """
        with self._lock:
            if self._mapping is None:
                memory = self._open_or_create(wanted, quota, born)
                self._mapping = Mapping(memory, TableMetadata(memory, repr(self)))
            self._mapping.metadata.require(wanted, self.max_keys, self.starts, quota.maximum == 0, self.min_keys)
            return self._mapping

    def _open_or_create(self, wanted: TableFormat, quota: StoredQuota, born: int) -> Bytes:
        default = default_max_keys(wanted.capacity, self.path is not None, can_grow())
        max_keys = self.max_keys or max(default, self.min_keys or 0)
        size = bytes_for(max_keys, wanted.capacity)
        try:
            return self._storage.open_or_create(
                size,
                lambda memory: TableMetadata.write(
                    memory, wanted, max_keys, quota, self.version or 0, born, self.min_keys or 0
                ),
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

    @property
    def storage(self) -> Storage:
        """Where the attached table is."""
        return self._storage

    def _renew_lock(self) -> None:
        """Make the lock, which is of the mapping only, again: in a child, the thread that holds it may not exist."""
        self._lock = threading.RLock()
        _tables.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the table's name; its memory is mapped again when it is unpickled."""
        if self.path is None and self.remote is None:
            raise TypeError("a table in this process's memory cannot be pickled; use Table.shared or Table.open")
        return {name: value for name, value in vars(self).items() if name not in ("_mapping", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _mapping=None)
        self._renew_lock()

    def __repr__(self) -> str:
        in_process = self.path is None and self.remote is None
        given = {"max_keys": self.max_keys, "min_keys": self.min_keys}
        arguments = ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return f"Table({arguments})" if in_process else repr(self._storage)


def _renew_locks() -> None:
    for table in list(_tables):
        table._renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
