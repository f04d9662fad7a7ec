"""The table and its algorithms as plain C functions, for stress.c and search.c: no Python is in the process."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ratelimit._engine.algorithm cimport charge, remaining
from ratelimit._engine.atomics cimport count_load, u128
from ratelimit._engine.claim cimport claim, first_free_at
from ratelimit._engine.constants cimport SLIDING_LOG, Algorithm
from ratelimit._engine.layout cimport Header, Table, lay_out, top_of
from ratelimit._engine.request cimport DONE, Outcome, Request, Verb
from ratelimit._engine.rule cimport Rule
from ratelimit._engine.search cimport find
from ratelimit._engine.table cimport forget, forget_all, look, perform, take


cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t alignment, size_t size)


cdef struct Limiter:
    Table table
    Rule rule
    Header header


cdef void* zeroed(size_t size) noexcept nogil:
    cdef void* memory = aligned_alloc(64, (size + 63) // 64 * 64)
    memset(memory, 0, (size + 63) // 64 * 64)
    return memory


cdef public void* core_new(
    int algorithm, uint64_t limit, uint64_t period, uint64_t slots, uint64_t base
) noexcept nogil:
    """Make a limiter with a table of so many slots, of which the lowest level has `base`."""
    cdef Limiter* limiter = <Limiter*>zeroed(sizeof(Limiter))
    limiter.rule.algorithm = <Algorithm>algorithm
    limiter.rule.limit = limit
    limiter.rule.period = period
    limiter.rule.unit = 1
    limiter.rule.interval = period // limit
    limiter.rule.tolerance = limit * limiter.rule.interval
    limiter.rule.count_bits = 14
    limiter.rule.capacity = limit if algorithm == SLIDING_LOG else 0
    cdef u128* memory = <u128*>zeroed(slots * (1 + limiter.rule.capacity) * sizeof(u128))
    lay_out(&limiter.table, &limiter.header, memory, slots, base, slots, limiter.rule.capacity)
    return limiter


cdef public void core_delete(void* handle) noexcept nogil:
    cdef Limiter* limiter = <Limiter*>handle
    free(limiter.table.slots)
    free(limiter)


cdef public bint core_take(void* handle, uint64_t hashed, uint64_t now) noexcept nogil:
    cdef Limiter* limiter = <Limiter*>handle
    return take(&limiter.table, &limiter.rule, hashed, now, True, 1, True) == DONE


cdef public int core_perform(
    void* handle, int verb, uint64_t hashed, uint64_t cost, uint64_t now, uint64_t at, int given, uint64_t* decided
) noexcept nogil:
    """Return the status of a request; `decided` is the time that it was decided for."""
    cdef Limiter* limiter = <Limiter*>handle
    cdef Request request
    cdef Outcome out
    request.verb = <Verb>verb
    request.now_given = given
    request.now = now
    request.cost = cost
    request.patience = 0
    request.at = at
    out.now = now
    cdef int status = perform(&limiter.table, &limiter.rule, &request, hashed, &out)
    decided[0] = out.now
    return status


cdef public uint64_t core_remaining(void* handle, uint64_t hashed, uint64_t now) noexcept nogil:
    cdef Limiter* limiter = <Limiter*>handle
    cdef Request request
    cdef Outcome out
    request.now_given = True
    request.now = now
    request.cost = 1
    look(&limiter.table, &limiter.rule, &request, hashed, &out)
    return remaining(&limiter.rule, out.now, out.after, out.ring)


cdef public void core_reset(void* handle, uint64_t hashed) noexcept nogil:
    forget(&(<Limiter*>handle).table, hashed)


cdef public void core_clear(void* handle) noexcept nogil:
    forget_all(&(<Limiter*>handle).table)


cdef public uint64_t core_collisions(void* handle) noexcept nogil:
    return count_load(&(<Limiter*>handle).header.collisions)


cdef public uint64_t core_levels(void* handle) noexcept nogil:
    """Return how many levels are open."""
    return top_of(&(<Limiter*>handle).table) + 1


# --- for search.c: the steps of a decision, one by one


cdef public void* core_searched(
    int algorithm,
    uint64_t limit,
    uint64_t period,
    uint64_t unit,
    uint64_t slots,
    uint64_t window,
    uint64_t reach,
    uint64_t beyond,
) noexcept nogil:
    """Make a limiter whose memory has some slots `beyond` the table's end."""
    cdef Limiter* limiter = <Limiter*>core_new(algorithm, limit, period, slots + beyond, slots + beyond)
    limiter.rule.unit = unit
    limiter.rule.interval *= unit
    limiter.rule.tolerance *= unit
    cdef u128* rings = limiter.table.rings  # behind what is beyond
    lay_out(&limiter.table, &limiter.header, limiter.table.slots, slots, slots, window, limiter.rule.capacity)
    limiter.table.rings = rings
    limiter.header.reaches[0] = reach
    return limiter


cdef public void* core_slots(void* handle) noexcept nogil:
    return (<Limiter*>handle).table.slots


cdef public void core_spent(void* handle, uint64_t at, uint64_t cost, uint64_t* low, uint64_t* high) noexcept nogil:
    """Compute the two halves of the state of a key that spent `cost`."""
    cdef u128 state = charge(&(<Limiter*>handle).rule, at, cost, 0)
    low[0] = <uint64_t>state
    high[0] = <uint64_t>(state >> 64)


cdef public long core_find(void* handle, uint64_t hashed) noexcept nogil:
    """Return the number of the slot, or -1."""
    cdef Limiter* limiter = <Limiter*>handle
    cdef u128 word = 0
    cdef u128* slot = find(&limiter.table, hashed, &word)
    return -1 if slot == NULL else slot - limiter.table.slots


cdef public long core_claim(void* handle, uint64_t hashed, uint64_t now) noexcept nogil:
    cdef Limiter* limiter = <Limiter*>handle
    cdef u128 word = 0
    cdef bint evicted_claim = False
    cdef u128* slot = claim(&limiter.table, &limiter.rule, now, hashed, &evicted_claim, &word)
    return -1 if slot == NULL else slot - limiter.table.slots


cdef public uint64_t core_first_free_at(void* handle, uint64_t hashed, uint64_t now) noexcept nogil:
    cdef Limiter* limiter = <Limiter*>handle
    return first_free_at(&limiter.table, &limiter.rule, now, hashed)
