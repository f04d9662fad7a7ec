"""The numbers that the engine and Python share, each defined here alone. Python imports them from this module."""

from libc.stdint cimport uint64_t

cpdef enum:
    NS_PER_SECOND = 1_000_000_000
    MOMENT_BITS = 62  # moments are nanoseconds since the Unix epoch, before the year 2116; see NEVER
    STATE_BITS = 79   # of an 80-bit field; the top bit marks a slot that is being claimed
    LARGEST_UNIT = 1 << (STATE_BITS - MOMENT_BITS - 1)     # ticks in a nanosecond: a state holds moment plus tolerance
    LOG_CAPACITY = (1 << (STATE_BITS - MOMENT_BITS)) // 3  # requests of a key that a sliding log can keep

    LAYOUT = 4  # of what follows; tables of different layouts in shared memory have different names
    # A table's memory: a page with metadata and header, the slots, and for a sliding log the rings.
    PAGE_BYTES = 4096
    HEADER_OFFSET = 2048
    SLOT_BYTES = 16
    LEVELS = 38  # more than a table can have, see layout.pxd

cpdef enum Algorithm:
    TOKEN_BUCKET
    LEAKY_BUCKET
    FIXED_WINDOW
    FIRST_WINDOW  # a fixed window that starts at its key's first request
    SLIDING_WINDOW
    SLIDING_LOG
    CALENDAR_WINDOW  # a fixed window that is a day, week, month or year of a time zone

# The end of time. An event that would come later never comes. (In Python: 1 << MOMENT_BITS.)
cdef extern from * nogil:
    """
    #define RATELIMIT_NEVER ((uint64_t)1 << 62)
    """
    const uint64_t NEVER "RATELIMIT_NEVER"
