"""Fixed windows: the state is the last window that was spent in, and how much was spent.

Windows aligned to the epoch are numbered: `index | count`. Windows that start at a key's first request are identified
by their start: `start | count`. Windows of a calendar are numbered by it, and their starts are in the rule. If the
stored window has not begun (the clock reading is late, or the window was reserved), requests are refused until it
begins, because what was spent before it is no longer known.
"""

from libc.stdint cimport uint64_t

from .atomics cimport u128
from .constants cimport CALENDAR_WINDOW, FIRST_WINDOW, NEVER
from .rule cimport Rule


cdef inline uint64_t calendar_number(const Rule* rule, uint64_t now) noexcept nogil:
    """Return the number of the calendar's window at a moment: the last that has begun. A skipped day has no length."""
    cdef uint64_t low = 0, high = rule.windows, middle
    while high - low > 1:
        middle = (low + high) // 2
        if rule.starts[middle] <= now:
            low = middle
        else:
            high = middle
    return low


cdef inline uint64_t calendar_start(const Rule* rule, uint64_t number) noexcept nogil:
    return rule.starts[min(number, rule.windows)]


cdef inline u128 fixed_pack(const Rule* rule, uint64_t start, uint64_t count) noexcept nogil:
    cdef uint64_t window
    if rule.algorithm == FIRST_WINDOW:
        window = start
    elif rule.algorithm == CALENDAR_WINDOW:
        window = calendar_number(rule, start)
    else:
        window = start // rule.period
    return <u128>window << rule.count_bits | count


cdef inline uint64_t fixed_start(const Rule* rule, u128 state) noexcept nogil:
    cdef uint64_t window = <uint64_t>(state >> rule.count_bits)
    if rule.algorithm == CALENDAR_WINDOW:
        return calendar_start(rule, window)
    return window if rule.algorithm == FIRST_WINDOW else window * rule.period


cdef inline uint64_t fixed_end(const Rule* rule, u128 state) noexcept nogil:
    if rule.algorithm == CALENDAR_WINDOW:
        return calendar_start(rule, <uint64_t>(state >> rule.count_bits) + 1)
    return fixed_start(rule, state) + rule.period


cdef inline uint64_t fixed_count(const Rule* rule, u128 state) noexcept nogil:
    return <uint64_t>(state & (((<u128>1) << rule.count_bits) - 1))


cdef inline bint fixed_over(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return whether the stored window has ended, or nothing was ever spent."""
    return state == 0 or now >= fixed_end(rule, state)


cdef inline uint64_t window_start(const Rule* rule, uint64_t now) noexcept nogil:
    """Return the start of the window that a request at `now` opens."""
    if rule.algorithm == CALENDAR_WINDOW:
        return calendar_start(rule, calendar_number(rule, now))
    return now if rule.algorithm == FIRST_WINDOW else now - now % rule.period


cdef inline bint fixed_admit(const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* after) noexcept nogil:
    if cost > rule.limit:
        after[0] = state
        return rule.unlimited
    if fixed_over(rule, now, state):
        after[0] = fixed_pack(rule, window_start(rule, now), cost)
        return True
    after[0] = state + cost
    return now >= fixed_start(rule, state) and fixed_count(rule, state) + cost <= rule.limit


cdef inline uint64_t fixed_ready(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    cdef uint64_t start
    if cost > rule.limit:
        return NEVER
    if fixed_over(rule, now, state):
        return now
    start = fixed_start(rule, state)
    if fixed_count(rule, state) + cost > rule.limit:
        return min(fixed_end(rule, state), NEVER)
    return max(now, start)


cdef inline u128 fixed_charge(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    cdef uint64_t maximum = (<uint64_t>1 << rule.count_bits) - 1
    if fixed_over(rule, now, state):
        return fixed_pack(rule, window_start(rule, now), min(cost, maximum))
    return state + min(cost, maximum - fixed_count(rule, state))


cdef inline u128 fixed_refund(const Rule* rule, uint64_t now, uint64_t cost, u128 state) noexcept nogil:
    if fixed_over(rule, now, state):
        return state
    return state - min(cost, fixed_count(rule, state))


cdef inline u128 fixed_cancel(const Rule* rule, uint64_t now, uint64_t at, uint64_t cost, u128 state) noexcept nogil:
    """Give back to the window that was booked; once a later one is open, what was spent in it is no longer known.

    When nothing is left of a window that has not begun, the one before it comes back. That was full, or this one would
    not have been opened.
    """
    cdef uint64_t start = fixed_start(rule, state)
    if state == 0 or at < start or at >= fixed_end(rule, state):
        return state
    state = fixed_refund(rule, now, cost, state)
    if fixed_count(rule, state) == 0 and start > now:
        return fixed_pack(rule, start - (1 if rule.algorithm == CALENDAR_WINDOW else rule.period), rule.limit)
    return state


cdef inline uint64_t scaled_count(const Rule* old, const Rule* new, uint64_t count) noexcept nogil:
    """Return the same share of another limit, rounded up. Of a limit of zero there is no share: the count stays."""
    cdef u128 share = count
    cdef uint64_t maximum = (<uint64_t>1 << new.count_bits) - 1
    if old.limit and new.limit:
        share = (share * new.limit + old.limit - 1) // old.limit
    return <uint64_t>share if share < maximum else maximum


cdef inline u128 fixed_scaled(const Rule* old, const Rule* new, u128 state) noexcept nogil:
    cdef uint64_t count = fixed_count(old, state)
    return state - count + scaled_count(old, new, count)


cdef inline uint64_t fixed_remaining(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    if fixed_over(rule, now, state):
        return rule.limit
    if now < fixed_start(rule, state) or fixed_count(rule, state) >= rule.limit:
        return 0
    return rule.limit - fixed_count(rule, state)


cdef inline uint64_t fixed_fresh_at(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return when the key will be like one never seen."""
    if fixed_over(rule, now, state):
        return now
    if fixed_count(rule, state) == 0 and rule.algorithm != FIRST_WINDOW:
        return max(now, fixed_start(rule, state))
    return fixed_end(rule, state)
