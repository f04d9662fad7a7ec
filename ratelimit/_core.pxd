"""The limiter for other Cython packages: decisions without Python objects and without the GIL.

    from ratelimit._core cimport Limiter

    allowed = limiter.spend(limiter.hash_of(key), cost, limiter.read_clock())
"""

from libc.stdint cimport int64_t, uint64_t

from ._limiter.arguments cimport address, amount, hashes_of, integers
from ._engine.atomics cimport count_load
from ._engine.clock cimport now_ns
from ._limiter.decision cimport Decision
from ._engine.hashing cimport hash_key
from ._limiter.reservation cimport booking
from ._engine.rule cimport Rule
from ._engine.table cimport DONE, FULL, Outcome, Request, Status, Table, take
from ._limiter.compiled_rule cimport Terms


cdef enum OnFull:
    DENY
    ALLOW
    RAISE


cdef class Limiter:
    cdef Table slots
    cdef const Rule* rule    # that of the newest of `terms`
    cdef OnFull when_full
    cdef int64_t anchor      # the own clock is monotonic time plus this
    cdef object read         # the given clock's now_ns, or None for the own one
    cdef object words        # the array that owns the memory of the table
    cdef object label
    cdef object terms        # all that ever held: other threads may still decide by them
    cdef dict overrides      # quota -> Terms
    cdef readonly object where, clock, on_full
    cdef object __weakref__

    cdef uint64_t read_clock(self) except? 0
    cdef uint64_t hash_of(self, object key) except? 0
    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil
    cdef int attach(self, object wanted) except -1
    cdef int agree(self, object wanted) except -1
    cdef int adopt(self, object sizes, object counts) except -1
    cdef int refresh(self) except -1
    cdef object held(self)
    cdef Terms newest(self)
    cdef Terms terms_for(self, object quota)
    cdef int start(self, Request* request, object now) except -1
    cdef bint full(self, object key, str number=*) except -1
    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out)


cdef inline bint is_stale(Limiter limiter) noexcept nogil:
    """Whether the table's quota was changed since the limiter looked."""
    return limiter.rule.revision != count_load(&limiter.slots.header.revision)


cdef inline bint allow(Limiter limiter, object key) except -1:
    """`limiter.allow`, which each algorithm has of its own: CPython calls a method fastest on its exact class."""
    cdef Status status
    cdef uint64_t now
    cdef uint64_t hashed = hash_key(limiter.slots.seed, key)
    if is_stale(limiter):
        limiter.refresh()
    now = now_ns(&limiter.slots.header.clock, limiter.anchor) if limiter.read is None else limiter.read_clock()
    status = take(&limiter.slots, limiter.rule, hashed, now, False, 1)
    if status == FULL:
        return limiter.full(key)
    return status == DONE
