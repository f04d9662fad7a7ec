"""Finding a key's slot.

A search visits the open levels one after another. In each it runs from the key's home to the first slot that was never
used, and no further than the level's `reach`: the farthest that any key was ever put from its home, at most `window`
slots. A used slot never becomes "never used" again, the reach only grows, and no level is closed, so a search never
stops before its key. A key has one slot, so the order of the levels does not matter here.

A full table makes searches long. After the first eight slots a search therefore asks about eight at once whether all
can be skipped, and visits them one by one if not, if fewer are left, or at the table's end. The words of a group are
loaded in any order and do not show one moment, but neither do words that are loaded one by one: a search only concludes
that a slot was another key's, or live, at some moment of the search. "Another key's" depends on the high half alone,
which is read whole everywhere. "Live" depends on both halves, and is only concluded where a word is read whole. So a
torn word never makes a search skip a slot, and a slot that is not skipped is loaded again as a word.
"""

from libc.stdint cimport uint64_t

from .atomics cimport count_load, prefetch, u128, word_among, word_load, words_above, words_pass
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
    CACHED = 1 << 16  # slots, a megabyte: in larger levels each further cache line is a cache miss, so visit few


cdef inline uint64_t whole_groups(const Level* level, u128* slot, uint64_t left) noexcept nogil:
    """Return the slots in whole groups from here on, before the search's end and the level's."""
    return min(left, <uint64_t>(level.slots + level.size - slot)) // GROUP * GROUP


cdef inline uint64_t skip_others(const Level* level, u128* slot, uint64_t left, uint64_t tag) noexcept nogil:
    """Return how many slots from here on, in groups, are used and do not hold the key."""
    cdef uint64_t skipped = 0, end = whole_groups(level, slot, left)
    while skipped < end and words_pass(slot + skipped, STATE_AND_CLAIM - 1, tag << 1):
        skipped += GROUP
    return skipped


cdef inline uint64_t skip_live(const Level* level, u128* slot, uint64_t left, uint64_t tag, u128 floor) noexcept nogil:
    """Return how many slots from here on, in groups, hold other keys, each with a state above `floor`."""
    cdef uint64_t skipped = 0, end = whole_groups(level, slot, left)
    while skipped < end and words_above(slot + skipped, STATE_AND_CLAIM, tag, floor):
        skipped += GROUP
    return skipped


cdef inline u128* find_in(const Level* level, uint64_t hashed, u128* word) noexcept nogil:
    """Return the key's slot in this level and the word it held. NULL: each slot was another key's when visited."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot = home(level, hashed)
    cdef uint64_t left = reach_of(level), some, skipped
    while left:
        some = min(left, <uint64_t>GROUP)
        left -= some
        while some:
            word[0] = word_load(slot)
            if holds(word[0], tag):
                return slot
            if word[0] == 0:
                return NULL
            slot = following(level, slot)
            some -= 1
        skipped = skip_others(level, slot, left, tag)
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


cdef inline const Level* first_level(const Table* table) noexcept nogil:
    return level_of(table, first_of(table, count_load(&table.header.directory)))


cdef inline u128* find_near(const Table* table, uint64_t hashed, u128* word) noexcept nogil:
    """`find` for a batch: eight slots at once beyond home, since a branch for each would often be mispredicted.

    NULL proves nothing: the key may be farther from home, in another level, or the level's end too near to look.
    """
    cdef const Level* level = first_level(table)
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot = home(level, hashed)
    cdef int at, _group
    word[0] = word_load(slot)
    if holds(word[0], tag):
        return slot
    if level.slots + level.size - slot <= 2 * GROUP:
        return NULL
    slot += 1
    for _group in range(2):
        at = word_among(slot, STATE_AND_CLAIM - 1, tag << 1)
        slot += at
        if at < GROUP:
            word[0] = word_load(slot)
            return slot if holds(word[0], tag) else NULL
    return NULL


cdef inline bint is_cached(const Table* table) noexcept nogil:
    """Return whether the level where searches begin is smaller than the caches."""
    return first_level(table).size <= CACHED


cdef inline void fetch(const Table* table, uint64_t hashed) noexcept nogil:
    """Prefetch the home of a key that is about to be decided."""
    prefetch(home(first_level(table), hashed))


cdef inline void fetch_ring(const Table* table, const Rule* rule, uint64_t hashed) noexcept nogil:
    """Prefetch the cell that a key's next request will replace in its sliding log, once its slot has been fetched."""
    cdef u128 word = 0
    cdef u128* slot = find(table, hashed, &word)
    if slot != NULL:
        prefetch(log_cell(rule, log_number(word), ring_of(table, rule, slot)))
