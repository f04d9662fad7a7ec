"""The verbs of a limiter whose table an engine keeps. They do what `_core.pyx` describes, in one round trip."""

import asyncio
import contextlib
import time
from typing import Any

import numpy as np

from .._limiter import taking
from .._limiter.decision import VERDICT, Decision
from .._limiter.parameters import options_of
from ..errors import CostExceedsLimit, TableUnreachable, WaitTimeout
from .answer import Answer
from .asking import FAILURES, Refusals, Requests, ask, ask_async, ask_each, ask_one, ask_one_async
from .fallback import Fallback
from .request import Asked, current_parameters, engine_key, forget_keys, hits_of, request_of
from .reservation import RemoteReservation, booked, not_booked

HIT, RESERVE, CHARGE, REFUND = 0, 1, 2, 3
BLOCK, UNBLOCK = 5, 6


class RemoteVerbs:
    """The verbs; a class of `construct.pyx` adds them to that of an algorithm."""

    __slots__ = ()
    _is_remote = True

    # of the limiter's class, and what attach_verbs sets
    table: Any
    quota: Any
    on_full: str
    _local_class: type
    _change: Any
    _change_rate_here: Any
    _refusals: Refusals
    _fallback: Fallback

    # --- one request

    def allow(self, key: Any, /) -> bool:
        return self._hit(request_of(self, key, brief=True)).allowed

    def hit(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        _refuse_now(self, now)
        return self._hit(request_of(self, key, cost, quota=quota))

    def peek(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        _refuse_now(self, now)
        return self._hit(request_of(self, key, cost, quota=quota, looks=True))

    async def take_async(self, key: Any, most: Any, *, quota: Any = None, now: Any = None) -> Decision:
        return await taking.take_async(self, key, most, quota=quota, now=now)

    def _hit(self, request: Asked) -> Decision:
        decision = self._recalled(request)
        if decision is not None:
            return decision
        try:
            return self._decided(ask_one(self.table.remote, request))
        except FAILURES as error:
            return self._fallback.decide(request, error)

    async def allow_async(self, key: Any, /) -> bool:
        return (await self._hit_async(request_of(self, key, brief=True))).allowed

    async def hit_async(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        _refuse_now(self, now)
        return await self._hit_async(request_of(self, key, cost, quota=quota))

    async def peek_async(self, key: Any, cost: Any = 1, *, quota: Any = None, now: Any = None) -> Decision:
        _refuse_now(self, now)
        return await self._hit_async(request_of(self, key, cost, quota=quota, looks=True))

    async def _hit_async(self, request: Asked) -> Decision:
        decision = self._recalled(request)
        if decision is not None:
            return decision
        try:
            return self._decided(await ask_one_async(self.table.remote, request))
        except FAILURES as error:
            return self._fallback.decide(request, error)

    def _recalled(self, request: Asked) -> Decision | None:
        answer = self._refusals.recall(request)
        return None if answer is None else answer.decision("remembered")

    def _decided(self, answer: Answer) -> Decision:
        self._refusals.note(answer)
        return answer.decision()

    # --- bookings

    def reserve(self, key: Any, cost: Any = 1, *, max_delay: Any = None) -> RemoteReservation:
        request = request_of(self, key, cost, verb=RESERVE, max_delay=max_delay)
        try:
            return booked(ask(self.table.remote, [[request]])[0])
        except FAILURES as error:
            return not_booked([request], self._fallback.book(request, error), error)

    async def reserve_async(self, key: Any, cost: Any = 1, *, max_delay: Any = None) -> RemoteReservation:
        request = request_of(self, key, cost, verb=RESERVE, max_delay=max_delay)
        try:
            return booked((await ask_async(self.table.remote, [[request]]))[0])
        except FAILURES as error:
            return not_booked([request], self._fallback.book(request, error), error)

    def wait(self, key: Any, cost: Any = 1, timeout: Any = None) -> None:
        booking = self.reserve(key, cost, max_delay=timeout)
        check_turn(self, key, booking, timeout)
        sleep_through(booking)

    async def wait_async(self, key: Any, cost: Any = 1, timeout: Any = None) -> None:
        booking = await self.reserve_async(key, cost, max_delay=timeout)
        check_turn(self, key, booking, timeout)
        await sleep_until_turn(booking)

    # --- corrections

    def refund(self, key: Any, cost: Any = 1, *, quota: Any = None) -> None:
        request = request_of(self, key, cost, quota=quota, verb=REFUND)
        self._refusals.forget(request.name)
        with self._given_up():
            ask(self.table.remote, [[request]])

    async def refund_async(self, key: Any, cost: Any = 1, *, quota: Any = None) -> None:
        request = request_of(self, key, cost, quota=quota, verb=REFUND)
        self._refusals.forget(request.name)
        with self._given_up():
            await ask_async(self.table.remote, [[request]])

    def reset(self, key: Any) -> None:
        storage = self.table.remote
        name = engine_key(storage.prefix, key)
        self._refusals.forget(name)
        with self._given_up():
            storage.engine.run([("DEL", name)])

    def clear(self) -> None:
        self._refusals.clear()
        self.table.remote.publish(lambda: forget_keys(self))

    def change(self, quota: Any, *, counts: str = "keep") -> None:
        self._refusals.clear()
        self.table.remote.publish(lambda: self._change(quota, counts=counts))

    def _change_rate(self, quota: Any, counts: str) -> None:
        self._refusals.clear()
        self.table.remote.publish(lambda: self._change_rate_here(quota, counts))

    def block(self, key: Any, seconds: Any, *, quota: Any = None) -> None:
        ask(self.table.remote, [[self._held(key, BLOCK, seconds, quota)]])

    async def block_async(self, key: Any, seconds: Any, *, quota: Any = None) -> None:
        await ask_async(self.table.remote, [[self._held(key, BLOCK, seconds, quota)]])

    def unblock(self, key: Any) -> None:
        ask(self.table.remote, [[self._held(key, UNBLOCK)]])

    async def unblock_async(self, key: Any) -> None:
        await ask_async(self.table.remote, [[self._held(key, UNBLOCK)]])

    def _held(self, key: Any, verb: int, seconds: Any = 0, quota: Any = None) -> Asked:
        request = request_of(self, key, quota=quota, verb=verb, max_delay=seconds)
        self._refusals.forget(request.name)
        return request

    def _given_up(self) -> Any:
        """Let what gives back fail without an error while the engine is away, except with unreachable="raise"."""
        raising = self.table.remote.options.unreachable == "raise"
        return contextlib.nullcontext() if raising else contextlib.suppress(TableUnreachable)

    # --- batches

    def allow_many(self, keys: Any, costs: Any = None, *, now: Any = None) -> Any:
        _refuse_now(self, now)
        decisions = self._hit_many(keys, costs, brief=True)
        return np.fromiter((decision.allowed for decision in decisions), bool, len(decisions))

    def hit_many(self, keys: Any, costs: Any = None, *, now: Any = None) -> Any:
        _refuse_now(self, now)
        return rows_of(self._hit_many(keys, costs, brief=False))

    def _hit_many(self, keys: Any, costs: Any, *, brief: bool) -> list[Decision]:
        requests = hits_of(self, *keys_and_costs(keys, costs), brief)
        decisions: list[Any] = [self._recalled(request) for request in requests]
        asked = [i for i, decision in enumerate(decisions) if decision is None]
        groups: list[Requests] = [[requests[i]] for i in asked]
        for i, result in zip(asked, ask_each(self.table.remote, groups), strict=True):
            if isinstance(result, Exception):
                decisions[i] = self._fallback.decide(requests[i], result)
            else:
                decisions[i] = self._decided(result[0])
        return decisions

    # --- what it was made with

    def now_ns(self) -> int:
        now: int = self.table.remote.clock_ns()
        return now

    @property
    def _options(self) -> dict[str, Any]:
        return options_of(current_parameters(self))

    def __len__(self) -> int:
        raise TypeError(f"len: {self.table!r} keeps its keys on an engine, which cannot count those that are live")

    def slots(self) -> Any:
        raise TypeError(f"slots: {self.table!r} keeps its keys on an engine, and not in an array")

    @property
    def max_keys(self) -> Any:
        raise TypeError(f"max_keys: {self.table!r} keeps its keys on an engine; its memory is the bound")

    @property
    def full_count(self) -> int:
        raise TypeError(f"full_count: {self.table!r} keeps its keys on an engine, which counts this for all")

    collision_count = latest_ns = full_count

    def __reduce__(self) -> Any:
        options = {**self._options, "table": self.table, "on_full": self.on_full}
        return restored, (self._local_class, self.quota, options)


def restored(cls: Any, quota: Any, options: dict[str, Any]) -> Any:
    """Return an unpickled limiter, attached to its table again."""
    table = options["table"]
    limiter = cls(quota, **{**options, "table": table.following()})
    return limiter


def check_turn(limiter: Any, key: Any, booking: RemoteReservation, timeout: Any) -> None:
    """Raise what `wait` raises if no turn is booked."""
    if booking.allowed:
        return
    if booking.error is not None:
        raise booking.error
    if booking.delay_ns is None:
        raise CostExceedsLimit(f"cost {booking.cost} for key {key!r} is more than {limiter!r} ever allows")
    raise WaitTimeout(f"key {key!r} has to wait {booking.delay:.9g} s, longer than timeout={timeout!r}", booking.delay)


def sleep_through(booking: RemoteReservation) -> None:
    """Sleep until the turn; one that is not waited for is given back."""
    if booking.delay_ns:
        try:
            time.sleep(booking.delay)
        except BaseException:
            booking.cancel()
            raise


async def sleep_until_turn(booking: RemoteReservation) -> None:
    """Sleep; a turn that is not waited for is given back."""
    if booking.delay_ns:
        try:
            await asyncio.sleep(booking.delay)
        except BaseException:
            await asyncio.shield(booking.cancel_async())
            raise


def keys_and_costs(keys: Any, costs: Any) -> tuple[list[Any], list[Any]]:
    """Return the keys of a batch and the cost of each."""
    if not isinstance(keys, (np.ndarray, list, tuple)) or (isinstance(keys, np.ndarray) and keys.ndim != 1):
        raise TypeError(f"keys: expected a one-dimensional array, a list or a tuple, got {type(keys).__name__}")
    listed = keys.tolist() if isinstance(keys, np.ndarray) else list(keys)
    if costs is None or np.ndim(costs) == 0:
        return listed, [1 if costs is None else costs] * len(listed)
    each = np.asarray(costs).tolist()
    if len(each) != len(listed):
        raise ValueError(f"costs: expected one number, or one for each of the {len(listed)} keys, got {len(each)}")
    return listed, each


def rows_of(decisions: list[Decision]) -> Any:
    """Return decisions as the structured array of `hit_many`."""
    never = 2**62
    return np.array(
        [
            (
                *(decision.allowed, decision.limit, decision.remaining),
                *(never if decision.retry_after_ns is None else decision.retry_after_ns, decision.reset_after_ns),
                decision.delay_ns,
            )
            for decision in decisions
        ],
        VERDICT,
    )


def _refuse_now(limiter: Any, now: Any) -> None:
    if now is not None:
        raise ValueError(f"now: expected none, since the engine's time decides in {limiter.table!r}")


def attach_verbs(limiter: Any) -> None:
    """Give a limiter that has just been made what its verbs use."""
    limiter._refusals = Refusals(limiter.table.remote.options.remember)
    limiter._fallback = Fallback(limiter)
