from enum import IntEnum

NS_PER_SECOND: int
MOMENT_BITS: int
STATE_BITS: int
LARGEST_UNIT: int
LOG_CAPACITY: int
LAYOUT: int
PAGE_BYTES: int
HEADER_OFFSET: int
SLOT_BYTES: int
LEVELS: int

class Algorithm(IntEnum):
    """The number of each algorithm, as stored in a table."""

    TOKEN_BUCKET = 0
    LEAKY_BUCKET = 1
    FIXED_WINDOW = 2
    FIRST_WINDOW = 3
    SLIDING_WINDOW = 4
    SLIDING_LOG = 5
    CALENDAR_WINDOW = 6
