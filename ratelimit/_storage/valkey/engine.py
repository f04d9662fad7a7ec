"""An engine as limiters use it: it decides groups of requests, each all or nothing, in one round trip.

Nothing that may have been executed is sent again. A request has one deadline: connect, send and receive.
"""

import hashlib
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ...errors import TableFull, TableUnreachable
from .address import Address, address_of
from .breaker import Breaker

MOST_KEYS = 128  # of one call of the script
MOST_IDLE = 64  # connections that are kept
SCANNED = 1_000  # keys at which an engine looks at once

Command = tuple[Any, ...]
Label = tuple[bytes, Callable[[bytes | None], None]]  # a key that is read along, and what to do with its value

_engines: "weakref.WeakValueDictionary[tuple[str, float], Engine]" = weakref.WeakValueDictionary()
_all: "weakref.WeakSet[Engine]" = weakref.WeakSet()


class Group(NamedTuple):
    """Requests that are carried out all together or not at all: the key and the packed numbers of each."""

    keys: list[bytes]
    requests: list[bytes]


@cache
def script() -> tuple[bytes, bytes]:
    """Return the script and its digest, by which the engine knows it."""
    folder = files(__package__) / "scripts"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".lua"))
    text = "\n".join((folder / name).read_text() for name in names).encode()
    return text, hashlib.sha1(text).hexdigest().encode()


class Engine:
    """A server, with its connections and its breaker; shared by all tables on it.

    Thread-safety: every method may be called from any thread; each takes a connection of its own.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self.breaker = Breaker(self._probe, str(address))
        self.trips = 0  # round trips, not counted exactly while threads race
        self.unanswered = 0
        self.turns: dict[Any, Any] = {}  # event loop -> Turns, see turns.py
        self._idle: deque[Any] = deque(maxlen=MOST_IDLE)
        errors = address.exceptions
        # The engine refused these before it executed anything.
        self._refusals = errors.ReadOnlyError, errors.BusyLoadingError
        self.failures = errors.ConnectionError, errors.TimeoutError, OSError, EOFError
        _all.add(self)

    @classmethod
    def of(cls, given: Any, timeout: float) -> "Engine":
        """Return the engine at a URL or of a client; the same one for the same URL."""
        if not isinstance(given, str):
            return cls(address_of(given), timeout)
        engine = _engines.get((given, timeout))
        if engine is None:
            engine = _engines[given, timeout] = cls(address_of(given), timeout)
        return engine

    def ask(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> list[bytes]:
        """Decide the groups in order; return the reply to each.

        Raises:
            TableUnreachable: the engine did not answer. It may have carried out the requests.
            TableFull: the engine has no memory left, and carried out none of them.
        """
        replies: list[bytes] = []
        for part in parts_of(groups):
            replies += split(part, self.run([decide(part)], labels)[0])
            labels = ()
        return replies

    def run(self, commands: list[Command], labels: Sequence[Label] = ()) -> list[Any]:
        """Send commands in one write, and return their replies."""
        if self.breaker.is_open:
            raise TableUnreachable(f"{self.address} does not answer")
        deadline = time.monotonic() + self.timeout
        try:
            replies = self._run(commands, labels, deadline)
        except self.failures as error:
            self.unanswered += 1
            self.address.has_moved()
            self.breaker.failed(error)
            raise TableUnreachable(f"{self.address}: {error}") from error
        except self.address.error as error:
            raise self.problem(error) from error
        self.breaker.succeeded()
        return replies

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """Go through the keys that match a pattern; the engine looks at all its keys for that, some at a time."""
        cursor: bytes | None = None
        while cursor != b"0":
            cursor, keys = self.run([("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", SCANNED)])[0]
            yield keys

    def problem(self, error: Exception) -> Exception:
        """Return the error for an error that the engine replied."""
        if isinstance(error, self.address.exceptions.OutOfMemoryError):
            return TableFull(f"{self.address} has no memory left (its maxmemory): {error}")
        return TableUnreachable(f"{self.address}: {error}")

    def _run(self, commands: list[Command], labels: Sequence[Label], deadline: float) -> list[Any]:
        connection = self._connection(deadline)
        try:
            try:
                return self._exchange(connection, commands, labels, deadline)
            except self._refusals:
                connection.disconnect()
                self.address.has_moved()
                connection = self._connection(deadline)
                return self._exchange(connection, commands, labels, deadline)
        except BaseException:
            connection.disconnect()
            connection = None
            raise
        finally:
            if connection is not None:
                self._idle.append(connection)

    def _exchange(
        self, connection: Any, commands: list[Command], labels: Sequence[Label], deadline: float
    ) -> list[Any]:
        sent = [*commands, *(("GET", key) for key, _ in labels)]
        replies = self._send(connection, sent, deadline)
        again = [i for i, reply in enumerate(replies) if isinstance(reply, self.address.exceptions.NoScriptError)]
        for i in again:  # the engine does not have the script, so it did not run it
            replies[i] = self._send(connection, [with_script(sent[i])], deadline)[0]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        for (_, use), reply in zip(labels, replies[len(commands) :], strict=True):
            use(reply)
        return replies[: len(commands)]

    def _send(self, connection: Any, commands: list[Command], deadline: float) -> list[Any]:
        self.trips += 1
        if len(commands) == 1:
            connection.send_packed_command(connection.pack_command(*commands[0]), check_health=False)
        else:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies = []
        for _ in commands:
            # A reply that is already there is used, however late.
            if not connection.can_read(max(0.0, deadline - time.monotonic())):
                raise self.address.exceptions.TimeoutError(f"no reply within {self.timeout} s")
            try:
                replies.append(connection.read_response())
            except self.address.exceptions.ResponseError as error:
                replies.append(error)
        return replies

    def _connection(self, deadline: float) -> Any:
        """Return an idle connection that the engine has not closed, or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self.address.connect(max(0.001, deadline - time.monotonic()))
            try:
                if not connection.can_read(0):
                    return connection
            except self.failures:
                pass
            connection.disconnect()

    def _probe(self) -> None:
        self.address.has_moved()
        connection = self.address.connect(self.timeout)
        try:
            connection.send_command("PING")
            connection.read_response()
        finally:
            connection.disconnect()

    def after_fork(self) -> None:
        """Leave the connections to the parent process."""
        self._idle = deque(maxlen=MOST_IDLE)
        self.turns = {}
        self.breaker.after_fork()


def decide(groups: Sequence[Group]) -> Command:
    """Return the command that decides the groups."""
    sizes = bytes(len(group.keys) for group in groups)
    keys = [key for group in groups for key in group.keys]
    requests = [request for group in groups for request in group.requests]
    return "EVALSHA", script()[1], len(keys), *keys, sizes, *requests


def with_script(command: Command) -> Command:
    """Return the same command with the text of the script instead of its digest."""
    return "EVAL", script()[0], *command[2:]


def parts_of(groups: Sequence[Group]) -> list[Sequence[Group]]:
    """Split groups into calls of at most MOST_KEYS keys."""
    if sum(len(group.keys) for group in groups) <= MOST_KEYS:
        return [groups]
    parts: list[Sequence[Group]] = []
    begin = count = 0
    for i, group in enumerate(groups):
        if count + len(group.keys) > MOST_KEYS:
            parts.append(groups[begin:i])
            begin, count = i, 0
        count += len(group.keys)
    return [*parts, groups[begin:]]


MOMENT, ANSWER = 8, 96  # bytes of a reply: the engine's moment, and one answer for each request


def split(groups: Sequence[Group], reply: bytes) -> list[bytes]:
    """Return the reply to each group: the moment and its answers."""
    if len(groups) == 1:
        return [reply]
    moment, at = reply[:MOMENT], MOMENT
    replies = []
    for group in groups:
        end = at + ANSWER * len(group.keys)
        replies.append(moment + reply[at:end])
        at = end
    return replies


def _after_fork() -> None:
    for engine in list(_all):
        engine.after_fork()


os.register_at_fork(after_in_child=_after_fork)
