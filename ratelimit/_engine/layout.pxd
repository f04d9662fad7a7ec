"""A key table in memory: an array of 128-bit slots, and a header that all its users share.

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
from .constants cimport NEVER
from .rule cimport Rule


cdef struct Header:
    Clock clock
    uint64_t horizon     # nanoseconds; see claim.pxd
    uint64_t revision    # of the quota in force, see metadata.py
    uint64_t reach       # slots that a search has to visit, see search.pxd
    uint64_t blocks      # keys that were ever blocked; the counters below are written often, on their own cache line
    uint64_t tickets     # claims so far: makes each claim's word different from all before
    uint64_t full        # decisions that found no slot
    uint64_t collisions  # compare-and-swaps that failed because another thread changed the slot
    uint64_t changes     # attempts to change the quota, see attachment.pyx
    uint64_t declarations  # quotas that were declared, see metadata.py

cdef struct Table:
    uint64_t seed[2]  # of the hash
    Header* header
    u128* slots
    u128* rings      # the sliding log's, `capacity` words a slot; otherwise NULL
    uint64_t size    # slots
    uint64_t window  # slots that a search may visit
    bint own_clock   # whether the library's clock decides: monotonic time plus `anchor`
    int64_t anchor

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


cdef inline u128* home(const Table* table, uint64_t hashed) noexcept nogil:
    return table.slots + <uint64_t>((<u128>hashed * table.size) >> 64)


cdef inline u128* onward(const Table* table, u128* slot, uint64_t count) noexcept nogil:
    """Return the slot `count` slots further, at most one past the last, which is the first again."""
    slot += count
    return table.slots if slot == table.slots + table.size else slot


cdef inline u128* following(const Table* table, u128* slot) noexcept nogil:
    return onward(table, slot, 1)


cdef inline u128* ring_of(const Table* table, const Rule* rule, u128* slot) noexcept nogil:
    return table.rings + (slot - table.slots) * rule.capacity if table.rings != NULL and slot != NULL else NULL


cdef inline uint64_t visits_to(const Table* table, uint64_t hashed, u128* slot) noexcept nogil:
    """Return how many slots a search visits to reach this one."""
    cdef u128* start = home(table, hashed)
    return (slot - start if slot >= start else slot + table.size - start) + 1


cdef inline uint64_t reach_of(const Table* table) noexcept nogil:
    return min(count_load(&table.header.reach), table.window)


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


cdef inline void distrust_header(const Table* table) noexcept nogil:
    """Repair what may be wrong in a header that is older than the slots, as after a power cut or in a copy.

    Searches go as far as any search may, and no ticket is like that of a claim that was never finished.
    """
    count_raise(&table.header.reach, table.window)
    count_raise(&table.header.blocks, 1)
    count_add(&table.header.tickets, <uint64_t>1 << 32)
