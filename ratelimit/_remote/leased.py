"""The verbs of a limiter whose hosts take leases: what a request finds no lease for, the engine decides.

Such a request takes some more in advance, as much as the host has measured that it spends. Only one process of a host
does so at a time, so that they do not take more than that together. The others do not wait for it: their requests are
decided singly.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .._limiter.decision import Decision
from .._storage.valkey.lease_file import open_leases
from .._storage.valkey.leases import Leases
from .answer import Answer, refused_until
from .asking import FAILURES, ask, ask_async, ask_each
from .keeper import keeper
from .lease_rule import can_be_leased, check_lease, engine_parameters
from .request import Asked, current_parameters, request_of
from .spending import Spending, hash_of, monotonic
from .verbs import RemoteVerbs, keys_and_costs

AGAIN = 32  # a host asks for a key that is refused at most so many times in the length of a lease


class Turn(NamedTuple):
    """A request to the engine, as the leases see it."""

    hashed: int
    sent: int
    end: int  # until when this process asks for more; 0 if another one does


class LeasedVerbs(Spending, RemoteVerbs):
    """The verbs; a class of `construct.pyx` adds them to that of an algorithm."""

    __slots__ = ()

    # what attach_leases sets
    _leases: Leases
    _engine_limit: int
    _is_leased: bool

    # --- one request

    def hit(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        decision = self._decide_plain(key, cost, quota, now)
        return super().hit(key, cost, quota=quota, now=now) if decision is None else decision

    def peek(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        decision = self._decide_plain(key, cost, quota, now, True)
        return super().peek(key, cost, quota=quota, now=now) if decision is None else decision

    async def allow_async(self, key: Any, /) -> bool:
        decision = self._decide_here(key, 1)
        return (await self._hit_async(request_of(self, key)) if decision is None else decision).allowed

    async def hit_async(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        decision = self._decide_plain(key, cost, quota, now)
        return await super().hit_async(key, cost, quota=quota, now=now) if decision is None else decision

    async def peek_async(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        decision = self._decide_plain(key, cost, quota, now, True)
        return await super().peek_async(key, cost, quota=quota, now=now) if decision is None else decision

    def _decide_plain(self, key: Any, cost: Any, quota: Any, now: Any, looks: bool = False) -> Decision | None:
        """`_decide_here`, for a request that may have a quota or a moment of its own: leases are of neither."""
        return self._decide_here(key, cost, looks) if quota is None and now is None else None

    def _allow_by_engine(self, key: Any) -> bool:
        return self._hit(request_of(self, key)).allowed

    def _hit(self, request: Asked) -> Decision:
        decision = self._recalled(request)
        if decision is not None or request.looks or request.quota is not None:
            return super()._hit(request) if decision is None else decision
        with self._turn(request) as turn:
            try:
                return self._granted(ask(self.table.remote, [[request]])[0][0], turn)
            except FAILURES as error:
                return self._fallback.decide(request, error)

    async def _hit_async(self, request: Asked) -> Decision:
        decision = self._recalled(request)
        if decision is not None or request.looks or request.quota is not None:
            return await super()._hit_async(request) if decision is None else decision
        with self._turn(request) as turn:
            try:
                return self._granted((await ask_async(self.table.remote, [[request]]))[0][0], turn)
            except FAILURES as error:
                return self._fallback.decide(request, error)

    def _hit_many(self, keys: Any, costs: Any, *, brief: bool) -> list[Decision]:
        requests: list[tuple[int, Asked]] = []
        decisions: list[Any] = []
        asked = set()  # of a key in order: what comes after a request to the engine is one, too
        for key, cost in zip(*keys_and_costs(keys, costs), strict=True):
            decision = None if key in asked else self._decide_here(key, cost)
            if decision is None:
                request = request_of(self, key, cost)
                decision = self._recalled(request)
                if decision is None:
                    asked.add(key)
                    requests.append((len(decisions), request))
            decisions.append(decision)
        turns = [self._begin(request) for _, request in requests]
        try:
            results = ask_each(self.table.remote, [[request] for _, request in requests])
            for (i, request), turn, result in zip(requests, turns, results, strict=True):
                if isinstance(result, Exception):
                    decisions[i] = self._fallback.decide(request, result)
                else:
                    decisions[i] = self._granted(result[0], turn)
        finally:
            for turn in turns:
                self._leases.end_asking(turn.hashed, turn.end)
        return decisions

    # --- leases

    def follow_quota(self) -> None:
        """Take over the quota that is in force."""
        storage = self.table.remote
        parameters = current_parameters(self)
        self._is_leased = can_be_leased(parameters, storage.lease_us)
        self._engine_limit = engine_parameters(parameters, storage.lease_us).limit
        self._leases.follow(storage.revision)

    @contextmanager
    def _turn(self, request: Asked) -> Iterator[Turn]:
        turn = self._begin(request)
        try:
            yield turn
        finally:
            self._leases.end_asking(turn.hashed, turn.end)

    def _begin(self, request: Asked) -> Turn:
        """Say how much a request takes in advance, if no other process of the host does so now."""
        leases, storage = self._leases, self.table.remote
        if leases.revision != storage.revision:
            self.follow_quota()
        now = monotonic()
        hashed = hash_of(leases, request.key)
        end = self._deadline(now)
        if not self._is_leased or not leases.begin_asking(hashed, now, end):
            return Turn(hashed, now, 0)
        request.more = leases.wanted(hashed, request.cost, now)
        return Turn(hashed, now, end)

    def _deadline(self, now: int) -> int:
        """Return until when a process that asks from now on keeps others of the host from it."""
        timeout: float = self.table.remote.options.timeout
        return now + round(timeout * 1e9)

    def _granted(self, answer: Answer, turn: Turn) -> Decision:
        """Put what the engine has granted into the host's leases; return the decision on the request itself."""
        decision = self._decided(answer)
        if not self._is_leased:
            return decision
        if decision.allowed:
            self._add(answer, decision, turn, answer.asked.cost, answer.granted)
        elif decision.remaining == 0:
            return self._refused(decision, turn)
        else:
            self._leases.correct(turn.hashed, decision.remaining)
        return decision

    def _add(self, answer: Answer, decision: Decision, turn: Turn, spent: int, granted: int) -> None:
        leases, now = self._leases, monotonic()
        if not turn.end and leases.count(turn.hashed, spent):
            return
        end_ns = answer.window_end_ns
        end = leases.deadline(turn.sent, 0 if end_ns is None else end_ns - answer.now_ns)
        never = 2**62
        place = leases.add(
            *(turn.hashed, now, end, granted, turn.sent, spent + granted),
            0 if decision.remaining == granted else decision.remaining,
            now + min(decision.more_after_ns or 0, never),
            now + decision.reset_after_ns,
        )
        if granted:
            self.table.remote.granted += granted
            keeper.watch(now if place is None else end, place, granted, self, answer, now)

    def _refused(self, decision: Decision, turn: Turn) -> Decision:
        """Refuse the key on this host until it has something to spend again; return the refusal."""
        longest, wait = round(self.table.remote.options.remember * 1e9), decision.more_after_ns
        if wait is None or not longest:
            return decision
        now, wait = monotonic(), max(wait, min(self._leases.length // AGAIN, longest))
        self._leases.hold(turn.hashed, now, now + min(wait, longest), now + wait, now + decision.reset_after_ns)
        return refused_until(decision, wait)

    def _refill(self, key: Any, hashed: int) -> None:
        """Ask for more in the background, because little is left."""
        now = monotonic()
        end = self._deadline(now)
        if self._leases.begin_asking(hashed, now, end):
            keeper.send(lambda: self._ask_for_more(key, hashed, end))

    def _ask_for_more(self, key: Any, hashed: int, end: int) -> None:
        leases = self._leases
        request = request_of(self, key)
        turn = Turn(hashed, monotonic(), end)
        request.more = leases.wanted(hashed, 1, turn.sent)
        again = 0
        try:
            if request.more and leases.revision == self.table.remote.revision:
                [[answer]] = ask(self.table.remote, [[request]])
                decision = answer.decision()
                if decision.allowed:
                    self._add(answer, decision, turn, 0, 1 + answer.granted)
                else:
                    again = monotonic() + leases.length // AGAIN
        except FAILURES:
            again = monotonic() + leases.length // AGAIN  # requests find out themselves
        finally:
            leases.end_asking(hashed, end, again)

    # --- corrections

    def refund(self, key: Any, cost: Any = 1, *, quota: Any = None) -> None:
        self._leases.forget(hash_of(self._leases, key), True)
        super().refund(key, cost, quota=quota)

    async def refund_async(self, key: Any, cost: Any = 1, *, quota: Any = None) -> None:
        self._leases.forget(hash_of(self._leases, key), True)
        await super().refund_async(key, cost, quota=quota)

    def reset(self, key: Any) -> None:
        self._leases.forget(hash_of(self._leases, key))
        super().reset(key)

    def _held(self, key: Any, verb: int, seconds: Any = 0, quota: Any = None) -> Asked:
        self._leases.forget(hash_of(self._leases, key))
        return super()._held(key, verb, seconds, quota)

    def change(self, quota: Any, *, counts: str = "keep") -> None:
        wanted = self._parameters(quota, base=current_parameters(self))  # type: ignore[attr-defined]
        check_lease(wanted, self.table.remote.lease_us)
        super().change(quota, counts=counts)


def attach_leases(limiter: Any) -> None:
    """Give a limiter that has just been made what its leases need."""
    storage = limiter.table.remote
    check_lease(current_parameters(limiter), storage.lease_us)
    options = storage.options
    limiter._leases = open_leases(storage.name_of_leases(storage.lease_us), storage.lease_us / 1e6, options.remember)
    limiter.follow_quota()
