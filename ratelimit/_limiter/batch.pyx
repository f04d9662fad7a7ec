"""A batch of requests, decided in order without the GIL."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from .._engine.algorithm cimport admit
from .._engine.arrays cimport Row, data_of, row_of
from .._engine.atomics cimport count_add, count_load, u128, word_cas
from .._engine.constants cimport NEVER, SLIDING_LOG
from .._engine.growth cimport may_move
from .._engine.layout cimport Level, Table, first_of, level_of, slot_word, state_of, tag_of_hash
from .._engine.locate cimport BLOCK, fetch_near, locate
from .._engine.request cimport DONE, FULL, HIT, Outcome, Request, Status
from .._engine.rule cimport Rule
from .._engine.search cimport fetch, fetch_ring, find, find_in
from .._engine.table cimport perform, spend
from .._engine.verdict cimport Verdict, fill_verdict
from .arguments cimport checked_integers, hashes_of
from .attachment cimport ALLOW, RAISE, Attachment, WhenFull, is_stale

cdef enum:
    AHEAD = 16  # decisions between prefetching a slot and using it


@cython.final
cdef class Batch:
    """The arguments of a batch, checked before the first decision."""

    def __cinit__(self, Attachment limiter, keys, costs, now):
        self.limiter = limiter
        hashes = hashes_of(&limiter.attached.seed[0], limiter.quick_hash, keys)
        self.size = len(hashes)
        costs = checked_integers(1 if costs is None else costs, "costs", self.size, 1)
        self.now_given = now is not None
        moments = checked_integers(limiter.read_clock() if now is None else now, "now", self.size, 0, NEVER - 2)
        self.arrays = hashes, costs, moments
        self.hashes = <const uint64_t*>data_of(hashes)
        self.costs, self.moments = row_of(costs), row_of(moments)

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1:
        """Decide one after another, into one of the two arrays."""
        cdef Attachment limiter = self.limiter
        cdef const Rule* rule
        cdef Py_ssize_t decided
        if is_stale(limiter):
            limiter.refresh()
        rule = limiter.rule
        with nogil:
            if verdicts == NULL and rule.algorithm != SLIDING_LOG:
                decided = self.allow_each(rule, allowed)
            else:
                decided = self.hit_each(rule, allowed, verdicts)
        if decided < self.size:
            limiter.allows_when_full(None, str(decided))
        return 0

    # Both return the number of requests that were decided: fewer than all if one found no slot and on_full is "raise".

    cdef Py_ssize_t hit_each(self, const Rule* rule, uint8_t* allowed, Verdict* verdicts) noexcept nogil:
        cdef const uint64_t* hashes = self.hashes
        cdef Row costs = self.costs, moments = self.moments
        cdef const Table* table = &self.limiter.attached
        cdef WhenFull when_full = self.limiter.when_full
        cdef Request request
        cdef Outcome out
        cdef Status status
        cdef Py_ssize_t i, size = self.size
        request.verb = HIT
        request.now_given = self.now_given
        for i in range(min(AHEAD, size)):
            fetch(table, hashes[i])
        for i in range(size):
            if i + AHEAD < size:
                fetch(table, hashes[i + AHEAD])
            if table.rings != NULL and i + AHEAD // 2 < size:
                fetch_ring(table, rule, hashes[i + AHEAD // 2])
            request.cost = costs.first[i * costs.step]
            request.now = moments.first[i * moments.step]
            status = perform(table, rule, &request, hashes[i], &out)
            if verdicts != NULL:
                fill_verdict(rule, &request, &out, when_full == ALLOW, verdicts + i)
            else:
                allowed[i] = status == DONE or (status == FULL and when_full == ALLOW)
            if status == FULL and when_full == RAISE:
                return i
        return size

    cdef Py_ssize_t allow_each(self, const Rule* shared, uint8_t* allowed) noexcept nogil:
        """`hit_each` if only the status matters, for algorithms without a ring: `take` in a loop.

        Other threads cannot change a copy, so it is not read again after each write. A directory that is older than the
        table only makes a key be found later.
        """
        cdef const uint64_t* hashes = self.hashes
        cdef Row costs = self.costs, moments = self.moments
        cdef const Table* table = &self.limiter.attached
        cdef WhenFull when_full = self.limiter.when_full
        cdef Rule rule = shared[0]
        cdef uint64_t directory = count_load(&table.header.directory), first = first_of(table, directory)
        cdef Level near = level_of(table, first)[0]
        cdef const Level* place
        cdef const Level* places[BLOCK]
        cdef bint now_given = self.now_given, grown = directory & 255 != 0
        cdef u128 word = 0, after = 0
        cdef u128* slot
        cdef uint64_t now, cost
        cdef Status status
        cdef Py_ssize_t i, size = self.size
        for i in range(-BLOCK, size):
            if i + BLOCK < size:
                fetch_near(&near, hashes[i + BLOCK])
            if i < 0:
                continue
            if grown and i % BLOCK == 0:
                locate(table, directory, hashes + i, <int>min(<Py_ssize_t>BLOCK, size - i), places)
            place = places[i % BLOCK] if grown else &near
            slot = find_in(place, hashes[i], &word) if place != NULL else NULL
            if slot == NULL:
                slot = find(table, hashes[i], &word)
            now, cost = moments.first[i * moments.step], costs.first[i * costs.step]
            if slot != NULL and not may_move(table, slot, hashes[i], now, now_given):
                if not admit(&rule, now, cost, state_of(word), NULL, &after):
                    allowed[i] = False
                    continue
                if word_cas(slot, &word, slot_word(tag_of_hash(hashes[i]), after)):
                    allowed[i] = True
                    continue
                count_add(&table.header.collisions, 1)
            status = spend(table, shared, hashes[i], now, now_given, cost, slot == NULL)
            allowed[i] = status == DONE or (status == FULL and when_full == ALLOW)
            if status == FULL and when_full == RAISE:
                return i
        return size
