"""The algorithms behind one set of functions. In all of them a state of zero is a key never seen.

`ring` is the sliding log's; the others ignore it.
"""

from libc.stdint cimport uint64_t

from .atomics cimport u128
from .constants cimport FIRST_WINDOW, LEAKY_BUCKET, NEVER, SLIDING_LOG, SLIDING_WINDOW, TOKEN_BUCKET
from .fixed_window cimport (
    fixed_admit,
    fixed_cancel,
    fixed_charge,
    fixed_fresh_at,
    window_start,
    fixed_pack,
    fixed_ready,
    fixed_refund,
    fixed_remaining,
    fixed_scaled,
    fixed_start,
)
from .gcra cimport (
    gcra_admit,
    gcra_cancel,
    gcra_carried,
    gcra_charge,
    gcra_ready,
    gcra_refund,
    gcra_remaining,
    gcra_turn,
    later,
    to_ns,
)
from .rule cimport Rule
from .sliding_log cimport log_admit, log_append, log_fresh_at, log_pack, log_ready, log_remaining
from .sliding_window cimport (
    Sliding,
    sliding_admit,
    sliding_cancel,
    sliding_charge,
    sliding_fresh_at,
    sliding_pack,
    sliding_ready,
    sliding_refund,
    sliding_remaining,
    sliding_roll,
    sliding_scaled,
    sliding_unpack,
)


cdef inline bint is_gcra(const Rule* rule) noexcept nogil:
    return rule.algorithm == TOKEN_BUCKET or rule.algorithm == LEAKY_BUCKET


cdef inline bint admit(
    const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* ring, u128* after
) noexcept nogil:
    """Return whether `cost` may be spent now, and the state `after` spending it."""
    if is_gcra(rule):
        return gcra_admit(rule, now, cost, state, after)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_admit(rule, now, cost, state, after)
    if rule.algorithm == SLIDING_LOG:
        return log_admit(rule, now, cost, state, ring, after)
    return fixed_admit(rule, now, cost, state, after)


cdef inline uint64_t ready(const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* ring) noexcept nogil:
    """Return the first moment, from now on, at which `cost` is admitted if nothing else happens; or NEVER."""
    if rule.unlimited:
        return now
    if is_gcra(rule):
        return gcra_ready(rule, now, cost, state)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_ready(rule, now, cost, state)
    if rule.algorithm == SLIDING_LOG:
        return log_ready(rule, now, cost, state, ring)
    return fixed_ready(rule, now, cost, state)


cdef inline uint64_t turn(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return when a request that is admitted now may act: immediately, except in a leaky bucket."""
    return gcra_turn(rule, now, state) if rule.algorithm == LEAKY_BUCKET and not rule.unlimited else now


cdef inline u128 charge(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    """Return the state after `cost` is spent whether it is admitted or not (of a sliding log: one of it)."""
    if is_gcra(rule):
        return gcra_charge(rule, now, cost, state)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_charge(rule, now, cost, state)
    if rule.algorithm == SLIDING_LOG:
        return log_append(rule, now, state)
    return fixed_charge(rule, now, cost, state)


cdef inline u128 refund(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    """Return the state after `cost` is given back. (A sliding log gives back in its ring, see log.pxd.)"""
    if is_gcra(rule):
        return gcra_refund(rule, now, cost, state)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_refund(rule, now, cost, state)
    return fixed_refund(rule, now, cost, state)


cdef inline u128 cancel(
    const Rule* rule, uint64_t now, uint64_t at, uint64_t cost, u128 booked, u128 state
) noexcept nogil:
    """Return the state after `cost` of a booking is taken back, as far as that breaks no promise.

    The booking was for the moment `at` and left the state `booked`. A key whose state has been another one since is
    never better off than one that never had the booking. (A sliding log gives back in its ring, see log.pxd.)
    """
    if is_gcra(rule):
        return gcra_cancel(rule, now, cost, booked, state)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_cancel(rule, now, at, cost, state)
    return fixed_cancel(rule, now, at, cost, state)


cdef inline bint is_built_upon(
    const Rule* rule, uint64_t now, uint64_t at, u128 booked, u128 state
) noexcept nogil:
    """Return whether later bookings keep a booking from being taken back whole, for as long as they are there."""
    cdef u128 clock = <u128>now * rule.unit
    if rule.algorithm == LEAKY_BUCKET:
        return state > booked > clock
    if is_gcra(rule):
        return state > later(booked, clock + rule.tolerance)
    if at <= now:
        return False
    if rule.algorithm == SLIDING_WINDOW:
        return at // rule.period + 1 < sliding_unpack(rule, state).index
    return at < fixed_start(rule, state)


cdef inline uint64_t remaining(const Rule* rule, uint64_t now, u128 state, u128* ring) noexcept nogil:
    """Return the largest cost that would be admitted now."""
    if rule.unlimited:
        return NEVER
    if is_gcra(rule):
        return gcra_remaining(rule, now, state)
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_remaining(rule, now, state)
    if rule.algorithm == SLIDING_LOG:
        return log_remaining(rule, now, state, ring)
    return fixed_remaining(rule, now, state)


cdef inline uint64_t fresh_at(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return the first moment, from now on, at which the key is like one never seen; or NEVER."""
    if state == 0 and rule.born == 0:  # otherwise a sliding log may not be fresh
        return now
    if is_gcra(rule):
        return max(now, to_ns(rule, state))
    if rule.algorithm == SLIDING_WINDOW:
        return min(sliding_fresh_at(rule, now, state), NEVER)
    if rule.algorithm == SLIDING_LOG:
        return min(log_fresh_at(rule, now, state), NEVER)
    return min(fixed_fresh_at(rule, now, state), NEVER)


cdef inline bint is_fresh(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return whether the key is like one never seen."""
    if is_gcra(rule):
        return state <= <u128>now * rule.unit  # without a division, since a search for a slot asks this about every key
    return fresh_at(rule, now, state) <= now


cdef inline u128 live_above(const Rule* rule, uint64_t moment) noexcept nogil:
    """Return a bound: every state above it is live at `moment`; states below it may be live, too."""
    cdef uint64_t since = moment - min(moment, rule.period)
    if is_gcra(rule):
        return <u128>moment * rule.unit
    if rule.algorithm == SLIDING_WINDOW:
        return <u128>(moment // rule.period) << 2 * rule.count_bits
    if rule.algorithm == SLIDING_LOG:
        return log_pack(since + 2, 0)  # stamps are moments plus one
    return fixed_pack(rule, since + 1 if rule.algorithm == FIRST_WINDOW else moment, 0)


cdef inline u128 carried(
    const Rule* old, const Rule* new, uint64_t now, bint scale, u128 state
) noexcept nogil:
    """Return the state under a new quota: what was spent stays or, with `scale`, its share of the limit."""
    if is_gcra(old):
        return gcra_carried(old, new, now, scale, state)
    if not scale or old.algorithm == SLIDING_LOG:
        return state
    if old.algorithm == SLIDING_WINDOW:
        return sliding_scaled(old, new, state)
    return fixed_scaled(old, new, state)


cdef inline u128 unknown(const Rule* rule, uint64_t now, uint64_t horizon) noexcept nogil:
    """Return the state of a key that is not in the table: fresh since `horizon`, and unknown before."""
    cdef Sliding seen
    if now >= horizon:
        return 0
    if is_gcra(rule):
        return <u128>horizon * rule.unit
    if rule.algorithm == SLIDING_WINDOW:
        seen.index = horizon // rule.period
        seen.previous = seen.current = 0
        return sliding_pack(rule, seen)
    if rule.algorithm == SLIDING_LOG:
        return log_pack(horizon, 0)
    return fixed_pack(rule, window_start(rule, horizon), 0)


cdef inline u128 missing(const Rule* rule, uint64_t now, uint64_t horizon) noexcept nogil:
    """Return the state of a key that is not in the table. If the table started spent, the key spent its limit then.

    A sliding log cannot show requests without a ring: its functions ask `rule.born` themselves.
    """
    cdef u128 state = unknown(rule, now, horizon)
    cdef uint64_t birth = rule.born - 1
    cdef Sliding seen
    if rule.born == 0 or rule.algorithm == SLIDING_LOG:
        return state
    if is_gcra(rule):
        return later(state, <u128>birth * rule.unit + rule.tolerance)
    if rule.algorithm == SLIDING_WINDOW:
        seen.index, seen.previous, seen.current = birth // rule.period, 0, rule.limit
        return sliding_pack(rule, sliding_roll(rule, horizon // rule.period, seen) if now < horizon else seen)
    if rule.algorithm == FIRST_WINDOW and horizon >= birth + rule.period:
        return state
    if rule.algorithm == FIRST_WINDOW:
        return fixed_pack(rule, birth, rule.limit)
    return later(state, fixed_pack(rule, birth, rule.limit))
