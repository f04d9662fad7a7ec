"""The result of a request, in the terms of HTTP's rate-limit fields."""

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint64_t

from .algorithm cimport fresh_at, ready, remaining
from .constants cimport NEVER, NS_PER_SECOND
from .request cimport DONE, FULL, REFUSED, Outcome, Request
from .rule cimport Rule


cdef struct Verdict:
    uint8_t allowed
    uint64_t limit
    uint64_t remaining
    uint64_t retry_after_ns  # NEVER if no wait is long enough
    uint64_t reset_after_ns
    uint64_t delay_ns


cdef inline uint64_t wait_ns(uint64_t now, uint64_t moment) noexcept nogil:
    return moment - now if moment < NEVER else NEVER


cdef inline double seconds(uint64_t ns) noexcept nogil:
    return ns / <double>NS_PER_SECOND if ns < NEVER else INFINITY


cdef inline void fill_verdict(
    const Rule* rule, const Request* request, const Outcome* out, bint allow_when_full, Verdict* verdict
) noexcept nogil:
    cdef uint64_t since = max(out.now, out.held_until)
    verdict.limit = NEVER if rule.unlimited else rule.limit
    verdict.allowed = out.status == DONE or (out.status == FULL and allow_when_full)
    verdict.remaining = 0
    if out.status != FULL and out.held_until == 0:
        verdict.remaining = remaining(rule, out.now, out.after, out.ring)
    verdict.reset_after_ns = fresh_at(rule, since, out.after) - out.now
    verdict.delay_ns = out.at - out.now if out.status == DONE else 0
    verdict.retry_after_ns = 0
    if out.status == REFUSED:
        verdict.retry_after_ns = wait_ns(out.now, ready(rule, since, request.cost, out.before, out.ring))
    elif not verdict.allowed:
        verdict.retry_after_ns = wait_ns(out.now, out.at)


cdef inline uint64_t more_after(const Rule* rule, const Outcome* out, uint64_t left) noexcept nogil:
    """Return how long until more than `left` can be spent: 0 if nothing was spent, NEVER if no wait is long enough."""
    if out.status == FULL:
        return wait_ns(out.now, out.at)
    if left >= rule.limit and (rule.limit or rule.unlimited):
        return 0
    return wait_ns(out.now, ready(rule, max(out.now, out.held_until), left + 1, out.after, out.ring))
