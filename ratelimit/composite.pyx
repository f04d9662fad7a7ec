"""Several limits as one: all allow and all are spent, or none is."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

import numpy as np

from ._core cimport ALLOW, RAISE, Decision, Limiter, OnFull, Reservation, address, amount, booking, hashes_of, integers
from ._rule cimport NEVER, Rule
from ._table cimport CANCEL, DONE, FULL, HIT, REFUND, REFUSED, RESERVE, Outcome, Request, Status, Table, look, perform
from ._verdict cimport Verdict, pronounce, wait_ns

from . import waiting
from ._core import VERDICT
from .quota import seconds_to_ns

cdef enum:
    MOST = 16  # limits in one


cdef struct Member:
    const Table* table
    const Rule* rule
    OnFull when_full


cdef struct Members:
    int size
    Member[MOST] each


cdef inline bint refuses(const Member* member, const Outcome* out) noexcept nogil:
    return out.status == REFUSED or (out.status == FULL and member.when_full != ALLOW)


cdef int look_all(const Members* members, const Request* request, const uint64_t* hashes, Outcome* outs) noexcept nogil:
    """The limiter that refuses longest, or -1 when none does; `at` of each outcome is when it is ready."""
    cdef int longest = -1, i
    for i in range(members.size):
        look(members.each[i].table, members.each[i].rule, request, hashes[i], &outs[i])
        if refuses(&members.each[i], &outs[i]) and (longest < 0 or outs[i].at > outs[longest].at):
            longest = i
    return longest


cdef void take_back(
    const Members* members, const Request* request, const uint64_t* hashes, const Outcome* outs, int size
) noexcept nogil:
    cdef Request undo = request[0]
    cdef Outcome ignored
    cdef int i
    undo.verb = CANCEL
    for i in range(size):
        if outs[i].status == DONE:
            undo.at = outs[i].at
            perform(members.each[i].table, members.each[i].rule, &undo, hashes[i], &ignored)


cdef int spend_all(const Members* members, const Request* request, const uint64_t* hashes, Outcome* outs) noexcept nogil:
    """Spend from all, or from none: then the limiter that refused, otherwise -1.

    All are asked first, so that a refusal writes nothing. Only a request that comes between asking and
    spending makes it necessary to give back; in between, others may be refused for its sake.
    """
    cdef int refusing = look_all(members, request, hashes, outs)
    cdef int i
    if refusing >= 0:
        return refusing
    for i in range(members.size):
        perform(members.each[i].table, members.each[i].rule, request, hashes[i], &outs[i])
        if refuses(&members.each[i], &outs[i]):
            take_back(members, request, hashes, outs, i)
            return i
    return -1


cdef int judge(
    const Members* members, const Request* request, const Outcome* outs, int refusing, Verdict* verdict
) noexcept nogil:
    """The verdict of the limiter that refused, or else of the one with least remaining; and which it is."""
    cdef Verdict other
    cdef uint64_t delay = 0
    cdef int chosen = refusing, i
    if refusing >= 0:
        pronounce(members.each[refusing].rule, request, &outs[refusing], False, verdict)
        return refusing
    for i in range(members.size):
        pronounce(members.each[i].rule, request, &outs[i], members.each[i].when_full == ALLOW, &other)
        delay = max(delay, other.delay_ns)
        if chosen < 0 or other.remaining < verdict.remaining:
            chosen = i
            verdict[0] = other
    verdict.delay_ns = delay
    return chosen


@cython.final
cdef class All:
    """Several limiters as one, as made by `a & b`: a request is allowed when all allow it, and then spends
    from all; otherwise from none. Its Decision names the limiter that refused, of several the one that
    refuses longest.

    Args:
        limiters: Limiters or other Alls, up to 16; all with the same clock.

    It has the verbs of a limiter, but for quotas of single calls. Thread-safety: as for each of them. Between
    two threads the outcome is that of one after the other, except that a request which is about to be refused
    by one limit may for that moment be counted by another.
    """

    cdef readonly tuple limiters
    cdef Members members
    cdef object __weakref__

    def __cinit__(self, *limiters):
        cdef Limiter limiter
        cdef list flat = []
        for one in limiters:
            if not isinstance(one, (Limiter, All)):
                raise TypeError(f"limiters must be limiters, not {one!r}")
            flat.extend((<All>one).limiters if isinstance(one, All) else (one,))
        if not 1 <= len(flat) <= MOST:
            raise ValueError(f"limiters must be from 1 to {MOST}, not {len(flat)}")
        if len({id(limiter.clock) for limiter in flat}) > 1:
            raise ValueError("limiters must have one clock to be asked at one moment; give them the same clock=")
        self.limiters = tuple(flat)
        self.members.size = len(flat)
        for i, limiter in enumerate(flat):
            self.members.each[i].table = &limiter.slots
            self.members.each[i].rule = &limiter.rule
            self.members.each[i].when_full = limiter.when_full

    cdef int start(self, Request* request, uint64_t* hashes, object key, object cost, object now) except -1:
        cdef Limiter limiter
        cdef int i
        request.verb = HIT
        request.cost = amount(cost, "cost")
        for i in range(self.members.size):
            limiter = self.limiters[i]
            hashes[i] = limiter.hash_of(key)
        (<Limiter>self.limiters[0]).start(request, now)
        return 0

    cdef int check_full(self, Outcome* outs, int refusing, object key) except -1:
        if refusing >= 0 and outs[refusing].status == FULL:
            (<Limiter>self.limiters[refusing]).full(key)
        return 0

    def allow(self, key, /):
        """Spend 1 from all if it may: True if so."""
        cdef uint64_t[MOST] hashes
        cdef Outcome[MOST] outs
        cdef Request request
        cdef int refusing
        self.start(&request, hashes, key, 1, None)
        refusing = spend_all(&self.members, &request, hashes, outs)
        self.check_full(outs, refusing, key)
        return refusing < 0

    def hit(self, key, cost=1, *, now=None):
        """Spend `cost` from all if it may, all or nothing: as Limiter.hit."""
        cdef uint64_t[MOST] hashes
        cdef Outcome[MOST] outs
        cdef Request request
        self.start(&request, hashes, key, cost, now)
        return self.decision(&self.members, &request, outs, spend_all(&self.members, &request, hashes, outs), key)

    def hit_each(self, keys, cost=1, *, quotas=None, now=None):
        """As `hit`, with a key of its own for each limiter: one request of a user, from an address, to a service.

        Args:
            keys: one for each of `limiters`, in their order.
            cost, now: as for `hit`.
            quotas: one for each limiter instead of its own, as for Limiter.hit; None among them is its own.
        """
        cdef uint64_t[MOST] hashes
        cdef Outcome[MOST] outs
        cdef Request request
        cdef Members members = self.members
        cdef Limiter limiter
        cdef list kept = []  # what owns the rules of the given quotas, while they are in use
        cdef int refusing, i
        for given, name in ((keys, "keys"), (quotas, "quotas")):
            if given is not None and len(given) != members.size:
                raise ValueError(f"{name} must be as many as there are limiters, {members.size}, not {len(given)}")
        for i in range(members.size):
            limiter = self.limiters[i]
            hashes[i] = limiter.hash_of(keys[i])
            if quotas is not None and quotas[i] is not None:
                members.each[i].rule = limiter.rule_for(quotas[i])
                kept.append(limiter.overrides)
        request.verb = HIT
        request.cost = amount(cost, "cost")
        (<Limiter>self.limiters[0]).start(&request, now)
        refusing = spend_all(&members, &request, hashes, outs)
        return self.decision(&members, &request, outs, refusing, keys[refusing] if refusing >= 0 else None)

    def peek(self, key, cost=1, *, now=None):
        """What `hit` would answer; changes nothing."""
        cdef uint64_t[MOST] hashes
        cdef Outcome[MOST] outs
        cdef Request request
        self.start(&request, hashes, key, cost, now)
        return self.decision(&self.members, &request, outs, look_all(&self.members, &request, hashes, outs), key)

    cdef Decision decision(
        self, const Members* members, const Request* request, Outcome* outs, int refusing, object key
    ):
        cdef Decision decision = Decision.__new__(Decision)
        self.check_full(outs, refusing, key)
        decision.limiter = self.limiters[judge(members, request, outs, refusing, &decision.verdict)]
        return decision

    def reserve(self, key, cost=1, *, max_delay=None):
        """Take the place in all lines now, for the moment at which the last of them is ready."""
        cdef uint64_t[MOST] hashes
        cdef Outcome[MOST] outs
        cdef Request request
        cdef Reservation place
        cdef uint64_t patience = NEVER if max_delay is None else seconds_to_ns(max_delay, "max_delay")
        cdef uint64_t began, at
        cdef int refusing, i
        self.start(&request, hashes, key, cost, None)
        began = request.now
        while True:
            request.now = began
            request.now_given = False
            refusing = look_all(&self.members, &request, hashes, outs)
            at = max([outs[i].at for i in range(self.members.size)])
            if refusing >= 0 and outs[refusing].status == FULL:
                self.check_full(outs, refusing, key)
                return booking([], False, request.cost, began, at)
            if at >= NEVER or at - began > patience:
                return booking([], False, request.cost, began, at)
            request.now = at
            request.now_given = True
            if spend_all(&self.members, &request, hashes, outs) < 0:
                return booking(
                    [(self.limiters[i], hashes[i]) for i in range(self.members.size)], True, request.cost, began, at
                )

    def refund(self, key, cost=1):
        """Give `cost` back to all, never above full."""
        for limiter in self.limiters:
            limiter.refund(key, cost)

    def reset(self, key):
        """Forget the key in all limiters."""
        for limiter in self.limiters:
            limiter.reset(key)

    def clear(self):
        """Forget all keys in all limiters."""
        for limiter in self.limiters:
            limiter.clear()

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order: as Limiter.allow_many."""
        return self.hit_many(keys, costs, now=now)["allowed"].copy()

    def hit_many(self, keys, costs=None, *, now=None):
        """As `allow_many`, with the full decisions: as Limiter.hit_many."""
        cdef int k, refusing = -1
        hashes_by_member = np.empty((self.members.size, len(keys)), np.uint64)
        for k in range(self.members.size):
            hashes_by_member[k] = hashes_of(&(<Limiter>self.limiters[k]).slots.header.seed[0], keys)
        cdef const uint64_t[:, ::1] hashes = hashes_by_member
        cdef Py_ssize_t i = 0, size = hashes.shape[1]
        cdef const uint64_t[:] amounts = integers(1 if costs is None else costs, "costs", size, 1, 2**64 - 1)
        cdef const uint64_t[:] moments = integers(self.now_ns() if now is None else now, "now", size, 0, NEVER - 2)
        result = np.empty(size, VERDICT)
        cdef Verdict* verdicts = <Verdict*>address(result)
        cdef uint64_t[MOST] own
        cdef Outcome[MOST] outs
        cdef Request request
        request.verb = HIT
        request.now_given = now is not None
        with nogil:
            for i in range(size):
                for k in range(self.members.size):
                    own[k] = hashes[k, i]
                request.cost = amounts[i]
                request.now = moments[i]
                refusing = spend_all(&self.members, &request, own, outs)
                judge(&self.members, &request, outs, refusing, verdicts + i)
                if refusing >= 0 and outs[refusing].status == FULL and self.members.each[refusing].when_full == RAISE:
                    break
        if size:
            self.check_full(outs, refusing, f"number {i} of the batch; those before it are decided")
        return result

    @property
    def clock(self):
        """The clock that all share, or None for their own."""
        return self.limiters[0].clock

    def now_ns(self):
        """The time by that clock, in nanoseconds since the epoch."""
        return self.limiters[0].now_ns()

    def wait(self, key, cost=1, timeout=None):
        """Block until `cost` is spent from all: as Limiter.wait."""
        waiting.wait(self, key, cost, timeout)

    def wait_async(self, key, cost=1, timeout=None):
        """As `wait`, without blocking the event loop."""
        return waiting.wait_async(self, key, cost, timeout)

    def __and__(self, other):
        """One limit more."""
        return All(self, other) if isinstance(other, (Limiter, All)) else NotImplemented

    def __repr__(self):
        return " & ".join(map(repr, self.limiters))
