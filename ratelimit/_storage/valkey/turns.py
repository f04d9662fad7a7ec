"""The asyncio side of an engine: what is asked in one turn of an event loop goes as one call."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import TableUnreachable
from .engine import MOST_IDLE, Command, Engine, Group, Label, decide, parts_of, split, with_script

_TURNS = 4  # of the event loop, in which a reply that has arrived reaches its reader


class Question(NamedTuple):
    """The groups of one caller, and the future in which it awaits the replies."""

    groups: Sequence[Group]
    labels: Sequence[Label]
    replies: "asyncio.Future[list[bytes]]"


class Turns:
    """The questions of one event loop."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._waiting: list[Question] = []
        self._idle: deque[Any] = deque(maxlen=MOST_IDLE)
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> list[bytes]:
        """Decide the groups in order, as Engine.ask does; what others ask in the same turn goes along."""
        parts = parts_of(groups)
        if len(parts) > 1:
            replies: list[bytes] = []
            for part in parts:
                replies += await self.ask(part, labels)
                labels = ()
            return replies
        future: asyncio.Future[list[bytes]] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(Question(groups, labels, future))
        return await future

    def drop(self) -> None:
        """Let go of the connections of an event loop that is closed, and cannot close them any more."""
        self._idle.clear()

    def _flush(self) -> None:
        questions, self._waiting = self._waiting, []
        for part in parts_of([Group([key for g in q.groups for key in g.keys], []) for q in questions]):
            call = self._loop.create_task(self._call(questions[: len(part)]))
            questions = questions[len(part) :]
            self._calls.add(call)  # the event loop itself keeps weak references only
            call.add_done_callback(self._calls.discard)

    async def _call(self, questions: list[Question]) -> None:
        groups = [group for question in questions for group in question.groups]
        labels = {key: (key, use) for question in questions for key, use in question.labels}
        try:
            replies = split(groups, await self._run(decide(groups), list(labels.values())))
        except BaseException as error:
            for question in questions:
                if not question.replies.done():
                    question.replies.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        begin = 0
        for question in questions:
            end = begin + len(question.groups)
            if not question.replies.done():
                question.replies.set_result(replies[begin:end])
            begin = end

    async def _run(self, command: Command, labels: list[Label]) -> Any:
        engine = self._engine
        if engine.breaker.is_open:
            raise TableUnreachable(f"{engine.address} does not answer")
        errors = engine.address.exceptions
        exchange = self._loop.create_task(self._exchange([command], labels))
        try:
            await asyncio.wait({exchange}, timeout=engine.timeout)
            for _ in range(_TURNS):  # a busy event loop is not an outage: a reply that is there is used however late
                if not exchange.done():
                    await asyncio.sleep(0)
            if not exchange.done():
                exchange.cancel()
                raise errors.TimeoutError(f"no reply within {engine.timeout} s")
            reply = exchange.result()[0]
        except engine.failures as error:
            engine.unanswered += 1
            engine.address.has_moved()
            engine.breaker.failed(error)
            raise TableUnreachable(f"{engine.address}: {error}") from error
        except engine.address.error as error:
            raise engine.problem(error) from error
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        engine.breaker.succeeded()
        return reply

    async def _exchange(self, commands: list[Command], labels: list[Label]) -> list[Any]:
        engine, errors = self._engine, self._engine.address.exceptions
        sent = [*commands, *(("GET", key) for key, _ in labels)]
        connection = await self._connection()
        try:
            try:
                replies = await self._send(connection, sent)
            except errors.BusyLoadingError as error:  # it is raised instead of returned
                replies = [error]
            if isinstance(replies[0], errors.NoScriptError):
                replies[0] = (await self._send(connection, [with_script(sent[0])]))[0]
            elif isinstance(replies[0], (errors.ReadOnlyError, errors.BusyLoadingError)):
                engine.address.has_moved()
                await _close(connection)
                connection = await engine.address.connect_async(engine.timeout)
                replies = await self._send(connection, sent)
        except BaseException:
            await _close(connection)
            raise
        self._idle.append(connection)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        for (_, use), reply in zip(labels, replies[len(commands) :], strict=True):
            use(reply)
        return replies

    async def _send(self, connection: Any, commands: list[Command]) -> list[Any]:
        self._engine.trips += 1
        packed = connection.pack_command(*commands[0]) if len(commands) == 1 else connection.pack_commands(commands)
        await connection.send_packed_command(packed, check_health=False)
        replies = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except self._engine.address.exceptions.ResponseError as error:
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
        return await engine.address.connect_async(engine.timeout)


async def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)


def turns_of(engine: Engine) -> Turns:
    """Return the running event loop's side of an engine."""
    loop = asyncio.get_running_loop()
    turns: Turns | None = engine.turns.get(loop)
    if turns is None:
        for other in [other for other in engine.turns if other.is_closed()]:
            engine.turns.pop(other).drop()
        turns = engine.turns[loop] = Turns(engine, loop)
    return turns
