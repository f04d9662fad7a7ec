"""How a table grows: which levels are open, where new keys go, and how the next level gets its memory.

A new key takes a slot close to its home in the level where searches begin, or in a higher one. If the highest is
crowded there, too, the next one is opened: its memory is reserved first, in steps of a megabyte, and then the header's
directory shows it. So no level is filled to its end, and a search for a key that is not there soon meets an unused
slot. Only where a table cannot grow, a new key searches all levels, and farther.

One new key in 64 begins at the lowest level, so that after a flood of keys the small levels hold the few that are
left. Where a search begins is a hint in the same word. It follows the level where most new keys find a slot.

While a table is in use, a level is never closed. So the open levels are to a search what its reach is: they may grow at
any time, and a thread that is stopped or killed here has changed nothing that others wait for.
"""

from libc.stdint cimport int64_t, uint64_t

from .atomics cimport count_add, count_load, count_raise, count_swap, u128
from .constants cimport SLOT_BYTES
from .layout cimport Table, first_of, level_of, slots_up_to


cdef extern from "_engine/pages.h" nogil:
    bint pages_reserve(void* start, size_t size)
    void pages_release(void* start, size_t size)

cdef enum:
    CLOSE = 4          # so many slots of a level that is not the highest are tried for a new key
    FAR = 64           # and so many of the highest, before the next one is opened
    NEAR = 16          # so many of a level that is not the highest, if no further one can be opened
    CROWDED = 32       # from here on memory for the next one is reserved
    STEP = 1 << 20     # bytes that are reserved at once
    RETRY_EVERY = 64   # attempts without memory, which is asked for again by one of them
    DRIFT = 64         # claims in higher or lower levels, less those at the level where a search begins, that move it
    DOWN_EVERY = 64    # new keys of which one begins at the lowest level, and counts for all of them if it ends below


cdef inline uint64_t visits_at_first(const Table* table, uint64_t number, uint64_t top) noexcept nogil:
    """Return how many slots of a level are tried for a new key, while `top` is the highest; in a small table, all."""
    cdef uint64_t window = level_of(table, number).window
    if number == top:
        return min(window, <uint64_t>FAR)
    return min(window, <uint64_t>CLOSE) if table.window < table.size else window


cdef inline uint64_t visits_at_last(const Table* table, uint64_t number, uint64_t top) noexcept nogil:
    """`visits_at_first`, for a table that cannot grow."""
    cdef uint64_t window = level_of(table, number).window
    return min(window, <uint64_t>NEAR) if number < top and table.window < table.size else window


cdef inline bint reserve_step(const Table* table, uint64_t end) noexcept nogil:
    """Reserve memory for the next slots, up to `end` at most. False: the kernel has no more."""
    cdef uint64_t reserved = count_load(&table.header.reserved), count
    if reserved >= end:
        return True
    if count_load(&table.header.starved) % RETRY_EVERY:
        count_add(&table.header.starved, 1)
        return False
    count = min(end - reserved, max(STEP // (SLOT_BYTES * (1 + table.capacity)), <uint64_t>1))
    if not pages_reserve(table.slots + reserved, count * SLOT_BYTES) or (
        table.rings != NULL
        and not pages_reserve(table.rings + reserved * table.capacity, count * table.capacity * SLOT_BYTES)
    ):
        count_add(&table.header.starved, 1)
        return False
    count_raise(&table.header.reserved, reserved + count)
    return True


cdef inline void prepare_next(const Table* table, uint64_t top) noexcept nogil:
    """Reserve a part of the next level's memory, so that it is there when it is needed."""
    if table.is_mapped and top + 1 < table.height:
        reserve_step(table, slots_up_to(table, top + 1))


cdef inline bint may_open(const Table* table, uint64_t top) noexcept nogil:
    """Return whether the level above `top` can be opened, as far as is known without asking for its memory."""
    if top + 1 >= table.height:
        return False
    return not table.is_mapped or (
        count_load(&table.header.reserved) >= slots_up_to(table, top + 1)
        or count_load(&table.header.starved) % RETRY_EVERY == 0
    )


cdef inline bint open_next(const Table* table, uint64_t top) noexcept nogil:
    """Open the level above `top`. False: it is the last, or has no memory."""
    cdef uint64_t directory
    if top + 1 >= table.height:
        return False
    while table.is_mapped and count_load(&table.header.reserved) < slots_up_to(table, top + 1):
        if not reserve_step(table, slots_up_to(table, top + 1)):
            return False
    while True:
        directory = count_load(&table.header.directory)
        if directory & 255 > top or count_swap(&table.header.directory, directory, directory + 1):
            return True


cdef inline uint64_t turn_of(uint64_t hashed, uint64_t now) noexcept nogil:
    """Return a number that differs between keys and between moments."""
    return (hashed >> 20) ^ (now >> 12)


cdef inline uint64_t claims_begin(const Table* table, uint64_t top, uint64_t hashed, uint64_t now) noexcept nogil:
    """Return the number of the level where a new key is put if it has room."""
    if turn_of(hashed, now) % DOWN_EVERY == 0:
        return 0
    return min(first_of(table, count_load(&table.header.directory)), top)


cdef inline void note_claim(const Table* table, uint64_t number, bint from_below) noexcept nogil:
    """Let searches begin where most new keys find a slot."""
    cdef uint64_t directory = count_load(&table.header.directory), first = first_of(table, directory)
    cdef int64_t drift = <int64_t>count_load(&table.header.drift)
    cdef int64_t step
    if number == first:
        step = -1 if drift > 0 else 1 if drift < 0 else 0
    else:
        step = 1 if number > first else -DOWN_EVERY if from_below else -1
    if step == 0:
        return
    count_add(&table.header.drift, <uint64_t>step)
    if drift < -DRIFT or drift > DRIFT:
        count_swap(&table.header.drift, <uint64_t>(drift + step), 0)
        if number != first:
            first = first + 1 if number > first else first - 1
            count_swap(&table.header.directory, directory, directory & 255 | first << 8)


cdef inline bint may_move(
    const Table* table, u128* slot, uint64_t hashed, uint64_t now, bint now_given
) noexcept nogil:
    """Return whether this decision is one of the few that move a key down if it is fresh: it is then put there as new.

    None does that for a moment that was given as `now`: another request may come with an earlier one, and would then be
    decided by the horizon.
    """
    return slot >= table.levels[1].slots and not now_given and turn_of(hashed, now) % DOWN_EVERY == 0
