"""A table whose keys an engine keeps. Its metadata is one key there, the label, of which each process has a copy."""

import struct
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..._engine.constants import HEADER_OFFSET, Algorithm
from ...errors import CorruptTable, TableUnreachable
from ..memory import Bytes, ProcessMemory, Storage
from ..metadata import _METADATA, QUOTAS, TableMetadata, bytes_for, changed_word, entry_values
from .cluster import engine_of
from .engine import Label
from .lease_file import lease_file
from .leases import read_revision, write_revision
from .options import Options, Traffic

FOLLOW_EVERY = 1.0  # seconds between two looks at the label, which go along with decisions
_PREFIX, _LABEL = b"rl:", b":label"
_HEAD = struct.Struct("<QQ")  # of a label: the revision, and the length of leases in microseconds
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
MOST = (1 << 52) - 1  # of what a script counts exactly
_ATTEMPTS = 100  # to change the quota while other processes do
T = TypeVar("T")
_EXACT_POLICY = "noeviction"
_EVICTS = {"volatile-ttl": "which evicts first what is nearest to new, in use or not"}


class ValkeyStorage(Storage):
    """A table in an engine.

    Attributes:
        engine: the server.
        options: those of the table.
        prefix: of all its keys.
        lease_us: the length of leases in microseconds, 0 without; once it is open that of the table.
    """

    is_remote = True

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine: Any = engine_of(options.given, options.timeout, options.safety)
        self.prefix = _PREFIX + f"{options.name}:".encode()
        self.label = self.prefix + _LABEL[1:]
        self.lease_us = round((options.lease or 0) * 1e6)
        self._memory: Bytes | None = None
        self._lock = threading.RLock()  # of changes, which may contain changes
        self._is_publishing = False
        self._opened = b""  # the label as it was then
        self._look_at = 0.0
        self._offset_ns: int | None = None
        self._checked_policy = False
        self.remembered = 0  # refusals without a request
        self.granted = self.returned = 0  # by this process for leases
        self.fallbacks = 0  # decisions without the engine

    # --- Storage

    def open(self) -> Bytes:
        label = self.engine.run([("GET", self.label)])[0]
        if label is None:
            raise FileNotFoundError(f"{self!r} does not exist")
        return self._installed(label, as_made=True)

    def open_or_create(self, size: int, initialize: Callable[[Bytes], None]) -> Bytes:
        made = ProcessMemory().open_or_create(size, initialize)
        _check_numbers(TableMetadata(made, repr(self)))
        while True:
            label = self.engine.run([("GET", self.label)])[0]
            if label is None and not self.engine.run([("SET", self.label, self._label_of(made), "NX")])[0]:
                continue  # another process was faster
            self._check_policy()
            return self._installed(self._label_of(made) if label is None else label)

    def _installed(self, label: bytes, as_made: bool = False) -> Bytes:
        page = self._page(label)
        lease_us = _HEAD.unpack_from(label)[1]
        if lease_us != self.lease_us and not as_made:  # one for all hosts: what each may spend depends on it
            made = lease_us / 1e6 or None
            raise ValueError(f"{self!r}: expected lease={made!r}, with which it was made, got {self.options.lease!r}")
        self.lease_us = lease_us
        row = page[: _METADATA.itemsize].view(_METADATA)[0]
        size = bytes_for(int(row["max_keys"]) % 2**20, int(row["capacity"]) % 2**20)
        self._memory = ProcessMemory().open_or_create(size, lambda memory: None)
        self._memory[: len(page)] = page
        write_revision(self._memory, _HEAD.unpack_from(label)[0])
        self._look_at = time.monotonic() + FOLLOW_EVERY
        self._opened = self._copy()
        return self._memory

    def _page(self, label: bytes) -> Bytes:
        page: Bytes = ProcessMemory().open_or_create(HEADER_OFFSET, lambda memory: None)
        body = label[_HEAD.size :]
        if not _METADATA.itemsize <= len(body) <= HEADER_OFFSET:
            raise CorruptTable(f"{self!r}: the key {self.label!r} is not the label of a ratelimit table")
        page.data[: len(body)] = body
        return page

    def publish(self, change: Callable[[], T]) -> T:
        """Carry out what may change the metadata here, and write the result to the engine.

        If another process was faster, its metadata is read and `change` is carried out again.
        """
        with self._lock:
            if self._is_publishing:
                return change()
            self._is_publishing = True
            try:
                return self._publish(change)
            finally:
                self._is_publishing = False

    def _publish(self, change: Callable[[], T]) -> T:
        for _ in range(_ATTEMPTS):
            before = b"" if self._memory is None else self.pull()
            try:
                result = change()
                before = before or self._opened
                if self._copy() == before:
                    return result
                self._set_time(before)
                if self.engine.run([("EVAL", _REPLACE, 1, self.label, before, self._copy())])[0]:
                    return result
            except BaseException:
                if before:
                    self._follow(before)
                raise
            self._follow(before)
        raise TableUnreachable(f"{self!r}: other processes change its quota all the time")

    def _copy(self) -> bytes:
        assert self._memory is not None
        return self._label_of(self._memory)

    def _label_of(self, memory: Bytes) -> bytes:
        return _HEAD.pack(read_revision(memory), self.lease_us) + memory[: _METADATA.itemsize].tobytes()

    def _set_time(self, before: bytes) -> None:
        """Give a change of the quota the engine's time."""
        assert self._memory is not None
        revision = read_revision(self._memory)
        if revision == _HEAD.unpack_from(before)[0]:
            return
        metadata = TableMetadata(self._memory, repr(self))
        _, counts = metadata.change(revision)
        seconds, micros = self.engine.run([("TIME",)])[0]
        entry = metadata._row["quotas"][revision % QUOTAS]
        quota, previous = entry["value"].tolist()[:3], int(entry["value"][4])
        changed = changed_word(int(seconds) * 10**9 + int(micros) * 1000, counts)
        entry["value"] = entry_values(revision, quota, changed, previous)

    def remove(self) -> None:
        """Remove the label, all keys, and this host's leases. A process that still uses the table makes it again."""
        label = self.engine.run([("GET", self.label), ("DEL", self.label)])[0]
        if label is None:
            raise FileNotFoundError(f"{self!r} does not exist")
        if len(label) >= _HEAD.size and (lease_us := _HEAD.unpack_from(label)[1]):
            lease_file(self.name_of_leases(lease_us)).path.unlink(missing_ok=True)
        for keys in self.engine.scan(self.prefix + b"*"):
            if keys:
                self.engine.run([("UNLINK", key) for key in keys])

    def name_of_leases(self, lease_us: int) -> str:
        """Return what identifies the leases of this table, of this length, on each host."""
        return f"{self!r} {lease_us}"

    def count_keys(self) -> int:
        """Return how many keys are kept: those that are live, and those that were less than two seconds ago."""
        return len({key for keys in self.engine.scan(self.prefix + b"{*") for key in keys})

    @staticmethod
    def names_on(engine: Any) -> list[str]:
        """Return the names of the tables on an engine."""
        found = {key for keys in engine.scan(_PREFIX + b"*" + _LABEL) for key in keys}
        return sorted(key[len(_PREFIX) : -len(_LABEL)].decode() for key in found if b"{" not in key)

    def __repr__(self) -> str:
        return f"Table.valkey('{self.engine.address}', name={self.options.name!r})"

    def __getstate__(self) -> Options:
        if not isinstance(self.options.given, str):
            raise TypeError(f"{self!r} was made with a client object; one that was made with a URL can be pickled")
        return self.options

    def __setstate__(self, options: Options) -> None:
        self.__init__(options)  # type: ignore[misc]

    def renamed(self, name: str) -> "ValkeyStorage":
        """Return a table of another name in the same place."""
        return ValkeyStorage(self.options._replace(name=name))

    def traffic(self) -> Traffic:
        """Return what this process asked of the engine, and what it did not have to ask."""
        engine = self.engine
        breaker = engine.breaker
        return Traffic(
            *(engine.trips, engine.unanswered, self.remembered, self.fallbacks, self.granted, self.returned),
            *(breaker.is_open, breaker.opened_count),
        )

    # --- for the limiters

    def labels(self) -> Sequence[Label]:
        """Return the label if it is time to look at it again; the next request reads it along."""
        now = time.monotonic()
        if now < self._look_at:
            return ()
        self._look_at = now + FOLLOW_EVERY
        return [(self.label, self._follow)]

    def pull(self) -> bytes:
        """Read the label now, and return it."""
        self._follow(self.engine.run([("GET", self.label)])[0])
        return self._copy()

    def _follow(self, label: bytes | None) -> None:
        memory = self._memory
        if memory is None:
            return
        if label is None:  # the engine lost its data, or the table was removed
            self.engine.run([("SET", self.label, self._label_of(memory), "NX")])
        elif label != self._label_of(memory):
            page = self._page(label)
            made, current = (part[: _METADATA.itemsize].view(_METADATA)[0]["checksum"] for part in (page, memory))
            if made != current or _HEAD.unpack_from(label)[1] != self.lease_us:
                raise CorruptTable(
                    f"{self!r} was removed, and made again with other properties; make the limiter again"
                )
            memory[: len(page)] = page
            write_revision(memory, _HEAD.unpack_from(label)[0])

    def clock_ns(self) -> int:
        """Return the engine's time as far as this process knows it: never ahead of it, unless that goes back."""
        if self._offset_ns is None:
            seconds, micros = self.engine.run([("TIME",)])[0]
            self.note_time(int(seconds) * 10**9 + int(micros) * 1000)
        assert self._offset_ns is not None
        return time.monotonic_ns() + self._offset_ns

    def clock_ns_or_zero(self) -> int:
        """Return the same without asking: 0 if the engine has never answered."""
        return 0 if self._offset_ns is None else self.clock_ns()

    @property
    def revision(self) -> int:
        """How often the quota has changed, as far as this process knows."""
        assert self._memory is not None
        return read_revision(self._memory)

    def note_time(self, now_ns: int) -> None:
        """Remember the engine's time in a reply that has just arrived."""
        self._offset_ns = now_ns - time.monotonic_ns()

    def policy(self) -> str | None:
        """Return what the engine does when its memory is full; None if it does not tell, as many services."""
        try:
            policy, most = (
                dict(zip(reply[::2], reply[1::2], strict=True))[name]
                for name, reply in zip(
                    (b"maxmemory-policy", b"maxmemory"),
                    self.engine.run([("CONFIG", "GET", "maxmemory-policy"), ("CONFIG", "GET", "maxmemory")]),
                    strict=True,
                )
            )
        except (TableUnreachable, KeyError, TypeError):
            return None
        return str(policy.decode()) if int(most) else "noeviction"

    def _check_policy(self) -> None:
        """Warn of an engine that evicts keys that are in use: they would get a second quota."""
        if self._checked_policy:
            return
        self._checked_policy = True
        policy = self.policy()
        if policy is not None and policy != _EXACT_POLICY:
            evicts = _EVICTS.get(policy, "which evicts keys in use")
            warnings.warn(
                f"{self!r}: the engine's maxmemory-policy is {policy}, {evicts}, and so gives them a second quota "
                f"once its memory is full; set it to {_EXACT_POLICY}",
                stacklevel=2,
            )


def _check_numbers(metadata: TableMetadata) -> None:
    """Refuse what an engine cannot decide exactly, before there is a label."""
    made, quota = metadata.format, metadata.quota(0)
    if not made.own_clock:
        raise ValueError("clock: expected none, since the engine's time decides")
    if made.algorithm in (Algorithm.TOKEN_BUCKET, Algorithm.LEAKY_BUCKET):
        return
    if made.period % 1_000 and not made.calendar:
        raise ValueError(f"quota: expected a period of whole microseconds, an engine's unit, got {made.period} ns")
    if quota.maximum > MOST:
        raise ValueError(f"quota: expected a limit up to {MOST}, which an engine counts exactly, got {quota.maximum}")
