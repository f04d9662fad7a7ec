"""One request on several tables: carried out on all of them, or on none. In C; see composite.pyx."""

from libc.stdint cimport uint64_t

from .._engine.algorithm cimport turn
from .._engine.atomics cimport count_add
from .._engine.constants cimport LEAKY_BUCKET, NEVER
from .._engine.layout cimport Table
from .._engine.request cimport CANCEL, DONE, FULL, REFUSED, Outcome, Request
from .._engine.rule cimport Rule
from .._engine.table cimport look, perform
from .._engine.verdict cimport Verdict, fill_verdict, wait_ns
from .attachment cimport ALLOW, WhenFull

cdef enum:
    MAX_PARTS = 16


cdef struct Part:
    const Table* table
    const Rule* rule
    WhenFull when_full
    uint64_t hashed
    Request request  # by this limiter's clock: tables that were made at other times may have other anchors
    Outcome out


cdef inline bint refuses(const Part* part) noexcept nogil:
    return part.out.status == REFUSED or (part.out.status == FULL and part.when_full != ALLOW)


cdef inline uint64_t wait_of(const Part* part) noexcept nogil:
    return wait_ns(part.out.now, part.out.at)


cdef inline uint64_t share(const Part* parts, int size, int of) noexcept nogil:
    """Return the cost for a limiter in all its parts; one that occurs twice with the same key is spent from twice."""
    cdef uint64_t cost = 0
    cdef int k
    for k in range(size):
        if parts[k].hashed == parts[of].hashed and parts[k].table.seed[1] == parts[of].table.seed[1]:
            cost += min(parts[k].request.cost, NEVER // MAX_PARTS)
    return cost


cdef inline int look_all(Part* parts, int size) noexcept nogil:
    """Return the part that refuses longest, or -1 if all admit. `at` of each outcome is when it is ready.

    The cost of the part that refuses becomes its whole share, so that its verdict is about that.
    """
    cdef uint64_t cost, whole = 0
    cdef int longest = -1, i
    for i in range(size):
        cost = parts[i].request.cost
        parts[i].request.cost = share(parts, size, i)
        look(parts[i].table, parts[i].rule, &parts[i].request, parts[i].hashed, &parts[i].out)
        if refuses(&parts[i]) and (longest < 0 or wait_of(&parts[i]) > wait_of(&parts[longest])):
            longest, whole = i, parts[i].request.cost
        parts[i].request.cost = cost
    if longest >= 0:
        parts[longest].request.cost = whole
    return longest


cdef inline void take_back(const Part* part) noexcept nogil:
    cdef Request undo = part.request
    cdef Outcome ignored
    if part.out.status == DONE:
        undo.verb = CANCEL
        undo.at = part.out.at
        undo.whole = True
        undo.last_only = False
        undo.found, undo.booked = part.out.before, part.out.after
        perform(part.table, part.rule, &undo, part.hashed, &ignored)


cdef inline int perform_all(Part* parts, int size) noexcept nogil:
    """Carry out the request on all parts and return -1, or on none and return the part that refused."""
    cdef int i, k
    for i in range(size):
        perform(parts[i].table, parts[i].rule, &parts[i].request, parts[i].hashed, &parts[i].out)
        if refuses(&parts[i]):
            for k in range(i):
                take_back(&parts[k])
            return i
    return -1


cdef inline int spend_all(Part* parts, int size) noexcept nogil:
    """Spend from all parts and return -1, or from none and return the part that refused.

    All are asked first, so that a refusal writes nothing. Giving back is necessary only if another request comes
    between asking and spending; until then, further requests may be refused because of what is given back.
    """
    cdef int refusing = look_all(parts, size)
    if refusing < 0:
        return perform_all(parts, size)
    if parts[refusing].out.status == FULL:
        count_add(&parts[refusing].table.header.full, 1)  # as `perform` does
    return refusing


cdef inline uint64_t wait_for_all(Part* parts, int size) noexcept nogil:
    """Return how long until all parts can be spent from at the same moment.

    In a leaky bucket that is its turn, as in Limiter.reserve, and not the moment at which the queue has room.
    """
    cdef uint64_t longest = 0
    cdef int i
    look_all(parts, size)
    for i in range(size):
        if parts[i].out.status == FULL and not refuses(&parts[i]):
            continue
        if parts[i].rule.algorithm == LEAKY_BUCKET and parts[i].out.status == REFUSED and parts[i].out.at < NEVER:
            parts[i].out.at = turn(parts[i].rule, max(parts[i].out.now, parts[i].out.held_until), parts[i].out.before)
        longest = max(longest, wait_ns(parts[i].request.now, parts[i].out.at))
    return longest


cdef inline int judge(const Part* parts, int size, int refusing, Verdict* verdict) noexcept nogil:
    """Fill in the verdict of the part that refused, or of the one with the least remaining; return which it is."""
    cdef Verdict other
    cdef uint64_t delay = 0
    cdef int chosen = refusing, i
    if refusing >= 0:
        fill_verdict(parts[refusing].rule, &parts[refusing].request, &parts[refusing].out, False, verdict)
        return refusing
    for i in range(size):
        fill_verdict(parts[i].rule, &parts[i].request, &parts[i].out, parts[i].when_full == ALLOW, &other)
        delay = max(delay, other.delay_ns)
        if chosen < 0 or other.remaining < verdict.remaining:
            chosen = i
            verdict[0] = other
    verdict.delay_ns = delay
    return chosen
