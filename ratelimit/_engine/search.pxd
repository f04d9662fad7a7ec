"""Finding a key's slot.

A search visits the open levels one after another. In each it runs from the key's home to the first slot that was never
used, and no further than the level's `reach`: the farthest that any key was ever put from its home, at most `window`
slots. A used slot never becomes "never used" again, the reach only grows, and no level is closed while the table is in
use, so a search never stops before its key. A key has one slot, so the order of the levels does not matter here.

Beyond home, a search asks about eight slots at once how many of them can be skipped, since a branch for each would
often be mispredicted. It visits slots one by one where fewer are left before the level's end. The words of a group are
loaded in any order and do not show one moment, but neither do words that are loaded one by one: a search only concludes
that a slot was another key's, or live, at some moment of the search. "Another key's" depends on the high half alone,
which is read whole everywhere. "Live" depends on both halves, and is only concluded where a word is read whole. So a
torn word never makes a search skip a slot, and a slot that is not skipped is loaded again as a word.
"""

from libc.stdint cimport uint64_t

from .atomics cimport count_load, prefetch, u128, word_load, words_above, words_passed
from .layout cimport (
    STATE_AND_CLAIM,
    Level,
    Table,
    first_of,
    following,
    holds,
    home,
    level_of,
    onward,
    reach_of,
    ring_of,
    tag_of_hash,
)
from .rule cimport Rule
from .sliding_log cimport log_cell, log_number

cdef enum:
    GROUP = 8  # slots that are examined together


cdef inline uint64_t slots_ahead(const Level* level, u128* slot) noexcept nogil:
    """Return the slots from here to the level's end."""
    return <uint64_t>(level.slots + level.size - slot)


cdef inline uint64_t skip_others(
    const Level* level, u128* slot, uint64_t left, int shift, uint64_t top
) noexcept nogil:
    """Return how many slots from here on are used and have other bits than `top` from `shift` up.

    It is at most `left`, and may be too few: where the level's end is near, none.
    """
    cdef uint64_t skipped = 0, ahead = slots_ahead(level, slot), passed = GROUP
    while passed == GROUP and skipped < left and ahead - skipped >= GROUP:
        passed = words_passed(slot + skipped, shift, top)
        skipped += passed
    return min(skipped, left)


cdef inline uint64_t skip_live(const Level* level, u128* slot, uint64_t left, uint64_t tag, u128 floor) noexcept nogil:
    """Return how many slots from here on, in groups, hold other keys, each with a state above `floor`."""
    cdef uint64_t skipped = 0, end = min(left, slots_ahead(level, slot)) // GROUP * GROUP
    while skipped < end and words_above(slot + skipped, STATE_AND_CLAIM, tag, floor):
        skipped += GROUP
    return skipped


cdef inline u128* find_in(const Level* level, uint64_t hashed, u128* word) noexcept nogil:
    """Return the key's slot in this level and the word it held. NULL: each slot was another key's when visited."""
    cdef uint64_t tag = tag_of_hash(hashed), left = reach_of(level), skipped
    cdef u128* slot = home(level, hashed)
    while left:
        word[0] = word_load(slot)
        if holds(word[0], tag):
            return slot
        if word[0] == 0:
            return NULL
        slot = following(level, slot)
        left -= 1
        skipped = skip_others(level, slot, left, STATE_AND_CLAIM - 1, tag << 1)
        slot = onward(level, slot, skipped)
        left -= skipped
    return NULL


cdef inline u128* find_elsewhere(
    const Table* table, uint64_t directory, uint64_t first, uint64_t hashed, u128* word
) noexcept nogil:
    """Return the key's slot in any open level but the first."""
    cdef uint64_t number = min(directory & 255, table.height - 1) + 1
    cdef u128* slot
    while number:
        number -= 1
        if number != first:
            slot = find_in(level_of(table, number), hashed, word)
            if slot != NULL:
                return slot
    return NULL


cdef inline u128* find(const Table* table, uint64_t hashed, u128* word) noexcept nogil:
    """Return the key's slot and the word it held. NULL: each slot was another key's when it was visited."""
    cdef uint64_t directory = count_load(&table.header.directory)
    cdef uint64_t first = first_of(table, directory)
    cdef u128* slot = find_in(level_of(table, first), hashed, word)
    if slot == NULL and directory & 255:
        slot = find_elsewhere(table, directory, first, hashed, word)
    return slot


cdef inline void fetch(const Table* table, uint64_t hashed) noexcept nogil:
    """Prefetch the home of a key that is about to be decided."""
    prefetch(home(level_of(table, first_of(table, count_load(&table.header.directory))), hashed))


cdef inline void fetch_ring(const Table* table, const Rule* rule, uint64_t hashed) noexcept nogil:
    """Prefetch the cell that a key's next request will replace in its sliding log, once its slot has been fetched."""
    cdef u128 word = 0
    cdef u128* slot = find(table, hashed, &word)
    if slot != NULL:
        prefetch(log_cell(rule, log_number(word), ring_of(table, rule, slot)))
