"""The asyncio side of an engine: what is asked in one turn of an event loop goes as one call."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from .engine import (
    MOST_IDLE,
    MOST_KEYS,
    Command,
    Engine,
    Group,
    Label,
    count_keys,
    decide,
    spans_of,
    split,
    with_script,
)

_TURNS = 4  # of the event loop, in which a reply that has arrived reaches its reader


# The groups of one caller, the labels that it wants to read, and the future in which it awaits the replies.
Question = tuple[Sequence[Group], Sequence[Label], "asyncio.Future[list[Any]]"]


class Turns:
    """The questions of one event loop."""

    most_keys = MOST_KEYS  # of one call

    def __init__(self, engine: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._waiting: list[Question] = []
        self._idle: deque[Any] = deque(maxlen=MOST_IDLE)
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> list[bytes]:
        """Decide the groups in order, as Engine.ask does; what others ask in the same turn goes along."""
        replies: list[bytes] = []
        for span in spans_of([len(keys) for keys, _ in groups], self.most_keys):
            replies += await self.put(groups[span], labels)
            labels = ()
        return replies

    def put(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> "asyncio.Future[list[Any]]":
        """Ask with this turn of the event loop, at most as much as one call may have; return what to await."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((groups, labels, future))
        return future

    def drop(self) -> None:
        """Let go of the connections of an event loop that is closed, and cannot close them any more."""
        self._idle.clear()

    def _flush(self) -> None:
        questions, self._waiting = self._waiting, []
        # Groups of one key are the usual case.
        counts = [len(groups[0][0]) if len(groups) == 1 else count_keys(groups) for groups, _, _ in questions]
        for span in spans_of(counts, self.most_keys):
            call = self._loop.create_task(self._call(questions[span]))
            self._calls.add(call)  # the event loop itself keeps weak references only
            call.add_done_callback(self._calls.discard)

    async def _call(self, questions: list[Question]) -> None:
        asked = [group for groups, _, _ in questions for group in groups]
        labels = {key: (key, use) for _, wanted, _ in questions for key, use in wanted}
        try:
            replies = await self.decide(asked, list(labels.values()))
        except BaseException as error:
            for _, _, future in questions:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        begin = 0
        for groups, _, future in questions:
            end = begin + len(groups)
            if not future.done():
                future.set_result(replies[begin:end])
            begin = end

    async def decide(self, groups: list[Group], labels: list[Label]) -> list[Any]:
        """Decide groups in one call of the script; return the reply to each."""
        engine = self._engine
        commands = [decide(groups), *(("GET", key) for key, _ in labels)]
        replies = await self.exchange(commands)
        if isinstance(replies[0], engine.refusals):
            engine.address.has_moved()
            replies = await self.exchange(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise engine.problem(reply) from reply
        for (_, use), reply in zip(labels, replies[1:], strict=True):
            use(reply)
        return split(groups, replies[0])

    async def exchange(self, commands: list[Command]) -> list[Any]:
        """Send commands in one write; return the replies, of which some may be errors of the engine's.

        Raises:
            TableUnreachable: the engine did not answer in time.
        """
        engine = self._engine
        if engine.breaker.is_open:
            raise engine.unreachable()
        exchange = self._loop.create_task(self._exchange(commands))
        try:
            await asyncio.wait({exchange}, timeout=engine.timeout)
            for _ in range(_TURNS):  # a busy event loop is not an outage: a reply that is there is used however late
                if not exchange.done():
                    await asyncio.sleep(0)
            if not exchange.done():
                exchange.cancel()
                raise engine.address.exceptions.TimeoutError(f"no reply within {engine.timeout} s")
            replies: list[Any] = exchange.result()
        except engine.failures as error:
            raise engine.failed(error) from error
        except engine.address.error as error:
            raise engine.problem(error) from error
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        engine.breaker.succeeded()
        return replies

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        engine, errors = self._engine, self._engine.address.exceptions
        connection = await self._connection()
        try:
            sent = engine.replicas.asked(commands)
            replies = await self._send(connection, sent)
            for i, reply in enumerate(replies):
                if isinstance(reply, errors.NoScriptError):
                    again = [with_script(sent[i]), *sent[len(commands) :]]
                    replies[i], *replies[len(commands) :] = await self._send(connection, again)
            confirmed: list[Any] = engine.replicas.confirmed(replies, len(commands))
        except BaseException:
            await _close(connection)
            raise
        if isinstance(confirmed[0], engine.refusals):
            await _close(connection)
        else:
            self._idle.append(connection)
        return confirmed

    async def _send(self, connection: Any, commands: list[Command]) -> list[Any]:
        self._engine.trips += 1
        packed = connection.pack_command(*commands[0]) if len(commands) == 1 else connection.pack_commands(commands)
        await connection.send_packed_command(packed, check_health=False)
        replies = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except self._engine.replies as error:
                replies.append(error)
        return replies

    async def _connection(self) -> Any:
        """Return an idle connection that the engine has not closed, or a new one."""
        engine = self._engine
        while self._idle:
            connection = self._idle.pop()
            reader = getattr(connection, "_reader", None)
            if connection.is_connected and reader is not None and not reader.at_eof():
                return connection
            await _close(connection)
        connection = await engine.address.connect_async(engine.timeout)
        command = engine.replicas.first_question()
        while command is not None:
            command = engine.replicas.next_question((await self._send(connection, [command]))[0])
        return connection


async def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)


def turns_of(engine: Any) -> Turns:
    """Return the running event loop's side of an engine."""
    loop = asyncio.get_running_loop()
    turns: Turns | None = engine.turns.get(loop)
    if turns is None:
        for other in [other for other in engine.turns if other.is_closed()]:
            engine.turns.pop(other).drop()
        turns = engine.turns[loop] = engine.turns_class(engine, loop)
    return turns


Engine.turns_class = Turns
