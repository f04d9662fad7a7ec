"""Several limits as one: a request is spent from all of them, or from none.

In one file: a class of Cython cannot be divided.
"""

cimport cython
from libc.stdint cimport uint64_t

import numpy as np

from .._core cimport Limiter
from .._engine.arrays cimport Row, data_of, row_of
from .._engine.atomics cimport count_add
from .._engine.constants cimport LEAKY_BUCKET, NEVER
from .._engine.request cimport DONE, FULL, HIT, RESERVE
from .._engine.verdict cimport Verdict, more_after, wait_ns
from .._limiter.arguments cimport checked_cost, checked_integers, cost_rows, hashes_of, one_for_each
from .._limiter.attachment cimport RAISE, is_stale
from .._limiter.compiled_rule cimport CompiledRule
from .._limiter.decision cimport Decision
from .._limiter.limited cimport Limited
from .._limiter.parts cimport MAX_PARTS, Part, judge, look_all, perform_all, refuses, spend_all, wait_for_all
from .._limiter.reservation cimport place_of, reservation_of

from .. import _core
from .._limiter import taking
from .._limiter.arguments import costs_for
from .._limiter.decision import VERDICT
from ..quota import seconds_to_ns

MAX_LIMITS = MAX_PARTS


cdef class All(Limited):
    """Several limiters as one, as `a & b` makes them.

    A request is allowed if all limiters allow it, and is then spent from all of them; otherwise it is spent from none.
    Its Decision names the limiter that refused; if several refused, the one with the longest wait.

    Args:
        limiters: up to 16 limiters or other Alls, all with the same clock.

    It has the verbs of a limiter, except for quotas of single calls.

    Thread-safety: as for each limiter. Concurrent requests have the outcome of some order, except that a request which
    one limit is about to refuse may for that moment be counted by another.
    """

    _is_remote = False  # whether an engine keeps the table of one of them, see _remote

    cdef readonly tuple limiters
    cdef int size
    cdef object __weakref__

    def __cinit__(self, *limiters):
        cdef list flat = []
        for one in limiters:
            if not isinstance(one, (Limiter, All)):
                raise TypeError(f"limiters: expected limiters, got {one!r}")
            flat.extend((<All>one).limiters if isinstance(one, All) else (one,))
        if not 1 <= len(flat) <= MAX_PARTS:
            raise ValueError(f"limiters: expected from 1 to {MAX_PARTS}, got {len(flat)}")
        if len({id(limiter.clock) for limiter in flat}) > 1:
            raise ValueError("limiters: expected the same clock= for all, so that one moment decides")
        self.limiters = tuple(flat)
        self.size = len(flat)

    @cython.final
    cdef int gather(self, Part* parts, object cost, object costs, object now) except -1:
        """Fill in the request of each part, except for the key."""
        cdef tuple own = None if costs is None else costs_for(costs, cost, self.size)
        cdef Limiter first = self.limiters[0], limiter
        cdef int i
        first.prepare(&parts[0].request, now)
        parts[0].request.verb = HIT
        parts[0].request.cost = checked_cost(cost, "cost")
        for i in range(self.size):
            limiter = self.limiters[i]
            if is_stale(limiter):
                limiter.refresh()
            parts[i].table = &limiter.attached
            parts[i].rule = limiter.rule
            parts[i].when_full = limiter.when_full
            if i > 0:
                parts[i].request = parts[0].request
                if now is None and limiter.clock is None:
                    parts[i].request.now += limiter.anchor - first.anchor
        if own is not None:
            for i in range(self.size):
                parts[i].request.cost = own[i]
        return 0

    @cython.final
    cdef int start(self, Part* parts, object key, object cost, object costs, object now) except -1:
        cdef Limiter limiter
        cdef int i
        self.gather(parts, cost, costs, now)
        for i in range(self.size):
            limiter = self.limiters[i]
            parts[i].hashed = limiter.hash_of(key)
        return 0

    @cython.final
    cdef int check_full(self, Part* parts, int refusing, object key, str index=None) except -1:
        if refusing >= 0 and parts[refusing].out.status == FULL:
            (<Limiter>self.limiters[refusing]).allows_when_full(key, index)
        return 0

    def allow(self, key, /):
        """Spend 1 from all limiters if all admit it; return whether they did."""
        cdef Part[MAX_PARTS] parts
        cdef int refusing
        self.start(parts, key, 1, None, None)
        refusing = spend_all(parts, self.size)
        self.check_full(parts, refusing, key)
        return refusing < 0

    def hit(self, key, cost=1, *, costs=None, now=None):
        """Spend from all limiters if all admit it; return a Decision, as Limiter.hit does.

        Args:
            key, now: as for Limiter.hit.
            cost: the cost for every limiter.
            costs: instead, a cost for each of `limiters`, in their order: such as one request and its tokens.
        """
        cdef Part[MAX_PARTS] parts
        self.start(parts, key, cost, costs, now)
        return self.decision(parts, spend_all(parts, self.size), key)

    def take(self, key, most, *, now=None):
        """Spend as much of `most` as all limiters admit now, and the same from each; as Limiter.take does."""
        return taking.take(self, key, most, now=now)

    def bind(self, keys, *, quotas=None):
        """Prepare a request with a different key for each limiter, such as a user, an address and a service.

        Args:
            keys: one for each of `limiters`, in their order.
            quotas: one for each limiter, as for Limiter.hit; None for the limiter's own.

        Returns: a Bound, which can be hit any number of times.
        """
        return Bound(self, keys, quotas)

    def peek(self, key, cost=1, *, costs=None, now=None):
        """Return the Decision that `hit` would make, without changing anything."""
        cdef Part[MAX_PARTS] parts
        self.start(parts, key, cost, costs, now)
        return self.decision(parts, look_all(parts, self.size), key)

    @cython.final
    cdef Decision decision(self, Part* parts, int refusing, object key, tuple quotas=None):
        cdef Decision decision = Decision.__new__(Decision)
        cdef int chosen
        self.check_full(parts, refusing, key)
        chosen = judge(parts, self.size, refusing, &decision.verdict)
        decision.limiter = self.limiters[chosen]
        decision.limits = self
        decision.spent_ = parts[chosen].request.cost if refusing < 0 else 0
        decision.own_quotas = quotas
        decision.more_after_ = more_after(parts[chosen].rule, &parts[chosen].out, decision.verdict.remaining)
        return decision

    def reserve(self, key, cost=1, *, costs=None, max_delay=None):
        """Book a turn with all limiters, for the moment at which the last of them is ready; return a Reservation.

        Args:
            key, cost, costs: as for `hit`.
            max_delay: seconds. Nothing is booked if the wait would be longer.
        """
        cdef Part[MAX_PARTS] parts
        cdef uint64_t[MAX_PARTS] spent
        cdef uint64_t patience = NEVER if max_delay is None else seconds_to_ns(max_delay, "max_delay")
        cdef uint64_t wait, delay
        cdef int i
        self.start(parts, key, cost, costs, None)
        for i in range(self.size):
            spent[i] = parts[i].request.cost
        booked = tuple([spent[i] for i in range(self.size)])
        while True:
            for i in range(self.size):
                parts[i].request.verb = HIT
                parts[i].request.cost = spent[i]
            wait = wait_for_all(parts, self.size)
            for i in range(self.size):
                if parts[i].out.status == FULL and refuses(&parts[i]):
                    count_add(&parts[i].table.header.full, 1)
                    self.check_full(parts, i, key)
                    return reservation_of([], False, booked, parts[0].request.now, wait)
            blocked = any([parts[i].out.held_until > 0 for i in range(self.size)])
            if wait >= NEVER or wait > patience or blocked:
                return reservation_of([], False, booked, parts[0].request.now, wait, blocked)
            for i in range(self.size):
                parts[i].request.verb = RESERVE
                parts[i].request.cost = spent[i]
                parts[i].request.at = parts[i].request.now + wait
                # a leaky bucket that occurs twice assigns two turns, one after the other
                parts[i].request.patience = NEVER if parts[i].rule.algorithm == LEAKY_BUCKET else wait
            if perform_all(parts, self.size) < 0:
                break
        delay = wait
        places = []
        for i in range(self.size):
            if parts[i].out.status == DONE:
                delay = max(delay, wait_ns(parts[i].request.now, parts[i].out.at))
                places.insert(0, place_of(self.limiters[i], i, parts[i].hashed, &parts[i].out))
        return reservation_of(places, True, booked, parts[0].request.now, delay)

    def refund(self, key, cost=1, *, costs=None):
        """Give a cost back to all limiters, at most what was spent: `cost`, or one of `costs` for each limiter."""
        own = (cost,) * self.size if costs is None else costs_for(costs, cost, self.size)
        for limiter, amount in zip(self.limiters, own):
            limiter.refund(key, amount)

    def block(self, key, seconds):
        """Refuse all requests with this key for `seconds`, in each of the limiters, as Limiter.block does."""
        seconds_to_ns(seconds, "seconds")
        for limiter in self.limiters:
            limiter.block(key, seconds)

    def unblock(self, key):
        """End a block now, in each of the limiters, as Limiter.unblock does."""
        for limiter in self.limiters:
            limiter.unblock(key)

    async def allow_async(self, key, /):
        """Do what `allow` does; for tables that are reached over a network."""
        return self.allow(key)

    async def hit_async(self, key, cost=1, *, costs=None, now=None):
        """Do what `hit` does; for tables that are reached over a network."""
        return self.hit(key, cost, costs=costs, now=now)

    async def take_async(self, key, most, *, now=None):
        """Do what `take` does; for tables that are reached over a network."""
        return self.take(key, most, now=now)

    async def peek_async(self, key, cost=1, *, costs=None, now=None):
        """Do what `peek` does; for tables that are reached over a network."""
        return self.peek(key, cost, costs=costs, now=now)

    async def reserve_async(self, key, cost=1, *, costs=None, max_delay=None):
        """Do what `reserve` does; for tables that are reached over a network."""
        return self.reserve(key, cost, costs=costs, max_delay=max_delay)

    async def refund_async(self, key, cost=1, *, costs=None):
        """Do what `refund` does; for tables that are reached over a network."""
        self.refund(key, cost, costs=costs)

    async def block_async(self, key, seconds):
        """Do what `block` does; for tables that are reached over a network."""
        self.block(key, seconds)

    async def unblock_async(self, key):
        """Do what `unblock` does; for tables that are reached over a network."""
        self.unblock(key)

    def reset(self, key):
        """Forget the key in all limiters."""
        for limiter in self.limiters:
            limiter.reset(key)

    def clear(self):
        """Forget all keys in all limiters."""
        for limiter in self.limiters:
            limiter.clear()

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order, as Limiter.allow_many does."""
        return self.hit_many(keys, costs, now=now)["allowed"].copy()

    def hit_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order and return all fields of the decisions, as Limiter.hit_many does.

        Args:
            keys, now: as for Limiter.hit_many.
            costs: n whole numbers from 1, or one for all; or an array of shape (n, k) with a cost for each of the k
                limiters.
        """
        cdef Part[MAX_PARTS] parts
        cdef int k, refusing = -1
        self.gather(parts, 1, None, None)
        hashes_by_part = np.array([
            hashes_of(&(<Limiter>limiter).attached.seed[0], (<Limiter>limiter).quick_hash, keys)
            for limiter in self.limiters
        ])
        cdef const uint64_t* hashes = <const uint64_t*>data_of(hashes_by_part)
        cdef Py_ssize_t i = 0, size = hashes_by_part.shape[1]
        costs_by_part = cost_rows(1 if costs is None else costs, size, self.size)
        cdef Row[MAX_PARTS] amounts
        for k in range(self.size):
            amounts[k] = row_of(costs_by_part[k])
        cdef bint now_given = now is not None
        times = checked_integers(now if now_given else 0, "now", size, 0, NEVER - 2)
        cdef Row moments = row_of(times)
        result = np.empty(size, VERDICT)
        cdef Verdict* verdicts = <Verdict*>data_of(result)
        with nogil:
            for i in range(size):
                for k in range(self.size):
                    parts[k].hashed = hashes[k * size + i]
                    parts[k].request.cost = amounts[k].first[i * amounts[k].step]
                    if now_given:
                        parts[k].request.now = moments.first[i * moments.step]
                        parts[k].request.now_given = True
                refusing = spend_all(parts, self.size)
                judge(parts, self.size, refusing, verdicts + i)
                if refusing >= 0 and parts[refusing].out.status == FULL and parts[refusing].when_full == RAISE:
                    break
        if size:
            self.check_full(parts, refusing, None, str(i))
        return result

    @property
    def clock(self):
        """The clock= that all limiters have, or None for ratelimit's own."""
        return self.limiters[0].clock

    def now_ns(self):
        """Return the time by the limiters' clock, in nanoseconds since the epoch."""
        return self.limiters[0].now_ns()

    def wait(self, key, cost=1, timeout=None, *, costs=None):
        """Block until the cost is spent from all limiters, as Limiter.wait does; `costs` as for `hit`."""
        from .._limiter import waiting  # not before: it imports asyncio
        waiting.wait(self, key, cost if costs is None else costs_for(costs, cost, self.size), timeout)

    def wait_async(self, key, cost=1, timeout=None, *, costs=None):
        """Wait as `wait` does, without blocking the event loop."""
        from .._limiter import waiting  # not before: it imports asyncio
        return waiting.wait_async(self, key, cost if costs is None else costs_for(costs, cost, self.size), timeout)

    def __and__(self, other):
        """Return these limits and another one as one, an All."""
        return All(self, other) if isinstance(other, (Limiter, All)) else NotImplemented

    def __reduce__(self):
        return All, self.limiters

    def __str__(self):
        """Return the limits as `ratelimit.parse` reads them."""
        return "; ".join(map(str, self.limiters))

    def __repr__(self):
        return " & ".join(map(repr, self.limiters))


@cython.final
cdef class Bound:
    """An All with a key for each of its limiters, as `All.bind` makes it. Keys are hashed and quotas parsed once.

    Attributes:
        limits: the All.
        keys: one for each limiter.

    Thread-safety: as for All.
    """

    cdef readonly All limits
    cdef readonly tuple keys
    cdef tuple rules, quotas  # the compiled quotas, or None for the limiter's own
    cdef uint64_t[MAX_PARTS] hashes

    def __cinit__(self, All limits not None, keys, quotas):
        cdef Limiter limiter
        cdef int i
        self.limits = limits
        self.keys = one_for_each(keys, "keys", limits.size)
        rules = []
        if quotas is None:
            quotas = [None] * limits.size
        for i, quota in enumerate(one_for_each(quotas, "quotas", limits.size)):
            limiter = limits.limiters[i]
            self.hashes[i] = limiter.hash_of(self.keys[i])
            rules.append(None if quota is None else limiter.rule_for(quota))
        self.rules = tuple(rules)
        if any(rules):
            self.quotas = tuple([None if rule is None else rule.parameters.quota for rule in rules])

    cdef int start(self, Part* parts, object cost, object costs, object now) except -1:
        cdef int i
        self.limits.gather(parts, cost, costs, now)
        for i in range(self.limits.size):
            parts[i].hashed = self.hashes[i]
            if self.rules[i] is not None:
                parts[i].rule = &(<CompiledRule>self.rules[i]).rule
        return 0

    def hit(self, cost=1, *, costs=None, now=None):
        """Spend from all limiters if all admit it, as All.hit does."""
        cdef Part[MAX_PARTS] parts
        cdef int refusing
        self.start(parts, cost, costs, now)
        refusing = spend_all(parts, self.limits.size)
        return self.limits.decision(parts, refusing, self.keys[max(refusing, 0)], self.quotas)

    def hit_for(self, keys):
        """Spend 1 as `hit` does, with other keys for the same limiters and quotas; only keys that differ are hashed."""
        cdef Part[MAX_PARTS] parts
        cdef tuple others = one_for_each(keys, "keys", self.limits.size)
        cdef Limiter limiter
        cdef int i, refusing
        self.start(parts, 1, None, None)
        for i in range(self.limits.size):
            if others[i] is not self.keys[i]:
                limiter = self.limits.limiters[i]
                parts[i].hashed = limiter.hash_of(others[i])
        refusing = spend_all(parts, self.limits.size)
        return self.limits.decision(parts, refusing, others[max(refusing, 0)], self.quotas)

    async def hit_async(self, cost=1, *, costs=None, now=None):
        """Do what `hit` does; for tables that are reached over a network."""
        return self.hit(cost, costs=costs, now=now)

    def peek(self, cost=1, *, costs=None, now=None):
        """Return the Decision that `hit` would make, without changing anything."""
        cdef Part[MAX_PARTS] parts
        cdef int refusing
        self.start(parts, cost, costs, now)
        refusing = look_all(parts, self.limits.size)
        return self.limits.decision(parts, refusing, self.keys[max(refusing, 0)], self.quotas)

    def __reduce__(self):
        raise TypeError("a Bound cannot be pickled; pickle the All, and bind it again")

    def __repr__(self):
        return f"({self.limits!r}).bind({self.keys!r})"


_core.All = All
