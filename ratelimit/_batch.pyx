"""A batch of requests, decided in order without the GIL."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from ._arguments cimport hashes_of, integers
from ._core cimport ALLOW, RAISE, Limiter, is_stale
from ._rule cimport NEVER, Rule
from ._table cimport DONE, FULL, HIT, Outcome, Request, Status, fetch, fetch_ring, perform, take
from ._verdict cimport Verdict, pronounce

cdef enum:
    AHEAD = 16  # decisions between asking for a slot's cache line and using it


@cython.final
cdef class Batch:
    """The arguments of a batch, checked before the first decision."""

    def __cinit__(self, Limiter limiter, keys, costs, now):
        self.limiter = limiter
        self.hashes = hashes_of(&limiter.slots.seed[0], keys)
        self.size = len(self.hashes)
        self.costs = integers(1 if costs is None else costs, "costs", self.size, 1)
        self.now_given = now is not None
        self.moments = integers(limiter.read_clock() if now is None else now, "now", self.size, 0, NEVER - 2)

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1:
        cdef Limiter limiter = self.limiter
        cdef const uint64_t[::1] hashes = self.hashes
        cdef const uint64_t[:] costs = self.costs, moments = self.moments
        cdef Request request
        cdef Outcome out
        cdef Status status
        cdef Py_ssize_t i, size = self.size
        cdef bint full = False
        request.verb = HIT
        request.now_given = self.now_given
        cdef const Rule* rule
        if is_stale(limiter):
            limiter.refresh()
        rule = limiter.rule
        with nogil:
            for i in range(min(AHEAD, size)):
                fetch(&limiter.slots, hashes[i])
            for i in range(size):
                if i + AHEAD < size:
                    fetch(&limiter.slots, hashes[i + AHEAD])
                if limiter.slots.rings != NULL and i + AHEAD // 2 < size:
                    fetch_ring(&limiter.slots, rule, hashes[i + AHEAD // 2])
                if verdicts != NULL:
                    request.cost = costs[i]
                    request.now = moments[i]
                    status = perform(&limiter.slots, rule, &request, hashes[i], &out)
                    pronounce(rule, &request, &out, limiter.when_full == ALLOW, verdicts + i)
                else:
                    status = take(&limiter.slots, rule, hashes[i], moments[i], self.now_given, costs[i])
                    allowed[i] = status == DONE or (status == FULL and limiter.when_full == ALLOW)
                if status == FULL and limiter.when_full == RAISE:
                    full = True
                    break
        if full:
            limiter.full(f"number {i} of the batch; those before it are decided")
        return 0
