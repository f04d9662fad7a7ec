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
from typing import Any, NoReturn

from ...errors import TableFull, TableUnreachable
from .address import Address
from .breaker import Breaker
from .options import Safety
from .replicas import Replicas

MOST_KEYS = 128  # of one call of the script
MOST_IDLE = 64  # connections that are kept
PROBE = "SET", "rl:probe", 1, "PX", 1_000
SLACK = 0.001  # seconds by which a deadline may be missed
SCANNED = 1_000  # keys at which an engine looks at once

Command = tuple[Any, ...]
_DEFAULT = Safety()
Label = tuple[bytes, Callable[[bytes | None], None]]  # a key that is read along, and what to do with its value

_all: "weakref.WeakSet[Any]" = weakref.WeakSet()


# Requests that are carried out all together or not at all: the key of each, and the packed numbers of each.
Group = tuple[list[bytes], list[bytes]]


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

    turns_class: Any = None  # the asyncio side, which turns.py sets

    def __init__(self, address: Address, timeout: float, safety: Safety = _DEFAULT) -> None:
        self.address = address
        self.timeout = timeout
        self.replicas = Replicas(safety, timeout, address.exceptions.TimeoutError)
        self.breaker = Breaker(self._probe, str(address))
        self.trips = 0  # round trips, not counted exactly while threads race
        self.unanswered = 0
        self.turns: dict[Any, Any] = {}  # event loop -> Turns, see turns.py
        self._idle: deque[Any] = deque(maxlen=MOST_IDLE)
        errors = address.exceptions
        # The engine refused these before it executed anything.
        self.refusals = errors.ReadOnlyError, errors.BusyLoadingError
        self.replies = errors.ResponseError, errors.BusyLoadingError  # replies that the clients raise as errors
        self.failures = errors.ConnectionError, errors.TimeoutError, OSError, EOFError
        register(self)

    def slot_of(self, key: bytes) -> int:
        """Return the slot of a key. A script decides keys of one slot; on a single server all have the same."""
        return 0

    def ask(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> list[bytes]:
        """Decide the groups in order; return the reply to each.

        Raises:
            TableUnreachable: the engine did not answer. It may have carried out the requests.
            TableFull: the engine has no memory left, and carried out none of them.
        """
        replies: list[bytes] = []
        for span in spans_of([len(keys) for keys, _ in groups]):
            part = groups[span]
            replies += split(part, self.run([decide(part)], labels)[0])
            labels = ()
        return replies

    def run(self, commands: list[Command], labels: Sequence[Label] = ()) -> list[Any]:
        """Send commands in one write, and return their replies.

        Raises: as for `ask`.
        """
        deadline = time.monotonic() + self.timeout
        sent = [*commands, *(("GET", key) for key, _ in labels)]
        replies = self.receive(self.send(sent, deadline), sent, deadline)
        if isinstance(replies[0], self.refusals):
            self.address.has_moved()
            replies = self.receive(self.send(sent, deadline), sent, deadline)
        for reply in replies:
            if isinstance(reply, Exception):
                raise self.problem(reply) from reply
        for (_, use), reply in zip(labels, replies[len(commands) :], strict=True):
            use(reply)
        return replies[: len(commands)]

    def send(self, commands: list[Command], deadline: float) -> Any:
        """Send commands in one write; return the connection on which `receive` gets the replies."""
        if self.breaker.is_open:
            raise self.unreachable()
        connection = None
        try:
            connection = self._connection(deadline)
            self._write(connection, self.replicas.asked(commands))
        except BaseException as error:
            self._give_up(connection, error)
        return connection

    def receive(self, connection: Any, commands: list[Command], deadline: float) -> list[Any]:
        """Return the replies, of which some may be errors of the engine's: see `problem`."""
        errors = self.address.exceptions
        try:
            sent = self.replicas.asked(commands)
            replies = self._read(connection, len(sent), deadline)
            for i, reply in enumerate(replies):
                if isinstance(reply, errors.NoScriptError):  # the engine does not have the script, so it did not run it
                    again = [with_script(sent[i]), *sent[len(commands) :]]
                    self._write(connection, again)
                    replies[i], *replies[len(commands) :] = self._read(connection, len(again), deadline)
            replies = self.replicas.confirmed(replies, len(commands))
        except BaseException as error:
            self._give_up(connection, error)
        self.breaker.succeeded()
        if isinstance(replies[0], self.refusals):
            connection.disconnect()
        else:
            self._idle.append(connection)
        return replies

    def _give_up(self, connection: Any, error: BaseException) -> NoReturn:
        if connection is not None:
            connection.disconnect()
        if isinstance(error, self.failures):
            raise self.failed(error) from error
        if isinstance(error, self.address.error):
            raise self.problem(error) from error
        raise error

    def unreachable(self) -> TableUnreachable:
        """Return the error for a request that is not sent, because the breaker is open."""
        return TableUnreachable(f"{self.address} does not answer: {self.breaker.reason}")

    def failed(self, error: Exception) -> TableUnreachable:
        """Note that the engine did not answer, and return the error for it."""
        self.unanswered += 1
        self.address.has_moved()
        self.breaker.failed(error)
        return TableUnreachable(f"{self.address}: {error}")

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

    def _write(self, connection: Any, commands: list[Command]) -> None:
        self.trips += 1
        if len(commands) == 1:
            connection.send_packed_command(connection.pack_command(*commands[0]), check_health=False)
        else:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    def _read(self, connection: Any, count: int, deadline: float) -> list[Any]:
        replies = []
        for _ in range(count):
            left = deadline - time.monotonic()
            # The socket's own timeout is enough while hardly any time has passed. A reply that is there is used anyway.
            is_enough = 0 <= connection.socket_timeout - left < SLACK
            if not is_enough and not connection.can_read(max(0.0, left)):
                raise self.address.exceptions.TimeoutError(f"no reply within {self.timeout} s")
            try:
                replies.append(connection.read_response())
            except self.replies as error:
                replies.append(error)
        return replies

    def _connection(self, deadline: float) -> Any:
        """Return an idle connection that the engine has not closed, or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self.address.connect(max(0.001, deadline - time.monotonic()))
                self._greet(connection, deadline)
                return connection
            try:
                if not connection.can_read(0):
                    return connection
            except self.failures:
                pass
            connection.disconnect()

    def _greet(self, connection: Any, deadline: float) -> None:
        """Find out whether the server has become the primary since the last connection."""
        command = self.replicas.first_question()
        while command is not None:
            self._write(connection, [command])
            command = self.replicas.next_question(self._read(connection, 1, deadline)[0])

    def _probe(self) -> None:
        self.address.has_moved()
        connection = self.address.connect(self.timeout)
        try:
            sent = self.replicas.asked([PROBE])
            replies = []
            for command in sent:
                connection.send_command(*command)
                replies.append(connection.read_response())
            self.replicas.confirmed(replies, 1)
        finally:
            connection.disconnect()

    def after_fork(self) -> None:
        """Leave the connections to the parent process."""
        self._idle = deque(maxlen=MOST_IDLE)
        self.turns = {}
        self.breaker.after_fork()


def decide(groups: Sequence[Group]) -> Command:
    """Return the command that decides the groups; requests that are alike, each a group, are sent once."""
    keys = [key for keys, _ in groups for key in keys]
    requests = [request for _, requests in groups for request in requests]
    if len(keys) == len(groups) and requests.count(requests[0]) == len(requests):
        return "EVALSHA", script()[1], len(keys), *keys, requests[0]
    sizes = bytes(len(keys) for keys, _ in groups)
    return "EVALSHA", script()[1], len(keys), *keys, sizes, *requests


def with_script(command: Command) -> Command:
    """Return the same command with the text of the script instead of its digest."""
    return "EVAL", script()[0], *command[2:]


def count_keys(groups: Sequence[Group]) -> int:
    return sum([len(keys) for keys, _ in groups])


def spans_of(counts: Sequence[int], most: int = MOST_KEYS) -> list[slice]:
    """Split what has so many keys each into calls of at most so many keys."""
    if sum(counts) <= most:
        return [slice(None)]
    spans = []
    begin = total = 0
    for i, count in enumerate(counts):
        if total + count > most:
            spans.append(slice(begin, i))
            begin, total = i, 0
        total += count
    return [*spans, slice(begin, None)]


MOMENT = 8  # bytes of a reply: the engine's moment, before the answers to the requests, all of one size


def split(groups: Sequence[Group], reply: bytes) -> list[bytes]:
    """Return the reply to each group: the moment and its answers."""
    if len(groups) == 1:
        return [reply]
    count = count_keys(groups)
    moment, size = reply[:MOMENT], (len(reply) - MOMENT) // count
    if len(groups) == count:
        return [moment + reply[at : at + size] for at in range(MOMENT, len(reply), size)]
    replies, at = [], MOMENT
    for keys, _ in groups:
        end = at + size * len(keys)
        replies.append(moment + reply[at:end])
        at = end
    return replies


def register(engine: Any) -> None:
    """Call `after_fork` of an engine in each child process."""
    _all.add(engine)


def _after_fork() -> None:
    for engine in list(_all):
        engine.after_fork()


os.register_at_fork(after_in_child=_after_fork)
