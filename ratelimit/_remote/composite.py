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
from ..limiters.composite import All, costs_for
from .answer import Answer
from .asking import FAILURES, Requests, ask, ask_async, ask_each, ask_each_async, judged
from .request import correction_of, request_of
from .reservation import RemoteReservation, booked, not_booked
from .verbs import RESERVE, check_turn, keys_and_costs, rows_of, sleep_through, sleep_until_turn


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
        by_engine: dict[int, tuple[Any, dict[int, Requests]]] = {}
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
                by_slot = by_engine.setdefault(id(storage.engine), (storage, {}))[1]
                by_slot.setdefault(storage.engine.slot_of(request.name), []).append(request)
        # The table of an engine, and a group for each of its slots.
        self.places: list[tuple[Any, list[Requests]]] = [
            (storage, list(by_slot.values())) for storage, by_slot in by_engine.values()
        ]
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
            for _, groups in self.places
            for group in groups
            for request in group
            if (answer := request.limiter._refusals.recall(request)) is not None
        ]
        return max(refusals, key=lambda decision: decision.retry_after, default=None)

    def looked(self) -> list[Decision]:
        """Return the decision that the limits here would make."""
        return [] if self.local is None else [self.local.peek(costs=self.local_costs)]

    def finish(self, decisions: list[Decision]) -> tuple[Decision, bool]:
        """Spend from the limits here; return the decision, and whether they refused although they were asked first."""
        if self.local is not None:
            decision = self.local.hit(costs=self.local_costs)
            if not decision.allowed:
                return decision, True
            decisions = [*decisions, decision]
        return min(decisions, key=lambda decision: decision.remaining), False


class Spending:
    """The parts of a request that were decided so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.decisions: list[Decision] = []
        self._taken: list[list[Answer]] = []
        self._error: Exception | None = None

    def add(self, groups: list[Requests], results: list[Any]) -> bool:
        """Note the results of groups that were asked at once; return whether all were admitted."""
        for group, result in zip(groups, results, strict=True):
            if isinstance(result, Exception):
                try:
                    self.decisions.append(fallback(group, result))
                except FAILURES as error:
                    self._error = error
                continue
            for answer in result:
                answer.asked.limiter._refusals.note(answer)
            if all(answer.done for answer in result):
                self._taken.append(result)
            self.decisions.append(judged(result))
        return self._error is None and all(decision.allowed for decision in self.decisions)

    def refusal(self) -> Decision:
        """Return the decision of the limit that refuses longest, or raise the error of an engine."""
        if self._error is not None:
            raise self._error
        refused = [decision for decision in self.decisions if not decision.allowed]
        return max(refused, key=lambda decision: decision.retry_after)

    def corrections(self) -> list[tuple[Any, list[Requests]]]:
        """Return what gives back the groups that were taken alone."""
        return [
            (
                answers[0].asked.limiter.table.remote,
                [
                    [correction_of(one.asked.limiter, one.asked.name, one.asked.cost, one.booking, True, False)]
                    for one in reversed(answers)
                ],
            )
            for answers in self._taken
        ]


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
        spending = Spending(plan)
        for storage, groups in plan.places:
            if not spending.add(groups, ask_each(storage, groups)):
                self._give_back(spending)
                return spending.refusal()
        decision, late = plan.finish(spending.decisions)
        if late:
            self._give_back(spending)
        return decision

    def _give_back(self, spending: "Spending") -> None:
        for storage, groups in spending.corrections():
            ask_each(storage, groups)  # what does not arrive stays spent, which is stricter

    async def _hit_async(self, plan: Plan) -> Decision:
        refused = plan.refused_without_asking()
        if refused is not None:
            return refused
        spending = Spending(plan)
        for storage, groups in plan.places:
            if not spending.add(groups, await ask_each_async(storage, groups)):
                await self._give_back_async(spending)
                return spending.refusal()
        decision, late = plan.finish(spending.decisions)
        if late:
            await self._give_back_async(spending)
        return decision

    async def _give_back_async(self, spending: "Spending") -> None:
        for storage, groups in spending.corrections():
            await ask_each_async(storage, groups)

    def peek(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        return self._peek(Plan(self, self._keys(key), self._costs(cost, costs), looks=True))

    async def peek_async(self, key: Any, cost: Any = 1, *, costs: Any = None, now: Any = None) -> Decision:
        self._refuse_now(now)
        plan = Plan(self, self._keys(key), self._costs(cost, costs), looks=True)
        decisions = plan.looked()
        for storage, groups in plan.places:
            decisions += decided(groups, await ask_each_async(storage, groups))
        return _worst(decisions)

    def _peek(self, plan: Plan) -> Decision:
        decisions = plan.looked()
        for storage, groups in plan.places:
            decisions += decided(groups, ask_each(storage, groups))
        return _worst(decisions)

    def bind(self, keys: Any, *, quotas: Any = None) -> Any:
        super().bind(keys, quotas=quotas)  # checks the arguments
        return RemoteBound(self, keys, quotas)

    # --- bookings, where one engine keeps all

    def reserve(self, key: Any, cost: Any = 1, *, costs: Any = None, max_delay: Any = None) -> RemoteReservation:
        storage, group = self._one_group(key, cost, costs, max_delay)
        try:
            return booked(ask(storage, [group])[0])
        except FAILURES as error:
            return not_booked(group, fallback(group, error).allowed, error)

    async def reserve_async(
        self, key: Any, cost: Any = 1, *, costs: Any = None, max_delay: Any = None
    ) -> RemoteReservation:
        storage, group = self._one_group(key, cost, costs, max_delay)
        try:
            return booked((await ask_async(storage, [group]))[0])
        except FAILURES as error:
            return not_booked(group, fallback(group, error).allowed, error)

    def _one_group(self, key: Any, cost: Any, costs: Any, max_delay: Any) -> tuple[Any, Requests]:
        plan = Plan(self, self._keys(key), self._costs(cost, costs), verb=RESERVE, max_delay=max_delay)
        [(storage, groups), *others] = plan.places
        if plan.local is not None or others or len(groups) > 1:
            raise TypeError("reserve: expected the tables of all limiters on one engine, got several places")
        return storage, groups[0]

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
        if not plans or plans[0].local is not None or len(plans[0].places) > 1:
            return rows_of([self._hit(plan) for plan in plans])
        decisions: list[Any] = [plan.refused_without_asking() for plan in plans]
        asked = [i for i, decision in enumerate(decisions) if decision is None]
        groups = [plans[i].places[0][1][0] for i in asked]  # all limits of a key are in one slot
        for i, group, result in zip(asked, groups, ask_each(plans[0].places[0][0], groups), strict=True):
            spending = Spending(plans[i])
            admitted = spending.add([group], [result])
            decisions[i] = spending.decisions[0] if admitted else spending.refusal()
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

    def hit_for(self, keys: Any) -> Decision:
        """Spend 1 as `hit` does, with other keys for the same limiters and quotas."""
        return self.limits.bind(keys, quotas=self._quotas).hit()  # type: ignore[no-any-return]

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


def decided(groups: list[Requests], results: list[Any]) -> list[Decision]:
    """Return the decisions of groups, or those in place of their engine's."""
    return [
        fallback(group, result) if isinstance(result, Exception) else judged(result)
        for group, result in zip(groups, results, strict=True)
    ]


def _worst(decisions: list[Decision]) -> Decision:
    refused = [decision for decision in decisions if not decision.allowed]
    if refused:
        return max(refused, key=lambda decision: decision.retry_after)
    return min(decisions, key=lambda decision: decision.remaining)
