"""A quota, in the integers that decisions are computed from."""

from libc.stdint cimport uint64_t

from .atomics cimport u128
from .constants cimport Algorithm


cdef struct Rule:
    uint64_t revision  # of the table's quota, see metadata.py; a quota for one call has revision 0
    Algorithm algorithm
    uint64_t limit     # the most that can be spent at one moment: burst, capacity + 1, or the window's limit
    bint unlimited     # everything is admitted, and nothing spent. `limit` is 0, so that `admit` asks only then
    uint64_t period    # nanoseconds
    # GCRA only. A tick is 1/unit of a nanosecond; the unit makes the interval a whole number of ticks.
    uint64_t unit
    u128 interval      # ticks from one request to the next at the sustained rate
    u128 tolerance     # limit * interval: how far ahead of the clock a key may run
    # Windows only.
    int count_bits     # width of a request count in the state
    const uint64_t* starts  # a calendar's: when each of its windows begins, by their number; the last is NEVER
    uint64_t windows        # how many, without the last
    uint64_t capacity  # the sliding log's cells per key; a quota for one call may have a lower limit
    uint64_t born      # when the table was made, plus one nanosecond, if it started spent; otherwise 0. See `missing`
