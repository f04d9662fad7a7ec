"""The memory of a table that a limiter attaches to."""

from libc.errno cimport ENOSPC
from libc.stdint cimport uint8_t, uint64_t

from .._engine.atomics cimport count_load, count_raise
from .._engine.clock cimport is_settled
from .._engine.constants cimport PAGE_BYTES, SLOT_BYTES
from .._engine.growth cimport pages_reserve
from .._engine.layout cimport Table, distrust_header, open_slots


cdef inline int ensure_memory(const Table* table, object storage) except -1:
    """Make sure that the slots in use have memory, which some lack in a sparse copy, and that the header shows them.

    After a power cut, and in a copy, slots may be in use that an older header does not show.

    Raises:
        OSError: the kernel has no memory for them.
    """
    cdef uint64_t used = max(min(count_load(&table.header.reserved), table.size), open_slots(table))
    cdef uint64_t slots_end = PAGE_BYTES + table.size * <uint64_t>SLOT_BYTES
    cdef bint is_old = not is_settled(&table.header.clock, storage.session)
    if is_old:
        used = max(used, <uint64_t>storage.data_before(slots_end, PAGE_BYTES) // SLOT_BYTES)
    reserve(table, storage, PAGE_BYTES, used * SLOT_BYTES)
    reserve(table, storage, slots_end, used * SLOT_BYTES * table.capacity)
    if is_old:
        distrust_header(table, used)
    count_raise(&table.header.reserved, max(used, open_slots(table)))
    return 0


cdef inline int reserve(const Table* table, object storage, uint64_t start, uint64_t size) except -1:
    """Reserve memory for a part of a mapped file, unless it has data there."""
    if size and storage.is_mapped and not storage.has_data(start, start + size) and not pages_reserve(
        <uint8_t*>table.slots - PAGE_BYTES + start, size
    ):
        raise storage.no_room(OSError(ENOSPC, "no space left"), size)
    return 0
