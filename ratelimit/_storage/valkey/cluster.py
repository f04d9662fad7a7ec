"""A cluster: each key has a slot, and each slot a server. Requests go to all servers at once.

A script decides keys of one slot only. So the requests for each slot are a command of their own, and all commands for
one server are one write.
"""

import asyncio
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...errors import TableUnreachable
from .address import Clustered, address_of
from .engine import MOST_KEYS, Command, Engine, Group, Label, count_keys, decide, register, split, with_script
from .options import Safety
from .turns import Turns, turns_of

SLOTS = 16_384
REDIRECTIONS = 8  # of one request, while slots are moved
PAUSE = 0.2  # seconds at least between two looks at the map of slots
Node = tuple[str, int]
_DEFAULT = Safety()


@dataclass(slots=True)
class Call:
    """A command for one slot.

    Attributes:
        done: takes the reply, which may be an error.
        at: the server to ask, if it is not the one of the map; it has the slot only for this request.
    """

    command: Command
    slot: int
    done: Callable[[Any], None]
    at: Node | None = None
    rounds: int = 0
    is_open: bool = field(default=True)

    def finish(self, reply: Any) -> None:
        self.is_open = False
        self.done(reply)


class ClusterBreaker:
    """The breakers of all servers as one."""

    def __init__(self, nodes: dict[Node, Engine]) -> None:
        self._nodes = nodes

    @property
    def is_open(self) -> bool:
        """Whether a server is away."""
        return any(engine.breaker.is_open for engine in list(self._nodes.values()))

    @property
    def opened_count(self) -> int:
        return sum(engine.breaker.opened_count for engine in list(self._nodes.values()))


class Cluster:
    """The servers of a cluster as one engine: see Engine, whose methods these are.

    `ask` returns an error in place of the reply to a group whose server does not answer; the others are carried out.
    """

    turns_class: Any = None

    def __init__(self, address: Clustered, timeout: float, safety: Safety = _DEFAULT) -> None:
        if safety.after_failover != "as-is":
            raise ValueError("after_failover: expected 'as-is' with a cluster, got 'empty'")
        self.address = address
        self.timeout = timeout
        self._safety = safety
        self.turns: dict[Any, Turns] = {}
        self._nodes: dict[Node, Engine] = {}
        self._owners: list[Node | None] = [None] * SLOTS
        self._look_at = 0.0
        self._is_stale = True
        self.breaker = ClusterBreaker(self._nodes)
        register(self)

    @property
    def trips(self) -> int:
        return sum(engine.trips for engine in list(self._nodes.values()))

    @property
    def unanswered(self) -> int:
        return sum(engine.unanswered for engine in list(self._nodes.values()))

    def after_fork(self) -> None:
        self.turns = {}

    def slot_of(self, key: bytes) -> int:
        """Return the slot of a key: that of the part in braces."""
        slot: int = self.address.library.crc.key_slot(key)
        return slot

    # --- asking

    def ask(self, groups: Sequence[Group], labels: Sequence[Label] = ()) -> list[Any]:
        """Decide the groups of each slot in order; return the reply to each, or its error."""
        replies: list[Any] = [None] * len(groups)
        self._carry_out(self.calls(groups, labels, replies))
        return replies

    def run(self, commands: list[Command], labels: Sequence[Label] = ()) -> list[Any]:
        """Carry out commands, each on the server of its key; return their replies."""
        replies: list[Any] = [None] * len(commands)
        calls = [
            Call(command, self._slot_of_command(command), partial(replies.__setitem__, i))
            for i, command in enumerate(commands)
        ]
        self._carry_out(calls + list(self._label_calls(labels)))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """Go through the keys of all servers that match a pattern."""
        self.look()
        for node in sorted({node for node in self._owners if node is not None}):
            yield from self._node(node).scan(pattern)

    def calls(self, groups: Sequence[Group], labels: Sequence[Label], replies: list[Any]) -> list[Call]:
        """Return the commands that decide groups; each writes its replies into the list."""
        by_slot: dict[int, list[list[int]]] = {}
        for i, group in enumerate(groups):
            parts = by_slot.setdefault(self.slot_of(group[0][0]), [[]])
            if count_keys([group, *(groups[j] for j in parts[-1])]) > MOST_KEYS:
                parts.append([])
            parts[-1].append(i)
        made = []
        for slot, parts in by_slot.items():
            for part in parts:
                asked = [groups[i] for i in part]
                made.append(Call(decide(asked), slot, partial(_write, replies, part, asked)))
        return made + list(self._label_calls(labels))

    def _label_calls(self, labels: Sequence[Label]) -> Iterator[Call]:
        for key, use in labels:
            yield Call(("GET", key), self.slot_of(key), partial(_follow, use))

    def _slot_of_command(self, command: Command) -> int:
        key = {"TIME": None, "CONFIG": None, "EVAL": 3}.get(command[0], 1)
        return 0 if key is None else self.slot_of(command[key])

    def _carry_out(self, calls: list[Call]) -> None:
        deadline = time.monotonic() + self.timeout
        while by_node := self._by_node(calls, self.look):
            sent = []
            for node, some in by_node.items():
                commands = commands_of(some)
                try:
                    connection = self._node(node).send(commands, deadline)
                except Exception as error:
                    self._fail(some, error)
                else:
                    sent.append((node, some, commands, connection))
            for node, some, commands, connection in sent:
                try:
                    replies = self._node(node).receive(connection, commands, deadline)
                except Exception as error:
                    self._fail(some, error)
                else:
                    self._take(some, replies)

    async def carry_out_async(self, calls: list[Call]) -> None:
        """Carry out commands without blocking the event loop."""
        if self._is_stale:
            await asyncio.to_thread(self._by_node, calls, self.look)
        while by_node := self._by_node(calls, lambda: None):
            asked = [turns_of(self._node(node)).exchange(commands_of(some)) for node, some in by_node.items()]
            for some, replies in zip(
                by_node.values(), await asyncio.gather(*asked, return_exceptions=True), strict=True
            ):
                if isinstance(replies, Exception):
                    self._fail(some, replies)
                elif isinstance(replies, BaseException):
                    raise replies
                else:
                    self._take(some, replies)

    def _by_node(self, calls: list[Call], look: Callable[[], None]) -> dict[Node, list[Call]]:
        """Return the commands that are still to be carried out, by the servers."""
        by_node: dict[Node, list[Call]] = {}
        if self._is_stale:
            try:
                look()
            except TableUnreachable as error:
                self._fail([call for call in calls if call.is_open], error)
        for call in calls:
            if call.is_open:
                node = call.at or self._owners[call.slot]
                if node is None:
                    self._fail([call], TableUnreachable(f"{self.address}: no server has slot {call.slot}"))
                else:
                    by_node.setdefault(node, []).append(call)
        return by_node

    def _fail(self, calls: list[Call], error: Exception) -> None:
        self._is_stale = True
        for call in calls:
            call.finish(error)

    def _take(self, calls: list[Call], replies: list[Any]) -> None:
        """Give each call its reply; one that another server has to answer stays open."""
        left = iter(replies)
        for call in calls:
            if call.at is not None:
                next(left)  # of ASKING
            reply = next(left)
            call.at = None
            words = str(reply).split() if isinstance(reply, Exception) else [""]
            if words[0] == "MOVED":
                self._owners[call.slot] = self._named(words[2])
                self._is_stale = True
            elif words[0] == "ASK":
                call.at = self._named(words[2])
            elif words[0] == "READONLY":  # a primary that is a replica now; its primary will answer by MOVED
                self._is_stale, self._look_at = True, 0.0
            elif words[0] != "TRYAGAIN":
                call.finish(self.problem(reply) if words[0] else reply)
            call.rounds += 1
            if call.is_open and call.rounds > REDIRECTIONS:
                call.finish(TableUnreachable(f"{self.address}: slot {call.slot} is moved all the time"))

    def problem(self, error: Exception) -> Exception:
        """Return the error for an error that a server replied."""
        node = next(iter(self._nodes.values()))
        self._is_stale = True
        return node.problem(error)

    # --- servers

    def look(self) -> None:
        """Read the map of slots, if it may have changed, from the first server that answers.

        Raises:
            TableUnreachable: none answers.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        problem: Exception = TableUnreachable(f"{self.address} does not answer")
        known = [node for node, engine in self._nodes.items() if not engine.breaker.is_open]
        for node in [*known, *(seed for seed in self.address.seeds if seed not in known)]:
            try:
                slots = self._node(node).run([("CLUSTER", "SLOTS")])[0]
            except TableUnreachable as error:
                problem = error
                continue
            owners: list[Node | None] = [None] * SLOTS
            for first, last, (host, port, *_), *_ in slots:
                owners[first : last + 1] = [(host.decode() or node[0], port)] * (last + 1 - first)
            self._owners, self._is_stale, self._look_at = owners, False, now + PAUSE
            return
        raise problem

    def _node(self, node: Node) -> Engine:
        engine = self._nodes.get(node)
        if engine is None:
            engine = self._nodes[node] = Engine(self.address.server(node), self.timeout, self._safety)
        return engine

    def _named(self, text: str) -> Node:
        host, _, port = text.rpartition(":")
        return host or self.address.seeds[0][0], int(port)


class ClusterTurns(Turns):
    """The questions of one event loop to a cluster."""

    most_keys = 1 << 30  # a command for each slot bounds its keys itself

    async def decide(self, groups: list[Group], labels: list[Label]) -> list[Any]:
        replies: list[Any] = [None] * len(groups)
        await self._engine.carry_out_async(self._engine.calls(groups, labels, replies))
        return replies


Cluster.turns_class = ClusterTurns
_engines: "weakref.WeakValueDictionary[tuple[str, float, Safety], Engine | Cluster]" = weakref.WeakValueDictionary()


def engine_of(given: Any, timeout: float, safety: Safety) -> Engine | Cluster:
    """Return the engine at a URL or of a client; the same one for the same arguments."""
    engine = _engines.get((given, timeout, safety)) if isinstance(given, str) else None
    if engine is None:
        address = address_of(given)
        if isinstance(address, Clustered):
            engine = Cluster(address, timeout, safety)
        else:
            engine = Engine(address, timeout, safety)
        if isinstance(given, str):
            _engines[given, timeout, safety] = engine
    return engine


def commands_of(calls: Sequence[Call]) -> list[Command]:
    """Return the commands of calls to one server."""
    commands: list[Command] = []
    for call in calls:
        if call.at is None:
            commands.append(call.command)
        else:  # with its text, since ASKING holds for the next command alone
            commands += [("ASKING",), with_script(call.command) if call.command[0] == "EVALSHA" else call.command]
    return commands


def _follow(use: Callable[[bytes | None], None], reply: Any) -> None:
    """Use the value of a label; one that did not arrive is asked for again a second later."""
    if not isinstance(reply, Exception):
        use(reply)


def _write(replies: list[Any], part: list[int], groups: list[Group], reply: Any) -> None:
    each = [reply] * len(part) if isinstance(reply, Exception) else split(groups, reply)
    for i, one in zip(part, each, strict=True):
        replies[i] = one
