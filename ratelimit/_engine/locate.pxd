"""Where the keys of a batch are: a hint for each, found while the slots of the others come from memory.

In a table that has grown, a key may be in any open level, and most of its slots are in no cache. One key after another
would wait for each level in turn, and prefetching all levels would bring eight lines where two or three are enough.
"""

from libc.stdint cimport uint64_t

from .atomics cimport prefetch, u128, word_load
from .constants cimport LEVELS
from .layout cimport Level, Table, first_of, holds, home, level_of, tag_of_hash
from .search cimport GROUP, slots_ahead

cdef enum:
    BLOCK = 32  # keys that are looked for together


cdef inline void fetch_near(const Level* level, uint64_t hashed) noexcept nogil:
    """Prefetch the lines of the key's home and of four slots further."""
    cdef u128* slot = home(level, hashed)
    prefetch(slot)
    prefetch(slot + 4)


cdef inline bint is_near(const Level* level, uint64_t hashed) noexcept nogil:
    """Return whether the key is in this level, and not far from its home."""
    cdef u128* slot = home(level, hashed)
    cdef uint64_t tag = tag_of_hash(hashed), left = min(slots_ahead(level, slot), <uint64_t>GROUP)
    cdef u128 word = 1
    while left and word != 0:
        word = word_load(slot)
        if holds(word, tag):
            return True
        slot += 1
        left -= 1
    return False


cdef inline int look_in(
    const Level* level, const Level* further, const uint64_t* hashes, int* missing, int count, const Level** places
) noexcept nogil:
    """Set the place of the missing keys that are near their homes in this level; return how many are still missing.

    Their slots in the level that is searched next are prefetched.
    """
    cdef int i, key, left = 0
    for i in range(count):
        key = missing[i]
        if is_near(level, hashes[key]):
            places[key] = level
            continue
        if further != NULL:
            fetch_near(further, hashes[key])
        missing[left] = key
        left += 1
    return left


cdef inline void locate(
    const Table* table, uint64_t directory, const uint64_t* hashes, int count, const Level** places
) noexcept nogil:
    """Set in which level each of some keys probably is, at most BLOCK of them. NULL: probably in none.

    Each level is searched for all keys that are not in those before it. So the slots of one key come from memory while
    others are looked at. Those in the level where searches begin have been prefetched by the caller.
    """
    cdef uint64_t first = first_of(table, directory), number = min(directory & 255, table.height - 1) + 1
    cdef const Level* order[LEVELS + 1]
    cdef int[BLOCK] missing
    cdef int i, step = 1
    order[0] = level_of(table, first)
    while number:
        number -= 1
        if number != first:
            order[step] = level_of(table, number)
            step += 1
    order[step] = NULL
    for i in range(count):
        missing[i] = i
        places[i] = NULL
    step = 0
    while count and order[step] != NULL:
        count = look_in(order[step], order[step + 1], hashes, &missing[0], count, places)
        step += 1
