"""Moving the live keys of a table into as few levels as hold them, while no other thread or process uses it.

A slot does not show its key's hash, but only where in the level the key's home may be: there, or up to the level's
reach before. In a smaller level that part is a few slots. A key is put at or behind the last of them, and what is
unused from the first of them on is marked as used, so that a search from each of them finds the key.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .atomics cimport count_load, count_raise, count_swap, u128
from .claim cimport is_vacant
from .constants cimport LEVELS
from .growth cimport NEAR
from .layout cimport (
    Level,
    Table,
    free_word,
    home,
    is_claim,
    level_of,
    onward,
    reach_of,
    slots_up_to,
    tag_of,
    top_of,
)
from .rule cimport Rule


cdef inline uint64_t vacate(const Table* table, const Rule* rule, uint64_t now, const Level* level) noexcept nogil:
    """Free the slots of keys that are like new and of unfinished claims; return how many keys are live."""
    cdef uint64_t live = 0, i
    cdef u128* slot
    for i in range(level.size):
        slot = level.slots + i
        if slot[0] == 0:
            continue
        if is_claim(slot[0]) or is_vacant(table, rule, now, slot, slot[0]):
            slot[0] = free_word()
        else:
            live += 1
    return live


cdef inline void sweep(const Level* level) noexcept nogil:
    """Make free slots unused, except for those that lie between a key and a slot that may be its home."""
    cdef uint64_t i = 2 * level.size, needed = 0  # two laps: a search continues at the level's start
    cdef u128* slot
    while i:
        i -= 1
        slot = level.slots + i % level.size
        if tag_of(slot[0]) > 1:
            needed = max(reach_of(level), <uint64_t>1)
        if needed:
            needed -= 1
        elif i < level.size:
            slot[0] = 0


cdef inline uint64_t first_hash(uint64_t number, uint64_t size) noexcept nogil:
    """Return the smallest hash whose home in a level of this size is the slot of this number."""
    return <uint64_t>(((<u128>number << 64) + size - 1) // size)


cdef inline bint put(
    const Table* table, const Level* source, uint64_t number, const Level* target, uint64_t visits
) noexcept nogil:
    """Move a key to another level. False: no slot there is near enough to each one that may be its home."""
    cdef u128* slot = source.slots + number
    cdef uint64_t reach = max(reach_of(source), <uint64_t>1), visited = 0, span
    cdef u128* first = home(target, first_hash((number + source.size - reach + 1) % source.size, source.size))
    cdef u128* place = first
    span = <uint64_t>(home(target, first_hash(number + 1, source.size) - 1) - target.slots) + target.size
    span = (span - <uint64_t>(first - target.slots)) % target.size
    visits = min(visits + span, target.window)
    if 2 * reach > source.size or span >= visits:
        return False
    while visited < span or tag_of(place[0]) > 1:
        visited += 1
        if visited == visits or tag_of(place[0]) == tag_of(slot[0]):
            return False
        place = onward(target, place, 1)
    while first != place:
        if first[0] == 0:
            first[0] = free_word()
        first = onward(target, first, 1)
    if table.rings != NULL:
        memcpy(
            table.rings + (place - table.slots) * table.capacity,
            table.rings + (slot - table.slots) * table.capacity,
            table.capacity * sizeof(u128),
        )
    place[0] = slot[0]
    slot[0] = free_word()
    count_raise(target.reach, visited + 1)
    return True


cdef inline uint64_t empty(const Table* table, uint64_t number, uint64_t top, uint64_t* live) noexcept nogil:
    """Move the keys of a level to those up to `top`; return how many have no place there."""
    cdef const Level* source = level_of(table, number)
    cdef uint64_t i, lower
    for i in range(source.size):
        if tag_of(source.slots[i]) <= 1:
            continue
        for lower in range(top + 1):
            if put(table, source, i, level_of(table, lower), NEAR if lower < top else table.window):
                live[number] -= 1
                live[lower] += 1
                break
    return live[number]


cdef inline void compact(const Table* table, const Rule* rule, uint64_t now) noexcept nogil:
    """Close each level whose live keys have room below. No key's answer changes; the caller releases the memory."""
    cdef uint64_t number, top = top_of(table), wanted = 0, keys = 0, first = 0
    cdef uint64_t[LEVELS] live
    count_raise(&table.header.horizon, now)
    for number in range(top + 1):
        live[number] = vacate(table, rule, now, level_of(table, number))
        sweep(level_of(table, number))
        keys += live[number]
    while wanted < top and 2 * slots_up_to(table, wanted) < 3 * keys:
        wanted += 1
    while top > wanted and empty(table, top, wanted, live) == 0:
        count_swap(level_of(table, top).reach, count_load(level_of(table, top).reach), 0)
        top -= 1
    for number in range(top + 1):
        if live[number] > live[first]:
            first = number
    count_swap(&table.header.directory, count_load(&table.header.directory), top | first << 8)
    count_swap(&table.header.drift, count_load(&table.header.drift), 0)
    count_swap(&table.header.reserved, count_load(&table.header.reserved), slots_up_to(table, top))
