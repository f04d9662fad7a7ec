"""A key table in memory: an array of 128-bit slots, and a header that all its users share.

The array is divided into levels: the lowest has a fixed number of slots, and each further one as many as all below it.
A table begins with the lowest level and opens the others as it fills (growth.pxd). Each level is searched on its own.

A slot is `tag (48 bits) | claim (1 bit) | state (79 bits)`. Tag 0 marks a slot that was never used, tag 1 a slot that
is free again. Any other tag is the low end of a key's hash; the high end selects the key's home, the slot at which a
search for it starts. A slot changes only by a compare-and-swap of the whole word, so that no reader sees one key with
another key's state.

Nothing trusts the memory further than a word: whatever the bytes of a table are, no search leaves it and no loop
waits for another thread.
"""

from libc.stdint cimport int64_t, uint64_t

from .atomics cimport count_add, count_load, count_raise, count_swap, u128
from .clock cimport Clock, peek_ns
from .constants cimport LEVELS, NEVER
from .rule cimport Rule


cdef struct Header:
    Clock clock
    uint64_t horizon     # nanoseconds; see claim.pxd
    uint64_t revision    # of the quota in force, see metadata.py
    uint64_t directory   # the highest open level (8 bits), and where a search begins (8 bits); see growth.pxd
    uint64_t blocks      # keys that were ever blocked
    uint64_t[LEVELS] reaches  # slots of each level that a search has to visit, see search.pxd
    uint64_t tickets     # claims so far: makes each claim's word different from all before; from here on, written often
    uint64_t full        # decisions that found no slot
    uint64_t collisions  # compare-and-swaps that failed because another thread changed the slot
    uint64_t changes     # attempts to change the quota, see attachment.pyx
    uint64_t declarations  # quotas that were declared, see metadata.py
    uint64_t reserved    # slots that have their memory
    uint64_t starved     # attempts to grow that found no memory
    uint64_t drift       # of claims away from the level where searches begin, see growth.pxd

cdef struct Level:
    u128* slots
    uint64_t size     # slots
    uint64_t window   # slots that a search may visit
    uint64_t* reach

cdef struct Table:
    uint64_t seed[2]  # of the hash
    Header* header
    u128* slots
    u128* rings      # the sliding log's, `capacity` words a slot; otherwise NULL
    uint64_t size    # slots of all levels
    uint64_t window  # slots of a level that a search may visit; a search of a small table may visit them all
    uint64_t capacity
    uint64_t height  # levels at most
    Level[LEVELS] levels
    bint own_clock   # whether the library's clock decides: monotonic time plus `anchor`
    int64_t anchor
    bint is_mapped   # whether memory has to be reserved before it is used: a file's, which has none for its holes

cdef enum:
    STATE_AND_CLAIM = 80         # bits
    TICKET_BITS = 45             # of a claim; a word with the claim bit and more is a blocked key, see block.pxd
    EARLIEST_END = 1 << 28       # of a block, in nanoseconds, so that it has more bits than a ticket
    CLOCK_TOLERANCE = 10_000     # nanoseconds, by which the clocks of two threads never differ


# --- the word of a slot


cdef inline u128 claim_bit() noexcept nogil:
    return <u128>1 << (STATE_AND_CLAIM - 1)


cdef inline u128 state_of(u128 word) noexcept nogil:
    return word & (claim_bit() - 1)


cdef inline uint64_t tag_of(u128 word) noexcept nogil:
    return <uint64_t>(word >> STATE_AND_CLAIM)


cdef inline uint64_t tag_of_hash(uint64_t hashed) noexcept nogil:
    cdef uint64_t tag = hashed & ((<uint64_t>1 << 48) - 1)
    return tag if tag > 1 else tag + 2


cdef inline u128 slot_word(uint64_t tag, u128 state) noexcept nogil:
    return <u128>tag << STATE_AND_CLAIM | state


cdef inline u128 storable(u128 state) noexcept nogil:
    """Return the state, or the strictest one that a slot can hold: no arithmetic on a state may reach the tag."""
    return state if state < claim_bit() else claim_bit() - 1


cdef inline u128 free_word() noexcept nogil:
    return slot_word(1, 0)


cdef inline bint holds(u128 word, uint64_t tag) noexcept nogil:
    """Return whether the slot is this key's and no longer being claimed."""
    return <uint64_t>(word >> (STATE_AND_CLAIM - 1)) == tag << 1


cdef inline bint is_claim(u128 word) noexcept nogil:
    return word & claim_bit() != 0 and state_of(word) >> TICKET_BITS == 0


cdef inline bint is_block(u128 word) noexcept nogil:
    """Return whether the slot is a key's that is blocked."""
    return word & claim_bit() != 0 and state_of(word) >> TICKET_BITS != 0


cdef inline bint is_key(u128 word) noexcept nogil:
    """Return whether the slot is a key's that is not blocked."""
    return tag_of(word) > 1 and word & claim_bit() == 0


# --- the place of a slot


cdef inline uint64_t level_end(uint64_t base, uint64_t size, int number) noexcept nogil:
    """Return the slots up to the end of a level. A small rest belongs to the level before it."""
    cdef u128 end = <u128>base << number
    return size if end + end // 4 >= size else <uint64_t>end


cdef inline void lay_out(
    Table* table, Header* header, u128* slots, uint64_t size, uint64_t base, uint64_t window, uint64_t capacity
) noexcept nogil:
    """Set where all of a table's parts are. `base` is the size of its lowest level."""
    cdef uint64_t start = 0, end
    cdef Level* level
    table.header = header
    table.slots = slots
    table.rings = slots + size if capacity else NULL
    table.size = size
    table.window = window
    table.capacity = capacity
    table.height = 0
    while table.height == 0 or (start < size and table.height < LEVELS - 1):
        end = level_end(base, size, table.height)
        level = &table.levels[table.height]
        level.slots = slots + start
        level.size = end - start
        level.window = min(window, level.size)
        level.reach = &header.reaches[table.height]
        table.height += 1
        start = end
    table.levels[table.height].slots = slots + start  # where another level would begin


cdef inline uint64_t top_of(const Table* table) noexcept nogil:
    """Return the number of the highest open level. It only grows while the table is in use (see compaction.pxd)."""
    return min(count_load(&table.header.directory) & 255, table.height - 1)


cdef inline uint64_t first_of(const Table* table, uint64_t directory) noexcept nogil:
    """Return the number of the level where a search begins: a hint that decides only how long it takes."""
    return min(min(directory >> 8 & 255, directory & 255), table.height - 1)


cdef inline const Level* level_of(const Table* table, uint64_t number) noexcept nogil:
    return &table.levels[number]


cdef inline uint64_t slots_up_to(const Table* table, uint64_t number) noexcept nogil:
    """Return the slots of a level and of all below it."""
    return table.levels[number].slots + table.levels[number].size - table.slots


cdef inline uint64_t open_slots(const Table* table) noexcept nogil:
    return slots_up_to(table, top_of(table))


cdef inline u128* home(const Level* level, uint64_t hashed) noexcept nogil:
    return level.slots + <uint64_t>((<u128>hashed * level.size) >> 64)


cdef inline u128* onward(const Level* level, u128* slot, uint64_t count) noexcept nogil:
    """Return the slot `count` slots further, at most one past the last, which is the first again."""
    slot += count
    return level.slots if slot == level.slots + level.size else slot


cdef inline u128* following(const Level* level, u128* slot) noexcept nogil:
    return onward(level, slot, 1)


cdef inline u128* ring_of(const Table* table, const Rule* rule, u128* slot) noexcept nogil:
    return table.rings + (slot - table.slots) * rule.capacity if table.rings != NULL and slot != NULL else NULL


cdef inline uint64_t reach_of(const Level* level) noexcept nogil:
    return min(count_load(level.reach), level.window)


# --- the clock as a bound


cdef inline uint64_t evictable_at(const Table* table, uint64_t now) noexcept nogil:
    """Return the moment at which a key must be fresh to lose its slot: `now`, but not before the clock reaches it.

    Otherwise one request with a `now` in the future would raise the horizon to there.
    """
    return min(now, peek_ns(table.anchor)) if table.own_clock else now


cdef inline uint64_t horizon_of(const Table* table, uint64_t now) noexcept nogil:
    """Return the horizon. One that is ahead of the clock is damaged, and is lowered to the clock.

    That is exact: no horizon was ever ahead of the clock when it was raised. A clock that was given as clock= is not
    known here; its horizon is only kept below the end of time.
    """
    cdef uint64_t horizon = count_load(&table.header.horizon)
    cdef uint64_t bound
    if horizon <= now:
        return horizon
    bound = peek_ns(table.anchor) + CLOCK_TOLERANCE if table.own_clock else NEVER - 2
    if horizon > bound:
        count_swap(&table.header.horizon, horizon, bound)
    return min(horizon, bound)


cdef inline void distrust_header(const Table* table, uint64_t slots) noexcept nogil:
    """Repair what may be wrong in a header that is older than the slots, as after a power cut or in a copy.

    Levels are open as far as slots have memory, searches go as far as any search may, and no ticket is like that of a
    claim that was never finished.
    """
    cdef uint64_t number = 0, directory = count_load(&table.header.directory)
    while number + 1 < table.height and slots_up_to(table, number) < slots:
        number += 1
    if number > top_of(table):
        count_swap(&table.header.directory, directory, number | directory & ~<uint64_t>255)
    for number in range(top_of(table) + 1):
        count_raise(&table.header.reaches[number], table.levels[number].window)
    count_raise(&table.header.blocks, 1)
    count_add(&table.header.tickets, <uint64_t>1 << 32)
