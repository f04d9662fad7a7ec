"""A blocked key: its word holds the end of the block in the place of its state.

The word has the claim bit, so no search finds a key there and the usual path stays as it is. A state of 79 bits has no
room for the end of a block beside itself. A sliding log keeps its newest request in the ring meanwhile. Of the others
the word keeps how much was spent, in whole requests and rounded up:

    end (62 bits) | mode (2 bits) | count (15 bits)        sliding log: end (62 bits) | number of the newest (17 bits)

The state afterwards is that of a new key that spends the count.
"""

from libc.stdint cimport uint64_t

from .algorithm cimport charge, fresh_at, ready, unknown
from .atomics cimport u128, word_load
from .constants cimport CALENDAR_WINDOW, FIRST_WINDOW, FIXED_WINDOW, NEVER, SLIDING_LOG, SLIDING_WINDOW
from .fixed_window cimport fixed_count, fixed_over, fixed_pack, fixed_start
from .layout cimport EARLIEST_END, Level, Table, claim_bit, following, home, is_block, is_key, level_of, reach_of
from .layout cimport ring_of, slot_word, state_of, tag_of, tag_of_hash, top_of
from .rule cimport Rule
from .sliding_log cimport NUMBER_BITS, log_cell, log_number, log_pack, log_stamp_of_cell
from .sliding_window cimport Sliding, sliding_at, sliding_weight

cdef enum:
    REST_BITS = 17     # beside the end; as many as the number of a log's request has
    COUNT_BITS = 15
    EXACT_BITS = 14    # a count of more bits is rounded up to ten, with an exponent
    MANTISSA_BITS = 9
    ALL = (1 << COUNT_BITS) - 1  # more than any count

cdef enum Mode:
    SPENT   # the count is what will still be spent at the end
    FRESH   # at the end nothing will be; the count is what was spent when the block began
    BOOKED  # a window ahead is booked, so the key cannot be unblocked earlier


cdef inline uint64_t block_end(u128 block) noexcept nogil:
    return <uint64_t>(block >> REST_BITS)


cdef inline u128 block_pack(uint64_t end, Mode mode, uint64_t count) noexcept nogil:
    cdef uint64_t code = count
    cdef int exponent = 0
    if count >> EXACT_BITS:
        while count >> (MANTISSA_BITS + 1):
            count = (count + 1) >> 1
            exponent += 1
        code = (<uint64_t>1 << EXACT_BITS) | (exponent - 5) << MANTISSA_BITS | (count - (1 << MANTISSA_BITS))
        if exponent - 5 > 31:
            code = ALL
    return <u128>end << REST_BITS | <u128>mode << COUNT_BITS | code


cdef inline Mode block_mode(u128 block) noexcept nogil:
    return <Mode>(<uint64_t>(block >> COUNT_BITS) & 3)


cdef inline uint64_t block_count(u128 block) noexcept nogil:
    cdef uint64_t code = <uint64_t>block & ALL
    if not code >> EXACT_BITS:
        return code
    if code == ALL:
        return NEVER
    return (code & 511 | 512) << ((code >> MANTISSA_BITS & 31) + 5)


cdef inline uint64_t spent_at(const Rule* rule, uint64_t moment, u128 state) noexcept nogil:
    """Return what counts as spent at a moment, in whole requests, rounded up. (Not for a sliding log.)"""
    cdef Sliding seen
    cdef u128 clock, count
    if rule.algorithm in (FIXED_WINDOW, FIRST_WINDOW, CALENDAR_WINDOW):
        return 0 if fixed_over(rule, moment, state) else fixed_count(rule, state)
    if rule.algorithm == SLIDING_WINDOW:
        seen = sliding_at(rule, moment, state)
        if seen.index * rule.period > moment:
            return seen.current
        return seen.current + <uint64_t>((sliding_weight(rule, moment, seen) + rule.period - 1) // rule.period)
    clock = <u128>moment * rule.unit
    count = (state - clock + rule.interval - 1) // rule.interval if state > clock else 0
    return <uint64_t>count if count < NEVER else NEVER


cdef inline bint has_window_ahead(const Rule* rule, uint64_t now, u128 state) noexcept nogil:
    if rule.algorithm == SLIDING_WINDOW:
        return sliding_at(rule, now, state).index * rule.period > now
    if rule.algorithm in (FIXED_WINDOW, FIRST_WINDOW, CALENDAR_WINDOW):
        return state != 0 and fixed_start(rule, state) > now
    return False


cdef inline u128 blocked(const Rule* rule, uint64_t now, uint64_t end, u128 state, u128* ring) noexcept nogil:
    """Return the block of a key with this state. It ends when a request would be admitted anyway, if that is later."""
    cdef uint64_t due = ready(rule, now, 1, state, ring)
    cdef uint64_t count
    end = max(end, <uint64_t>EARLIEST_END)
    if due < NEVER:
        end = max(end, due)
    end = min(end, NEVER - 2)
    if rule.algorithm == SLIDING_LOG:
        return <u128>end << NUMBER_BITS | log_number(state)
    count = spent_at(rule, end, state)
    if has_window_ahead(rule, now, state):
        return block_pack(end, BOOKED, count)
    if count:
        return block_pack(end, SPENT, count)
    return block_pack(end, FRESH, spent_at(rule, now, state))


cdef inline u128 spent_since(const Rule* rule, uint64_t moment, uint64_t count) noexcept nogil:
    """Return the state of a key that is new at a moment and spends `count`; earlier readings are not forgiven it."""
    cdef u128 state = unknown(rule, 0, moment)
    if rule.algorithm == FIRST_WINDOW and count == 0:  # a full window that ends at that moment
        return fixed_pack(rule, moment - rule.period, rule.limit) if moment > rule.period else 0
    return charge(rule, moment, count, state) if count else state


cdef inline u128 after_block(const Rule* rule, u128 block, u128* ring) noexcept nogil:
    """Return the state at the end of the block."""
    cdef uint64_t number = log_number(block)
    if rule.algorithm == SLIDING_LOG:
        if number == 0:
            return 0
        return log_pack(log_stamp_of_cell(rule, number, word_load(log_cell(rule, number, ring))), number)
    return spent_since(rule, block_end(block), 0 if block_mode(block) == FRESH else block_count(block))


cdef inline u128 unblocked(const Rule* rule, uint64_t now, u128 block, u128* ring) noexcept nogil:
    """Return the state if the block is lifted now, which is no better than if the key had never been blocked."""
    cdef uint64_t end = block_end(block), count = block_count(block)
    cdef u128 back
    if now >= end or rule.algorithm == SLIDING_LOG or block_mode(block) == BOOKED:
        return after_block(rule, block, ring)
    if block_mode(block) == FRESH or rule.algorithm == FIRST_WINDOW:
        return spent_since(rule, now, count)
    if rule.algorithm == SLIDING_WINDOW:  # what the previous window would lose until the end still counts
        back = (<u128>max(count, rule.limit) * (end - now) + rule.period - 1) // rule.period + count
        return spent_since(rule, now, min(<uint64_t>min(back, NEVER), max(count, rule.limit)))
    return spent_since(rule, end, count)


cdef inline u128 recounted(const Rule* old, const Rule* new, u128 block) noexcept nogil:
    """Return the block with the same share of another limit."""
    cdef u128 count = (<u128>block_count(block) * new.limit + old.limit - 1) // max(old.limit, <uint64_t>1)
    return block_pack(block_end(block), block_mode(block), <uint64_t>min(count, NEVER))


# --- in a table


cdef inline u128* find_block(const Table* table, uint64_t hashed, u128* word) noexcept nogil:
    """Return the key's slot if it is blocked."""
    cdef uint64_t tag = tag_of_hash(hashed), left, number
    cdef const Level* level
    cdef u128* slot
    for number in range(top_of(table) + 1):
        level = level_of(table, number)
        slot = home(level, hashed)
        left = reach_of(level)
        while left:
            word[0] = word_load(slot)
            if is_block(word[0]) and tag_of(word[0]) == tag:
                return slot
            if word[0] == 0:
                break
            slot = following(level, slot)
            left -= 1
    return NULL


cdef inline u128 block_word(uint64_t tag, u128 block) noexcept nogil:
    return slot_word(tag, block | claim_bit())


cdef inline uint64_t slot_fresh_at(
    const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word
) noexcept nogil:
    """Return the first moment, from now on, at which the slot holds no live key."""
    cdef u128 block = state_of(word)
    if is_key(word):
        return fresh_at(rule, now, block)
    if not is_block(word):
        return now
    return fresh_at(rule, max(now, block_end(block)), after_block(rule, block, ring_of(table, rule, slot)))
