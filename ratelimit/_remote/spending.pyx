"""The verbs of a limiter with leases as far as this host decides: without the engine, and without other Python code."""

from libc.stdint cimport uint64_t

from .._core cimport Limiter
from .._engine.clock cimport monotonic_ns
from .._limiter.arguments cimport checked_cost
from .._limiter.attachment cimport is_stale
from .._limiter.decision cimport FROM_LEASE, REMEMBERED, Decision
from .._limiter.keys cimport hash_key
from .._storage.valkey.leases cimport HELD, NONE, SPENT, Found, Lease, Leases, Line, left_of, spend


def monotonic():
    """Return the moment by the clock of leases, in nanoseconds."""
    return monotonic_ns()


def hash_of(Leases leases not None, key):
    """Return the hash of a key, as the leases have it."""
    return hash_key(leases.seed, False, key)


cdef inline bint is_current(Limiter limiter, Leases leases) noexcept:
    return not is_stale(limiter) and limiter.rule.revision == leases.revision


cdef inline bint runs_low(Leases leases, uint64_t hashed, Lease* lease, uint64_t now) noexcept:
    """Return whether a quarter of what was granted is left, and no process asks for more.

    A few are not worth it: the request that spends the last asks for more.
    """
    cdef Line* line
    if left_of(lease.word) * 4 > lease.line.size or lease.line.size < 8:
        return False
    line = leases.newest(hashed)
    return line != NULL and line.asking <= now and leases.left(hashed, now, True) * 4 <= line.size


cdef class Spending:
    """Adds to the verbs of a table on an engine; the class that inherits them sets `_leases` and what asks."""

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        cdef Leases leases = <Leases?>self._leases
        cdef Lease lease
        cdef Found found
        cdef uint64_t now, hashed
        if is_current(<Limiter>self, leases):
            hashed = hash_key(leases.seed, False, key)
            now = monotonic_ns()
            found = spend(leases, hashed, 1, now, &lease)
            if found == SPENT:
                if runs_low(leases, hashed, &lease, now):
                    self._refill(key, hashed)
                return True
            if found == HELD:
                return False
        return self._allow_by_engine(key)

    def _decide_here(self, key, cost, bint looks=False):
        """Return the Decision of this host, or None if the engine has to be asked."""
        cdef Leases leases = <Leases?>self._leases
        cdef Limiter limiter = <Limiter>self
        cdef Lease lease
        cdef Found found
        cdef Decision decision
        cdef Line* line
        cdef uint64_t now, hashed, left, amount = checked_cost(cost, "cost")
        if not is_current(limiter, leases):
            return None
        hashed = hash_key(leases.seed, False, key)
        now = monotonic_ns()
        lease.word = 0
        if looks:
            left = leases.left(hashed, now, False)
            lease.line = leases.newest(hashed)
            if left < amount or lease.line == NULL:
                return None
            found = SPENT
        else:
            found = spend(leases, hashed, amount, now, &lease)
            left = leases.left(hashed, now, False) if found == SPENT else 0
        if found == NONE:
            return None
        line = lease.line
        decision = Decision.__new__(Decision)
        decision.limiter = self
        decision.source_ = FROM_LEASE if found == SPENT else REMEMBERED
        decision.verdict.allowed = found == SPENT
        decision.verdict.limit = self._engine_limit
        decision.verdict.remaining = min(max(left, line.left), decision.verdict.limit)
        decision.verdict.reset_after_ns = until(now, line.fresh_at)
        decision.more_after_ = until(now, line.more_at)
        decision.verdict.retry_after_ns = 0 if found == SPENT else decision.more_after_
        decision.spent_ = amount if found == SPENT else 0
        if found == SPENT and not looks and runs_low(leases, hashed, &lease, now):
            self._refill(key, hashed)
        return decision


cdef inline uint64_t until(uint64_t now, uint64_t moment) noexcept:
    return moment - now if moment > now else 0
