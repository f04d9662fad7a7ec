"""What a limiter was told, in the integers that decisions are made of."""

from libc.stdint cimport uint64_t

from .atomics cimport u128

# Moments are nanoseconds since the Unix epoch below 2**62 (the year 2116); what lies later never comes.
cdef enum:
    MOMENT_BITS = 62
    STATE_BITS = 79  # of an 80-bit field; the top bit marks a slot that is being claimed

cdef extern from * nogil:
    """
    #define RATELIMIT_NEVER ((uint64_t)1 << 62)
    """
    const uint64_t NEVER "RATELIMIT_NEVER"

cdef enum Algorithm:
    TOKEN_BUCKET
    LEAKY_BUCKET
    FIXED_WINDOW
    FIRST_WINDOW  # a fixed window that starts at its key's first request
    SLIDING_WINDOW
    SLIDING_LOG

cdef struct Rule:
    uint64_t revision  # of the table's quota, see metadata.py; a quota for one call has none
    Algorithm algorithm
    uint64_t limit     # the most that can be spent at one moment: burst, capacity + 1, or the window's limit
    uint64_t period    # nanoseconds
    # GCRA alone. A tick is 1/unit of a nanosecond, chosen so that the interval is a whole number of them.
    uint64_t unit
    u128 interval      # ticks from one request to the next at the sustained rate
    u128 tolerance     # limit * interval: how far ahead of the clock a key may run
    # Windows alone.
    int count_bits     # width of a request count in the state
    uint64_t capacity  # the sliding log's cells per key; a quota for one call may have a lower limit
