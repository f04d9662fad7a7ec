"""A limiter's attachment to its table: the mapped memory, the rule in force, and the clock."""

from libc.stdint cimport int64_t, uint64_t

from .._engine.atomics cimport count_load
from .._engine.layout cimport Header, Table
from .._engine.request cimport Outcome, Request, Verb
from .._engine.rule cimport Rule
from .compiled_rule cimport CompiledRule
from .decision cimport Decision
from .limited cimport Limited


cdef enum WhenFull:
    DENY
    ALLOW
    RAISE


cdef class Attachment(Limited):
    cdef Table attached
    cdef Header found        # the header as it was before this limiter attached
    cdef const Rule* rule    # that of the current one of `rules`
    cdef WhenFull when_full
    cdef bint quick_hash     # whether str and bytes keep the hash that is used, see keys.pxd
    cdef int64_t anchor      # the own clock is monotonic time plus this
    cdef object read         # the given clock's now_ns, or None for the own clock
    cdef object memory       # the array that owns the bytes of the table
    cdef object metadata
    cdef object rules        # all that were ever in force: other threads may still decide by them
    cdef dict overrides      # quota -> CompiledRule
    cdef readonly object table, clock, on_full
    cdef object __weakref__

    cdef uint64_t read_clock(self) except? 0
    cdef uint64_t hash_of(self, object key) except? 0
    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil

    cdef int attach(self, object wanted) except -1
    cdef uint64_t birth_of_table(self) except? 0
    cdef int attach_clock(self, uint64_t session) except -1
    cdef int refresh(self) except -1
    cdef CompiledRule current(self)
    cdef CompiledRule rule_for(self, object quota)
    cdef int reconcile_quota(self, object wanted) except -1
    cdef int change_quota(self, object parameters, object counts) except -1
    cdef bint put_in_force(self, CompiledRule old, object parameters, object counts) except -1
    cdef uint64_t propose(self, uint64_t before, object parameters, uint64_t now, object counts) except? 0
    cdef bint write_entry(self, uint64_t revision, list values) except -1
    cdef int forget_keys(self) except -1
    cdef int hold(self, object key, Verb verb, uint64_t length, object quota) except -1
    cdef int prepare(self, Request* request, object now) except -1
    cdef bint allows_when_full(self, object key, str index=*) except -1
    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out, object quota)


cdef inline bint is_stale(Attachment limiter) noexcept nogil:
    """Return whether the table's quota has changed since the limiter last read it."""
    return limiter.rule.revision != count_load(&limiter.attached.header.revision)


cdef tuple parameters_in_force(object memory, object metadata)
