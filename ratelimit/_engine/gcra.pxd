"""Token bucket and leaky bucket as GCRA (ITU-T I.371): the whole state is one moment.

The theoretical arrival time (TAT) is the moment at which the bucket would be full again if no more requests came. A
request of cost c moves it c intervals further, and conforms if it is then within the tolerance of the clock. Times
here are in ticks; a nanosecond is `unit` ticks, so that no interval is rounded down.
"""

from libc.stdint cimport uint64_t

from .atomics cimport u128
from .constants cimport LEAKY_BUCKET, NEVER, STATE_BITS
from .rule cimport Rule


cdef inline uint64_t to_ns(const Rule* rule, u128 ticks) noexcept nogil:
    """Return the first whole nanosecond that is not before `ticks`."""
    if rule.unit > 1:
        ticks = (ticks + rule.unit - 1) // rule.unit
    return <uint64_t>ticks if ticks < NEVER else NEVER


cdef inline u128 later(u128 a, u128 b) noexcept nogil:
    return a if a > b else b


cdef inline bint gcra_admit(const Rule* rule, uint64_t now, uint64_t cost, u128 tat, u128* after) noexcept nogil:
    cdef u128 clock = <u128>now * rule.unit
    if cost > rule.limit:
        after[0] = tat
        return rule.unlimited
    after[0] = later(tat, clock) + cost * rule.interval
    return after[0] - clock <= rule.tolerance


cdef inline uint64_t gcra_ready(const Rule* rule, uint64_t now, uint64_t cost, u128 tat) noexcept nogil:
    cdef u128 due
    if cost > rule.limit:
        return NEVER
    due = tat + cost * rule.interval
    due = to_ns(rule, due - rule.tolerance) if due > rule.tolerance else 0
    return <uint64_t>later(now, due)


cdef inline uint64_t gcra_turn(const Rule* rule, uint64_t now, u128 tat) noexcept nogil:
    """Return when a request that queues now leaves a leaky bucket: after all requests that queued before it."""
    return <uint64_t>later(now, to_ns(rule, tat))


cdef inline u128 gcra_charge(const Rule* rule, uint64_t now, uint64_t cost, u128 tat) noexcept nogil:
    """Spend `cost` whether it conforms or not; a debt that no state can hold is truncated at the end of time."""
    cdef u128 maximum = ((<u128>1) << STATE_BITS) - 1
    cdef u128 start = later(tat, <u128>now * rule.unit)
    if cost > (maximum - start) // rule.interval:
        return maximum
    return start + cost * rule.interval


cdef inline u128 gcra_refund(const Rule* rule, uint64_t now, uint64_t cost, u128 tat) noexcept nogil:
    cdef u128 clock = <u128>now * rule.unit
    if tat <= clock:
        return tat
    if cost > (tat - clock) // rule.interval:
        return clock
    return tat - cost * rule.interval


cdef inline u128 gcra_cancel(const Rule* rule, uint64_t now, uint64_t cost, u128 booked, u128 tat) noexcept nogil:
    """Take back `cost` of a booking that left the state `booked`, but no more than it still takes from other requests.

    A key that never had the booking would be ahead of this one by `cost` intervals at first, and by no more than
    `booked` is ahead of the clock: time works the rest off. Later bookings for future moments keep their moments, which
    depend on this booking, so as much stays spent. In a leaky bucket turns follow one another: a turn that is not the
    last cannot be given to a newcomer.
    """
    cdef u128 clock = <u128>now * rule.unit
    cdef u128 maximum = ((<u128>1) << STATE_BITS) - 1
    cdef u128 left = booked - clock if booked > clock else 0
    cdef u128 bookings = later(booked, clock + rule.tolerance)  # later states come from bookings ahead
    cdef u128 built
    if tat <= clock or tat == maximum or (rule.algorithm == LEAKY_BUCKET and tat != booked):
        return tat  # a debt that was truncated may be larger than it looks
    built = tat - bookings if tat > bookings else 0
    if cost <= left // rule.interval:
        left = cost * rule.interval
    left = left - built if left > built else 0
    return tat - left if left < tat - clock else clock


cdef inline u128 proportion(u128 amount, u128 part, u128 whole) noexcept nogil:
    """amount * part / whole, rounded up, and at most what a state can hold."""
    cdef u128 maximum = ((<u128>1) << STATE_BITS) - 1
    cdef u128 times
    while (part | whole) >> 64:  # the last bits do not matter, but the product must fit
        part = (part + 1) >> 1
        whole = whole >> 1
    whole = later(whole, 1)
    times = amount // whole
    if times > maximum // later(part, 1):
        return maximum
    times = times * part + (amount % whole * part + whole - 1) // whole
    return times if times < maximum else maximum


cdef inline u128 gcra_carried(
    const Rule* old, const Rule* new, uint64_t now, bint scale, u128 tat
) noexcept nogil:
    cdef u128 clock = <u128>now * old.unit
    cdef u128 maximum = ((<u128>1) << STATE_BITS) - 1
    cdef u128 debt
    if tat <= clock:
        return tat
    if scale and old.tolerance and new.tolerance:
        debt = proportion(tat - clock, new.tolerance, old.tolerance)
    else:
        debt = proportion(tat - clock, new.interval, old.interval)
    return clock + debt if debt < maximum - clock else maximum


cdef inline uint64_t gcra_remaining(const Rule* rule, uint64_t now, u128 tat) noexcept nogil:
    cdef u128 clock = <u128>now * rule.unit
    cdef u128 ahead = tat - clock if tat > clock else 0
    if ahead >= rule.tolerance:
        return 0
    return <uint64_t>((rule.tolerance - ahead) // rule.interval)
