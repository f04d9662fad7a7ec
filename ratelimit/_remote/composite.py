"""Several limits as one, of which an engine keeps at least one.

Limits of one engine are one group, decided by one script. Limits on this host are asked first, which costs nothing, and
spent last. If they refuse then, or if another engine refuses, what an engine took alone is given back: no more than it
still takes from other requests, so the promise holds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._limiter import taking
from .._limiter.decision import Decision
from ..composite import All, costs_for
from ..errors import TableUnreachable
from .asking import Requests, ask, ask_async, judged
from .request import Answer, correction_of, request_of
from .reservation import RemoteReservation, booked, not_booked
from .verbs import RESERVE, Failure, check_turn, keys_and_costs, rows_of, sleep_through, sleep_until_turn


class Plan:
    """One request of an All, with the limits sorted by where they are."""

    def __init__(
        self,
        limits: "RemoteAll",
        keys: Sequence[Any],
        costs: Sequence[int],
        quotas: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        self.limits = limits
        self.costs = costs
        self.groups: list[tuple[Any, Requests]] = []
        by_engine: dict[int, tuple[Any, Requests]] = {}
        self.local_keys: list[Any] = []
        self.local_costs: list[int] = []
        self.local_quotas: list[Any] = []
        self._local_limiters: list[Any] = []
        for i, (limiter, key, cost) in enumerate(zip(limits.limiters, keys, costs, strict=True)):
            quota = None if quotas is None else quotas[i]
            storage = limiter.table.remote
            if storage is None:
                self._local_limiters.append(limiter)
                self.local_keys.append(key)
                self.local_costs.append(cost)
                self.local_quotas.append(quota)
            else:
                request = request_of(limiter, key, cost, quota=quota, **options)
                by_engine.setdefault(id(storage.engine), (storage, []))[1].append(request)
        self.groups = list(by_engine.values())
        self.local = (
            All(*self._local_limiters).bind(self.local_keys, quotas=self.local_quotas) if self._local_limiters else None
        )

    def refused_without_asking(self) -> Decision | None:
        """Return a refusal that is known already: of a limit here, or one that is remembered."""
        if self.local is not None:
            decision = self.local.peek(costs=self.local_costs)
            if not decision.allowed:
                return decision
        refusals = [
            answer.decision("remembered")
            for _, group in self.groups
            for request in group
            if (answer := request.limiter._refusals.recall(request)) is not None
        ]
        return max(refusals, key=lambda decision: decision.retry_after, default=None)

    def note(self, answers: list[Answer]) -> bool:
        """Remember what was refused; return whether all was admitted."""
        for answer in answers:
            answer.asked.limiter._refusals.note(answer)
        return all(answer.done for answer in answers)

    def corrections(self, taken: list[list[Answer]]) -> list[tuple[Any, list[Requests]]]:
        """Return what gives back the groups that were taken alone."""
        return [
            (
                answers[0].asked.limiter.table.remote,
                [
                    [correction_of(one.asked.limiter, one.asked.name, one.asked.cost, one.booking, True, False)]
                    for one in reversed(answers)
                ],
            )
            for answers in taken
        ]

    def finish(self, decisions: list[Decision]) -> tuple[Decision, bool]:
        """Spend from the limits here; return the decision, and whether they refused although they were asked first."""
        if self.local is not None:
            decision = self.local.hit(costs=self.local_costs)
            if not decision.allowed:
                return decision, True
            decisions = [*decisions, decision]
        return min(decisions, key=lambda decision: decision.remaining), False


class RemoteAll(All):
    """Several limiters as one, of which some have their table on an engine."""

    _is_remote = True

    def allow(self, key: Any, /) -> bool:
        return self.hit(key).allowed

    def hit(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        return self._hit(Plan(self, self._keys(key), self._costs(cost, costs)))

    async def allow_async(self, key: Any, /) -> bool:
        return (await self.hit_async(key)).allowed

    async def hit_async(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        return await self._hit_async(Plan(self, self._keys(key), self._costs(cost, costs)))

    async def take_async(self, key: Any, most: Any, *, now: Any = None) -> Decision:
        return await taking.take_async(self, key, most, now=now)

    def _hit(self, plan: Plan) -> Decision:
        refused = plan.refused_without_asking()
        if refused is not None:
            return refused
        decisions: list[Decision] = []
        taken: list[list[Answer]] = []
        for storage, group in plan.groups:
            try:
                [answers] = ask(storage, [group])
            except Failure as error:
                decision = fallback(group, error)
            else:
                decision = judged(answers)
                if plan.note(answers):
                    taken.append(answers)
            if not decision.allowed:
                self._give_back(plan, taken)
                return decision
            decisions.append(decision)
        decision, late = plan.finish(decisions)
        if late:
            self._give_back(plan, taken)
        return decision

    def _give_back(self, plan: Plan, taken: list[list[Answer]]) -> None:
        for storage, groups in plan.corrections(taken):
            try:
                ask(storage, groups)
            except TableUnreachable:
                continue  # it stays spent, which is stricter

    async def _hit_async(self, plan: Plan) -> Decision:
        refused = plan.refused_without_asking()
        if refused is not None:
            return refused
        decisions: list[Decision] = []
        taken: list[list[Answer]] = []
        for storage, group in plan.groups:
            try:
                [answers] = await ask_async(storage, [group])
            except Failure as error:
                decision = fallback(group, error)
            else:
                decision = judged(answers)
                if plan.note(answers):
                    taken.append(answers)
            if not decision.allowed:
                await self._give_back_async(plan, taken)
                return decision
            decisions.append(decision)
        decision, late = plan.finish(decisions)
        if late:
            await self._give_back_async(plan, taken)
        return decision

    async def _give_back_async(self, plan: Plan, taken: list[list[Answer]]) -> None:
        for storage, groups in plan.corrections(taken):
            try:
                await ask_async(storage, groups)
            except TableUnreachable:
                continue

    def peek(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        return self._peek(Plan(self, self._keys(key), self._costs(cost, costs), looks=True))

    async def peek_async(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        plan = Plan(self, self._keys(key), self._costs(cost, costs), looks=True)
        decisions = [] if plan.local is None else [plan.local.peek(costs=plan.local_costs)]
        for storage, group in plan.groups:
            try:
                decisions.append(judged((await ask_async(storage, [group]))[0]))
            except Failure as error:
                decisions.append(fallback(group, error))
        return _worst(decisions)

    def _peek(self, plan: Plan) -> Decision:
        decisions = [] if plan.local is None else [plan.local.peek(costs=plan.local_costs)]
        for storage, group in plan.groups:
            try:
                decisions.append(judged(ask(storage, [group])[0]))
            except Failure as error:
                decisions.append(fallback(group, error))
        return _worst(decisions)

    def bind(self, keys: Any, *, quotas: Any = None) -> Any:
        super().bind(keys, quotas=quotas)  # checks the arguments
        return RemoteBound(self, keys, quotas)

    # --- bookings, where one engine keeps all

    def reserve(self, key: Any, cost: Any = 1, *, costs: Any = None, max_delay: Any = None) -> RemoteReservation:
        storage, group = self._one_group(key, cost, costs, max_delay)
        try:
            return booked(ask(storage, [group])[0])
        except Failure as error:
            return not_booked(group, fallback(group, error).allowed, error)

    async def reserve_async(
        self, key: Any, cost: Any = 1, *, costs: Any = None, max_delay: Any = None
    ) -> RemoteReservation:
        storage, group = self._one_group(key, cost, costs, max_delay)
        try:
            return booked((await ask_async(storage, [group]))[0])
        except Failure as error:
            return not_booked(group, fallback(group, error).allowed, error)

    def _one_group(self, key: Any, cost: Any, costs: Any, max_delay: Any) -> tuple[Any, Requests]:
        plan = Plan(self, self._keys(key), self._costs(cost, costs), verb=RESERVE, max_delay=max_delay)
        if plan.local is not None or len(plan.groups) > 1:
            raise TypeError("reserve: expected the tables of all limiters on one engine, got several places")
        return plan.groups[0]

    def wait(self, key: Any, cost: Any = 1, timeout: Any = None, *, costs: Any = None) -> None:
        booking = self.reserve(key, cost, costs=costs, max_delay=timeout)
        check_turn(self, key, booking, timeout)
        sleep_through(booking)

    async def wait_async(self, key: Any, cost: Any = 1, timeout: Any = None, *, costs: Any = None) -> None:
        booking = await self.reserve_async(key, cost, costs=costs, max_delay=timeout)
        check_turn(self, key, booking, timeout)
        await sleep_until_turn(booking)

    async def block_async(self, key: Any, seconds: Any) -> None:
        for limiter in self.limiters:
            await limiter.block_async(key, seconds)

    async def unblock_async(self, key: Any) -> None:
        for limiter in self.limiters:
            await limiter.unblock_async(key)

    async def refund_async(self, key: Any, cost: Any = 1, *, costs: Any = None) -> None:
        for limiter, amount in zip(self.limiters, self._costs(cost, costs), strict=True):
            await limiter.refund_async(key, amount)

    # --- batches

    def hit_many(self, keys: Any, costs: Any = None, *, now: Any = None) -> Any:
        """Decide a batch in order; a call for each if some limits are elsewhere, otherwise one for many."""
        self._refuse_now(now)
        size = len(self.limiters)
        if np.ndim(costs) == 2:
            listed, each = keys_and_costs(keys, None)[0], np.asarray(costs).tolist()
        else:
            listed, each = keys_and_costs(keys, costs)
        plans = [
            Plan(self, self._keys(key), cost if isinstance(cost, list) else [cost] * size)
            for key, cost in zip(listed, each, strict=True)
        ]
        if not plans or plans[0].local is not None or len(plans[0].groups) > 1:
            return rows_of([self._hit(plan) for plan in plans])
        decisions: list[Any] = [plan.refused_without_asking() for plan in plans]
        asked = [i for i, decision in enumerate(decisions) if decision is None]
        try:
            replies = ask(plans[0].groups[0][0], [plans[i].groups[0][1] for i in asked])
            for i, answers in zip(asked, replies, strict=True):
                plans[i].note(answers)
                decisions[i] = judged(answers)
        except Failure as error:
            for i in asked:
                decisions[i] = decisions[i] or fallback(plans[i].groups[0][1], error)
        return rows_of(decisions)

    # --- arguments

    def _keys(self, key: Any) -> list[Any]:
        return [key] * len(self.limiters)

    def _costs(self, cost: Any, costs: Any) -> Sequence[int]:
        size = len(self.limiters)
        return [cost] * size if costs is None else costs_for(costs, cost, size)

    def _refuse_now(self, now: Any) -> None:
        if now is not None:
            raise ValueError("now: expected none, since the engine's time decides in at least one of the limiters")


class RemoteBound:
    """An All with a key for each of its limiters, as `All.bind` makes it."""

    def __init__(self, limits: RemoteAll, keys: Any, quotas: Any) -> None:
        self.limits = limits
        self.keys = tuple(keys)
        self._quotas = quotas

    def _plan(self, cost: Any, costs: Any, now: Any, **options: Any) -> Plan:
        self.limits._refuse_now(now)
        return Plan(self.limits, self.keys, self.limits._costs(cost, costs), self._quotas, **options)

    def hit(self, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        """Spend from all limiters if all admit it, as All.hit does."""
        return self.limits._hit(self._plan(cost, costs, now))

    async def hit_async(self, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        """Do what `hit` does, without blocking the event loop."""
        return await self.limits._hit_async(self._plan(cost, costs, now))

    def peek(self, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        """Return the Decision that `hit` would make, without changing anything."""
        return self.limits._peek(self._plan(cost, costs, now, looks=True))

    def __reduce__(self) -> Any:
        raise TypeError("a Bound cannot be pickled; pickle the All, and bind it again")

    def __repr__(self) -> str:
        return f"({self.limits!r}).bind({self.keys!r})"


def fallback(group: Requests, error: Exception) -> Decision:
    """Return the decision in place of an engine's, for the limits that it keeps."""
    decisions: list[Decision] = [request.limiter._fallback.decide(request, error) for request in group]
    return min(decisions, key=lambda decision: decision.allowed)


def _worst(decisions: list[Decision]) -> Decision:
    refused = [decision for decision in decisions if not decision.allowed]
    if refused:
        return max(refused, key=lambda decision: decision.retry_after)
    return min(decisions, key=lambda decision: decision.remaining)
