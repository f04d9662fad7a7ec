"""Asking an engine: again where it has another quota, and what takes its place when it does not answer."""

import time
from collections.abc import Sequence
from typing import Any

from .._limiter.decision import Decision
from .._storage.valkey.engine import Group
from .._storage.valkey.storage import ValkeyStorage
from .._storage.valkey.turns import turns_of
from ..errors import TableFull, TableUnreachable
from .answer import Answer, delayed, read_all, read_one
from .request import Asked, pack_all

FAILURES = TableUnreachable, TableFull
_ROUNDS = 8  # of asking again because the quota has changed

Requests = list[Asked]  # a group: all or nothing


class Rounds:
    """Some groups of requests, until each has its answers."""

    def __init__(self, storage: ValkeyStorage, groups: Sequence[Requests]) -> None:
        self.storage = storage
        self.groups = groups
        self.answers: list[list[Answer] | Exception | None] = [None] * len(groups)
        self.open = range(len(groups)) if groups else ()
        self._left: list[int] = list(self.open)
        self._rounds = 0

    def packed(self) -> list[Group]:
        """Return the groups that are still to be asked."""
        self._rounds += 1
        if self._rounds > _ROUNDS:
            raise TableUnreachable(f"{self.storage!r}: its quota changes faster than requests can follow")
        return [pack_all(self.groups[i]) for i in self._left]

    def fail(self, error: Exception) -> bool:
        """Answer all that is left by an error."""
        return self.take([error] * len(self._left))

    def take(self, replies: list[Any]) -> bool:
        """Read the replies, some of which may be errors; return whether all groups are answered."""
        left = []
        for i, reply in zip(self._left, replies, strict=True):
            if isinstance(reply, Exception):
                self.answers[i] = reply
                continue
            answers = self.answers[i] = read_all(self.groups[i], reply)
            if answers is None:
                left.append(i)
            else:
                self.storage.note_time(answers[0].now_ns)
        self._left = left
        return not left

    def result(self) -> list[Any]:
        return [answers for answers in self.answers if answers is not None]


def ask_each(storage: ValkeyStorage, groups: Sequence[Requests]) -> list[list[Answer] | Exception]:
    """Return the answers to each group, or the error in place of them."""
    rounds = Rounds(storage, groups)
    try:
        while groups and not rounds.take(storage.engine.ask(rounds.packed(), storage.labels())):
            pass
    except FAILURES as error:
        rounds.fail(error)
    return rounds.result()


async def ask_each_async(storage: ValkeyStorage, groups: Sequence[Requests]) -> list[list[Answer] | Exception]:
    """Return the answers to each group, or the error in place of them."""
    rounds = Rounds(storage, groups)
    turns = turns_of(storage.engine)
    try:
        while groups and not rounds.take(await turns.ask(rounds.packed(), storage.labels())):
            pass
    except FAILURES as error:
        rounds.fail(error)
    return rounds.result()


def ask(storage: ValkeyStorage, groups: Sequence[Requests]) -> list[list[Answer]]:
    """Return the answers to each group.

    Raises:
        TableUnreachable, TableFull: at least one has no answers.
    """
    return _checked(ask_each(storage, groups))


async def ask_async(storage: ValkeyStorage, groups: Sequence[Requests]) -> list[list[Answer]]:
    """Return the answers to each group, as `ask` does."""
    return _checked(await ask_each_async(storage, groups))


def ask_one(storage: ValkeyStorage, request: Asked) -> Answer:
    """Return the answer to one request, as `ask` does."""
    [reply] = storage.engine.ask([pack_all([request])], storage.labels())
    return _read_one(storage, request, reply) or ask(storage, [[request]])[0][0]


async def ask_one_async(storage: ValkeyStorage, request: Asked) -> Answer:
    """Return the answer to one request, as `ask` does."""
    [reply] = await turns_of(storage.engine).put([pack_all([request])], storage.labels())
    return _read_one(storage, request, reply) or (await ask_async(storage, [[request]]))[0][0]


def _read_one(storage: ValkeyStorage, request: Asked, reply: Any) -> Answer | None:
    """Return the answer, or None if the engine has another quota: then it has to be asked again."""
    if isinstance(reply, Exception):
        raise reply
    answer = read_one(request, reply)
    if answer is not None:
        storage.note_time(answer.now_ns)
    return answer


def _checked(results: list[list[Answer] | Exception]) -> list[list[Answer]]:
    checked = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        checked.append(result)
    return checked


class Refusals:
    """The last refusal of each key. Time alone ends it, so until then no request has to be sent.

    A process that gives back forgets the refusal of that key; the others notice it after `longest` seconds.
    """

    MOST = 10_000  # keys

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._seen: dict[bytes, tuple[float, Answer]] = {}

    def recall(self, request: Asked) -> Answer | None:
        """Return the answer to a request that the engine would refuse."""
        found = self._seen.get(request.name)
        if found is None:
            return None
        since, answer = found
        seconds = time.monotonic() - since
        later = answer.older_by(request, seconds) if seconds <= self._longest else None
        if later is None:
            self._seen.pop(request.name, None)
        else:
            request.limiter.table.remote.remembered += 1
        return later

    def note(self, answer: Answer) -> None:
        if answer.done or not self._longest:
            return
        if len(self._seen) >= self.MOST:
            self._seen.clear()
        self._seen[answer.asked.name] = time.monotonic(), answer

    def forget(self, name: bytes) -> None:
        self._seen.pop(name, None)

    def clear(self) -> None:
        self._seen.clear()


def costs_by_key(requests: Requests) -> list[int]:
    """Return the cost for each request's key in its whole group: one that occurs twice is spent from twice."""
    costs: dict[bytes, int] = {}
    for request in requests:
        costs[request.name] = costs.get(request.name, 0) + request.cost
    return [costs[request.name] for request in requests]


def judged(answers: list[Answer]) -> Decision:
    """Return the decision of a group: that of the request that is refused longest, or has the least remaining."""
    if all(answer.done for answer in answers):
        decisions = [answer.decision() for answer in answers]
        chosen = min(decisions, key=lambda decision: decision.remaining)
        return delayed(chosen, max(decision.delay_ns for decision in decisions))
    costs = costs_by_key([answer.asked for answer in answers])
    refused = [answer.decision(cost=cost) for answer, cost in zip(answers, costs, strict=True) if not answer.done]
    return max(refused, key=lambda decision: decision.retry_after)
