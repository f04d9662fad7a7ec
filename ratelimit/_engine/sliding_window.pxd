"""Two-counter sliding window: the state is a window's number, what was spent in it, and what in the one before.

The estimate at `elapsed` nanoseconds into a window is `current + previous * (period - elapsed) / period`;
without a division, it is compared with the limit times the period. As with fixed windows, requests are refused until
the stored window has begun.
"""

from libc.stdint cimport uint64_t

from .atomics cimport u128
from .constants cimport NEVER
from .fixed_window cimport scaled_count
from .rule cimport Rule


cdef struct Sliding:
    uint64_t index
    uint64_t previous
    uint64_t current


cdef inline u128 sliding_pack(const Rule* rule, Sliding seen) noexcept nogil:
    return ((<u128>seen.index << rule.count_bits | seen.previous) << rule.count_bits) | seen.current


cdef inline Sliding sliding_unpack(const Rule* rule, u128 state) noexcept nogil:
    cdef uint64_t mask = (<uint64_t>1 << rule.count_bits) - 1
    cdef Sliding seen
    seen.index = <uint64_t>(state >> 2 * rule.count_bits)
    seen.previous = <uint64_t>(state >> rule.count_bits) & mask
    seen.current = <uint64_t>state & mask
    return seen


cdef inline Sliding sliding_roll(const Rule* rule, uint64_t index, Sliding seen) noexcept nogil:
    """Return the two counters as of window `index`, which is not before the stored one."""
    if index > seen.index:
        seen.previous = seen.current if index == seen.index + 1 else 0
        seen.current = 0
        seen.index = index
    return seen


cdef inline Sliding sliding_at(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    cdef Sliding seen = sliding_unpack(rule, state)
    if now - seen.index * rule.period < rule.period:
        return seen  # the window has not changed: the usual case, which needs no division
    return sliding_roll(rule, now // rule.period, seen)


cdef inline bint sliding_begun(const Rule* rule, uint64_t now, Sliding seen) noexcept nogil:
    return now >= seen.index * rule.period


cdef inline u128 sliding_weight(const Rule* rule, uint64_t now, Sliding seen) noexcept nogil:
    """Return the weight of the previous window, in units of 1/period of a request."""
    return <u128>seen.previous * ((seen.index + 1) * rule.period - now)


cdef inline bint sliding_admit(const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* after) noexcept nogil:
    cdef Sliding stored = sliding_unpack(rule, state)
    cdef Sliding seen = sliding_at(rule, now, state)
    if cost > rule.limit or not sliding_begun(rule, now, seen) or seen.current + cost > rule.limit:
        after[0] = state
        return rule.unlimited
    # An empty previous window saves three multiplications.
    if seen.previous and <u128>(rule.limit - seen.current - cost) * rule.period < sliding_weight(rule, now, seen):
        return False
    if seen.index == stored.index:
        after[0] = state + cost
    else:
        seen.current += cost
        after[0] = sliding_pack(rule, seen)
    return True


cdef inline uint64_t sliding_ready(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    cdef Sliding seen = sliding_at(rule, now, state)
    cdef uint64_t start = seen.index * rule.period
    cdef u128 unspent
    if cost > rule.limit:
        return NEVER
    while start < NEVER:  # at most three windows: in the third both counters are zero
        if seen.current + cost <= rule.limit:
            if seen.previous == 0:
                return max(now, start)
            # the previous window may still count for `unspent`
            unspent = <u128>(rule.limit - seen.current - cost) * rule.period // seen.previous
            if unspent >= rule.period:
                return max(now, start)
            if unspent > 0:
                return max(now, start + rule.period - <uint64_t>unspent)
        seen = sliding_roll(rule, seen.index + 1, seen)
        start += rule.period
    return NEVER


cdef inline u128 sliding_charge(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    cdef Sliding seen = sliding_at(rule, now, state)
    seen.current += min(cost, (<uint64_t>1 << rule.count_bits) - 1 - seen.current)
    return sliding_pack(rule, seen)


cdef inline u128 sliding_refund(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    """Give back to the current window first, and the rest to the one before."""
    cdef Sliding seen = sliding_at(rule, now, state)
    cdef uint64_t here = min(cost, seen.current)
    seen.current -= here
    seen.previous -= min(cost - here, seen.previous)
    return sliding_pack(rule, seen)


cdef inline u128 sliding_cancel(const Rule* rule, uint64_t now, uint64_t at, uint64_t cost, u128 state) noexcept nogil:
    """Give back to the window that was booked, while it is in view.

    When nothing is left of a window that has not begun, the one before it comes back. The count of the window before
    that is no longer known; the limit is assumed.
    """
    cdef Sliding seen = sliding_at(rule, now, state)
    cdef uint64_t booked = at // rule.period
    if booked == seen.index:
        seen.current -= min(cost, seen.current)
    elif booked + 1 == seen.index:
        seen.previous -= min(cost, seen.previous)
    if seen.current == 0 and seen.index * rule.period > now:
        seen.index -= 1
        seen.current = seen.previous
        seen.previous = rule.limit
    return sliding_pack(rule, seen)


cdef inline u128 sliding_scaled(const Rule* old, const Rule* new, u128 state) noexcept nogil:
    cdef Sliding seen = sliding_unpack(old, state)
    seen.previous = scaled_count(old, new, seen.previous)
    seen.current = scaled_count(old, new, seen.current)
    return sliding_pack(new, seen)


cdef inline uint64_t sliding_remaining(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    cdef Sliding seen = sliding_at(rule, now, state)
    cdef u128 room, weight
    if not sliding_begun(rule, now, seen) or seen.current > rule.limit:
        return 0
    room = <u128>(rule.limit - seen.current) * rule.period
    weight = sliding_weight(rule, now, seen)
    return <uint64_t>((room - weight) // rule.period) if room > weight else 0


cdef inline uint64_t sliding_fresh_at(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return when the key will be like one never seen."""
    cdef Sliding seen = sliding_at(rule, now, state)
    cdef uint64_t start = seen.index * rule.period
    if seen.current:
        return start + 2 * rule.period
    if seen.previous:
        return start + rule.period
    return max(now, start)
