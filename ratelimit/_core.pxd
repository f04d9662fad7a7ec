"""The limiter for other Cython packages: decisions without Python objects and without the GIL.

    from ratelimit._core cimport Limiter

    allowed = limiter.spend(limiter.hash_of(key), cost, limiter.read_clock())
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ._atomics cimport count_load
from ._clock cimport now_ns
from ._keys cimport hash_key
from ._rule cimport Rule
from ._table cimport DONE, FULL, Outcome, Request, Status, Table, Verb, take
from ._verdict cimport Verdict


cdef enum OnFull:
    DENY
    ALLOW
    RAISE


cdef class Terms:
    cdef Rule rule
    cdef readonly object sizes


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
    cdef bint full(self, object key) except -1
    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out)


cdef class Decision:
    cdef Verdict verdict
    cdef uint64_t more_after_
    cdef readonly object limiter


cdef class Reservation:
    cdef list places  # of (limiter, hash of the key, moment of the turn)
    cdef readonly bint allowed
    cdef readonly uint64_t cost
    cdef uint64_t began, delay_
    cdef uint64_t closed  # by the first of cancel and settle

    cdef int correct(self, Verb verb, uint64_t cost) except -1


cdef Reservation booking(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay)


cdef class Batch:
    cdef Limiter limiter
    cdef object hashes, costs, moments
    cdef Py_ssize_t size
    cdef bint now_given

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1


cdef uint64_t amount(object value, str name, uint64_t least=?) except? 0
cdef object integers(values, str name, Py_ssize_t size, least, most=?)
cdef object hashes_of(const uint64_t* seed, keys)
cdef char* address(object array) except NULL


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
