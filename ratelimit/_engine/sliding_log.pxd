"""The exact log: one moment for each of the last `capacity` requests, in a ring of cells beside the slot.

The state is the newest request: `stamp | number`. Before a newer one replaces it, the word of the slot is copied into
the ring (see `retire` in commit.pxd). So one compare-and-swap of the slot still commits a request, and a thread that
dies half-way leaves nothing undone. Numbers count 1, 2, ... up to three times the capacity and continue from the
capacity: below the capacity the ring is not yet full, and above it a cell's number distinguishes one lap from the
next. A stamp is the request's moment plus one; zero is a request that was given back. A request of cost c is c requests
of cost 1.

A cell has room above the state, where a slot has its tag: there it keeps the gap, how much later its request is than
the one it replaced. So when a booking is cancelled before its turn, the request that it replaced is known again.
"""

from libc.stdint cimport uint64_t

from .atomics cimport u128, word_load
from .constants cimport MOMENT_BITS, NEVER, STATE_BITS
from .rule cimport Rule

cdef enum:
    NUMBER_BITS = STATE_BITS - MOMENT_BITS
    GAP_BITS = 48


cdef inline u128 log_pack(uint64_t stamp, uint64_t number) noexcept nogil:
    return <u128>stamp << NUMBER_BITS | number


cdef inline uint64_t log_stamp(u128 word) noexcept nogil:
    return <uint64_t>(word >> NUMBER_BITS) & (NEVER - 1)


cdef inline uint64_t log_number(u128 word) noexcept nogil:
    return <uint64_t>word & ((<uint64_t>1 << NUMBER_BITS) - 1)


cdef inline uint64_t log_leaves(const Rule* rule, uint64_t stamp) noexcept nogil:
    """Return the moment from which a request no longer counts."""
    return min(stamp - 1 + rule.period, NEVER) if stamp else 0


cdef inline u128 log_append(const Rule* rule, uint64_t moment, u128 state) noexcept nogil:
    """Return the state with one more request, never before the newest, so that the log stays sorted."""
    cdef uint64_t number = log_number(state) + 1
    if number == 3 * rule.capacity:
        number = rule.capacity
    return log_pack(max(min(moment + 1, NEVER - 1), log_stamp(state)), number)


cdef inline u128* log_cell(const Rule* rule, uint64_t number, u128* ring) noexcept nogil:
    if number >= rule.capacity:
        number -= rule.capacity
    if number >= rule.capacity:
        number -= rule.capacity
    return ring + (number if number < rule.capacity else 0)  # only in a damaged file it is not


cdef inline int log_gap_shift(const Rule* rule) noexcept nogil:
    """Return the unit of a gap, as a shift, so that four periods fit: nanoseconds up to a period of 19 hours."""
    cdef int shift = 0
    while rule.period >> shift >> (GAP_BITS - 2):
        shift += 1
    return shift


cdef inline bint log_laps_apart(const Rule* rule, uint64_t a, uint64_t b) noexcept nogil:
    """Return whether two numbers of one cell belong to neighbouring laps; after two laps numbers repeat."""
    return a != b and a != b + 2 * rule.capacity and b != a + 2 * rule.capacity


cdef inline uint64_t log_stamp_of_cell(const Rule* rule, uint64_t number, u128 cell) noexcept nogil:
    """Return the stamp of the request with this number, from its cell; the next lap's is a cancelled booking."""
    cdef uint64_t stamp = log_stamp(cell)
    cdef uint64_t gap
    if not log_laps_apart(rule, number, log_number(cell)):
        return stamp
    gap = <uint64_t>(cell >> (STATE_BITS + 1)) << log_gap_shift(rule)
    return stamp - gap if stamp > gap else 0


cdef inline u128 log_retired(const Rule* rule, u128 state, u128 replaced) noexcept nogil:
    """Return the cell of a request that replaces another. The gap is rounded down, to the strict side."""
    cdef uint64_t stamp = log_stamp(state)
    cdef uint64_t before = 0
    if log_number(state) >= rule.capacity:
        before = min(log_stamp_of_cell(rule, log_number(state) - rule.capacity, replaced), stamp)
    return <u128>min((stamp - before) >> log_gap_shift(rule), (<uint64_t>1 << GAP_BITS) - 1) << (STATE_BITS + 1) | state


cdef inline u128 log_before(const Rule* rule, u128 state, u128 cell) noexcept nogil:
    """Return the state before the newest request was added, by the cell of the request before it.

    Where the first lap and a later one look alike, the later one is assumed: cells of both mean the same.
    """
    cdef uint64_t number = log_number(state)
    if number == rule.capacity:
        number = 3 * rule.capacity
    return log_pack(log_stamp_of_cell(rule, number - 1, cell), number - 1) if number > 1 else 0


cdef inline u128 log_restored(const Rule* rule, u128 state) noexcept nogil:
    """Restore a cell that was overwritten. The request that it replaced had left, a period before or earlier."""
    cdef uint64_t gap = min(rule.period >> log_gap_shift(rule), (<uint64_t>1 << GAP_BITS) - 1)
    return <u128>gap << (STATE_BITS + 1) | state


cdef inline uint64_t log_leaves_back(const Rule* rule, uint64_t back, u128 state, u128* ring) noexcept nogil:
    """Return when the request `back` before the newest no longer counts; zero if no such request exists."""
    cdef uint64_t number = log_number(state)
    if back == 0:
        return log_leaves(rule, log_stamp(state))
    if back >= number or back >= rule.capacity:
        return 0
    return log_leaves(rule, log_stamp_of_cell(rule, number - back, word_load(log_cell(rule, number - back, ring))))


cdef inline uint64_t log_ready(const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* ring) noexcept nogil:
    """Return when `cost` fits: once the request that is `limit - cost` before the newest no longer counts.

    Nor does a limit that counts as spent when the table was made, which no ring holds.
    """
    if cost > rule.limit:
        return NEVER
    now = max(now, log_leaves(rule, rule.born))
    if log_number(state) == 0:
        return max(now, log_stamp(state))  # see unknown() in algorithm.pxd
    return max(now, log_leaves_back(rule, rule.limit - cost, state, ring))


cdef inline bint log_admit(
    const Rule* rule, uint64_t now, uint64_t cost, u128 state, u128* ring, u128* after
) noexcept nogil:
    """Return whether all of `cost` fits; spends one of it."""
    if rule.unlimited:
        after[0] = state
        return True
    after[0] = log_append(rule, now, state)
    return log_ready(rule, now, cost, state, ring) <= now


cdef inline uint64_t log_remaining(const Rule* rule, uint64_t now, u128 state, u128* ring) noexcept nogil:
    """Return the largest cost that fits: the limit less how many still count.

    Those are the newest and usually few, so they are counted from the newest, in steps that double and then by
    bisection. Most of the cells that it reads are then ones that the decision has just read.
    """
    cdef uint64_t counting = 0, gone = 0, middle
    if log_leaves(rule, rule.born) > now:
        return 0
    if log_number(state) == 0:
        return rule.limit if log_stamp(state) <= now else 0
    while gone < rule.limit and log_leaves_back(rule, gone, state, ring) > now:
        counting = gone + 1
        gone = 2 * gone + 1
    gone = min(gone, rule.limit)
    while counting < gone:
        middle = counting + (gone - counting) // 2
        if log_leaves_back(rule, middle, state, ring) > now:
            counting = middle + 1
        else:
            gone = middle
    return rule.limit - counting


cdef inline uint64_t log_fresh_at(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    """Return when the key will be like one never seen."""
    now = max(now, log_leaves(rule, rule.born))
    return max(now, log_leaves_back(rule, 0, state, NULL) if log_number(state) else log_stamp(state))
