"""Where the key table lives: in this process, in the host's shared memory, or in a file."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ._limiter.parameters import Sizes
from ._storage import memory as mapping
from ._storage.metadata import Label, bytes_for
from .quota import count

if TYPE_CHECKING:
    from ._core import Limiter

MAX_KEYS = 1_000_000
MAX_KEYS_BITS = 48  # so that a size in bytes is far from 64 bits
IfChanged = Literal["raise", "keep", "scale", "reset"]
_PREFIX = "ratelimit."
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Memory(NamedTuple):
    """A mapped table and its label."""

    bytes: mapping.Bytes
    label: Label


class Table:
    """A key table; give it to a limiter as `table=`.

    `Table(max_keys=...)` is in this process's memory. `Table.shared(name)` is in the host's shared memory, one
    for all processes that name it, until the host restarts or the table is removed. `Table.open(path)` is in a
    file, and outlives both. A table serves one limit: all limiters on it have the same algorithm and quota.

    Args:
        max_keys: how many keys may be live at once; bounds the memory, 24 bytes a key, which is taken as it is
            used (a file's at once: a full disk shows when the table is made). By default 1,000,000, or what an
            existing table was made with.
        if_changed: what to do when the table exists and holds another quota: `"raise"` (ValueError), or change
            it to the limiter's as `Limiter.change` does, the counts `"keep"`, `"scale"` or `"reset"`.
        mode: the permissions of a new file.

    Thread-safety: every method may be called from any thread. Creating and attaching may race with any number
    of processes: all end up in one table.
    """

    def __init__(self, *, max_keys: int | None = None) -> None:
        self.path: Path | None = None
        self.max_keys = None if max_keys is None else count(max_keys, "max_keys", bits=MAX_KEYS_BITS)
        self.if_changed: IfChanged = "raise"
        self.mode = 0o600
        self._mapped: Memory | None = None
        self._lock = threading.RLock()

    @classmethod
    def shared(
        cls, name: str, *, max_keys: int | None = None, if_changed: IfChanged = "raise", mode: int = 0o600
    ) -> "Table":
        """The table of this name in shared memory; made when the first limiter needs it.

        Args:
            name: letters, digits, `_`, `.` and `-`, up to 200 of them and not first a `.` or `-`.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"name must be up to 200 letters, digits, '_', '.' and '-', not {name!r}")
        path = mapping.SHARED_FOLDER / (_PREFIX + name)
        return cls.open(path, max_keys=max_keys, if_changed=if_changed, mode=mode)

    @classmethod
    def open(
        cls,
        path: "str | os.PathLike[str]",
        *,
        max_keys: int | None = None,
        if_changed: IfChanged = "raise",
        mode: int = 0o600,
    ) -> "Table":
        """The table in this file; made when the first limiter needs it."""
        if if_changed not in get_args(IfChanged):
            accepted = ", ".join(map(repr, get_args(IfChanged)))
            raise ValueError(f"if_changed must be one of {accepted}, not {if_changed!r}")
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(f"path must be the name of a file, a str or a Path, not {path!r}")
        if "\0" in str(path):
            raise ValueError(f"path must be the name of a file, which has no NUL in it, not {str(path)!r}")
        if not isinstance(mode, int) or not 0 <= mode <= 0o777:
            raise ValueError(f"mode must be permissions such as 0o600, not {mode!r}")
        table = cls(max_keys=max_keys)
        table.path = Path(path).absolute()
        table.if_changed = if_changed
        table.mode = mode
        return table

    @classmethod
    def names(cls) -> list[str]:
        """The names of this host's tables in shared memory."""
        return sorted(path.name.removeprefix(_PREFIX) for path in mapping.SHARED_FOLDER.glob(f"{_PREFIX}*"))

    @property
    def name(self) -> str | None:
        """Its name in shared memory, or None for a table elsewhere."""
        if self.path is None or self.path.parent != mapping.SHARED_FOLDER or not self.path.name.startswith(_PREFIX):
            return None
        return self.path.name.removeprefix(_PREFIX)

    def part(self, number: int) -> "Table":
        """The table for the n-th of several limits: the first has the name itself, the n-th has `.n` appended.

        Raises:
            ValueError: this table is in the process's memory, where no name leads to another one.
        """
        if number == 1:
            return self
        if self.path is None:
            raise ValueError(
                f"table: expected a shared table or a file for several limits, got {self!r}; use max_keys="
            )
        path = self.path.with_name(f"{self.path.name}.{number}")
        return Table.open(path, max_keys=self.max_keys, if_changed=self.if_changed, mode=self.mode)

    def limiter(self) -> "Limiter":
        """The limiter that an existing table serves, as its label says.

        Raises:
            FileNotFoundError: there is none.
            CorruptTable: it is no table, or damaged.
            ValueError: it is in this process's memory, or decided by a clock= of its owner.
        """
        from ._core import revision_of  # which import this module
        from .algorithms import limiter_of

        if self.path is None:
            raise ValueError("a table in this process's memory is its limiter's own; use that")
        with self._lock:
            if self._mapped is None:
                self._mapped = self._existing()
            memory, label = self._mapped
        if not label.own_clock:
            raise ValueError(f"{self} is decided by a clock of its owner's; make the limiter with that")
        return limiter_of(label.sizes(revision_of(memory)), self)

    def remove(self) -> None:
        """Remove the name: who is attached keeps the table, who comes later makes a new one.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.path is None:
            raise ValueError("a table in this process's memory has no name to remove; it goes with its limiter")
        self.path.unlink()

    # --- for the limiter

    def attach(self, sizes: Sizes, own_clock: bool) -> Memory:
        """The memory for a limiter of these sizes, made if it is not there yet.

        Raises:
            ValueError: the table serves another algorithm, or was made otherwise than asked for.
        """
        with self._lock:
            if self._mapped is None:
                self._mapped = self._private(sizes, own_clock) if self.path is None else self._file(sizes, own_clock)
            self._mapped.label.require(sizes, self.max_keys, own_clock)
            return self._mapped

    def _private(self, sizes: Sizes, own_clock: bool) -> Memory:
        max_keys = self.max_keys or MAX_KEYS
        wanted = f"max_keys={max_keys}" + (f" with a limit of {sizes.limit}" if sizes.capacity else "")
        memory = mapping.private(bytes_for(max_keys, sizes.capacity), wanted)
        Label.write(memory, sizes, max_keys, own_clock)
        return Memory(memory, Label(memory, "the table"))

    def _file(self, sizes: Sizes, own_clock: bool) -> Memory:
        assert self.path is not None
        max_keys = self.max_keys or MAX_KEYS
        while True:
            try:
                return self._existing()
            except FileNotFoundError:
                mapping.create(
                    self.path,
                    bytes_for(max_keys, sizes.capacity),
                    self.mode,
                    lambda memory: Label.write(memory, sizes, max_keys, own_clock),
                )

    def _existing(self) -> Memory:
        assert self.path is not None
        memory = mapping.existing(self.path)
        return Memory(memory, Label(memory, str(self)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the label, to write a new quota."""
        with self._lock:
            if self.path is None:
                yield
            else:
                with mapping.locked(self.path):
                    yield

    def __getstate__(self) -> dict[str, Any]:
        """What to pickle: not the memory but where it is."""
        if self.path is None:
            raise TypeError("a table in this process's memory cannot be pickled; use Table.shared or Table.open")
        return {name: value for name, value in vars(self).items() if name not in ("_mapped", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _mapped=None, _lock=threading.RLock())

    def __repr__(self) -> str:
        if self.name is not None:
            return f"Table.shared({self.name!r})"
        return (
            f"Table(max_keys={self.max_keys or MAX_KEYS})" if self.path is None else f"Table.open({str(self.path)!r})"
        )
