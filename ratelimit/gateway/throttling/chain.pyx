"""The throttle chain: one atomic decision over all levels of a request, and the headers about it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t

from ..._core cimport Limiter
from ..._engine.constants cimport NEVER
from ..._limiter.decision cimport FALLBACK, Decision
from ..._limiter.headers cimport fields_of

from ... import All, TableFull, TableUnreachable


@cython.final
cdef class Chain:
    """The levels of a request, decided all or nothing; usable alone.

        chain = Chain(Limiters(), [Level.of("method", "GET /pets", Throttle(5, 10))])
        chain.hit().allowed

    Args:
        limiters: see Limiters.
        levels: from plan to account.
        used: a counter of the requests that are admitted.

    A request that one level refuses costs nothing at the others. Levels in shadow mode are decided separately, all or
    nothing among themselves, for requests that the others admit. Thread-safety: as for All.
    """

    cdef Levels real, shadow
    cdef Limiter counts
    cdef str used

    def __cinit__(self, limiters, levels, str used=""):
        real, shadow = [[level for level in levels if level.shadow is shadow] for shadow in (False, True)]
        self.real = Levels(limiters, real) if real else None
        self.shadow = Levels(limiters, shadow) if shadow else None
        self.counts = limiters.counters.limiter
        self.used = used

    def hit(self, report=None, bint fails_open=False, scope=None):
        """Spend one request at every level, or at none.

        Args:
            report: called with the name and the exception of a level that fails, such as one whose table is full.
            fails_open: skip such a level, and it alone; else its exception is raised. One in shadow mode is always
                skipped where there is a `report`.
            scope: the request, in which a level by client looks its client up.

        Returns: a Ruling.
        """
        cdef Ruling ruling, would
        if self.real is None:
            ruling = Ruling(True)
        else:
            try:
                ruling = self.real.hit(scope)
            except Exception:
                if not fails_open:
                    raise
                ruling = self.real.hit_each(report, scope)
        if not ruling.allowed:
            return ruling
        if self.used:
            self.counts.allow(self.used)
        if self.shadow is not None:
            try:
                would = self.shadow.hit(scope)
            except Exception:
                if report is None:
                    raise
                would = self.shadow.hit_each(report, scope)
            if not would.allowed:
                ruling.shadow = would.level
        return ruling

    def give_back(self, Ruling spent not None, scope=None):
        """Take back what a `hit` spent that returned this ruling, for a request that is refused elsewhere."""
        if spent.allowed and self.real is not None:
            self.real.give_back_all(scope)
        if spent.allowed and self.shadow is not None and not spent.shadow:
            self.shadow.give_back_all(scope)


@cython.final
cdef class Levels:
    """Some levels as one limiter, with their keys and quotas."""

    cdef tuple levels, names, limiters
    cdef list keys
    cdef bint by_client  # whether the key of a level is the client's
    cdef object hit_all, hit_for, now_ns
    cdef bytes policies
    cdef int closed  # the one that admits nothing, or -1

    def __cinit__(self, limiters, list levels):
        self.levels = tuple(levels)
        self.names = tuple([level.level for level in levels])
        self.limiters = tuple([limiters.of[name] for name in self.names])
        self.keys = [level.key for level in levels]
        self.by_client = any([level.by is not None for level in levels])
        bound = All(*self.limiters).bind(self.keys, quotas=[level.quota for level in levels])
        self.hit_all, self.hit_for = bound.hit, bound.hit_for
        self.now_ns = limiters.now_ns
        closed = [i for i, level in enumerate(levels) if level.quota is None]
        self.closed = closed[0] if closed else -1
        policy = ", ".join([f'"{level.level}";q={level.maximum};w={level.window}' for level in levels])
        self.policies = policy.encode()

    cdef list keys_of(self, scope):
        """Return the key of each level for a request."""
        if not self.by_client:
            return self.keys
        return [level.key if level.by is None else level.by.key(level.key, scope) for level in self.levels]

    cdef Ruling hit(self, scope):
        cdef Decision decision
        cdef list keys = self.keys_of(scope)
        cdef int i = 0
        if self.closed >= 0:
            return self.ruling(self.closed, False, 0, 0, NEVER, keys)
        decision = self.hit_for(keys) if self.by_client else self.hit_all()
        while self.limiters[i] is not decision.limiter:
            i += 1
        return self.ruling_of(i, decision, keys)

    cdef Ruling hit_each(self, report, scope):
        """Spend one request at one level after the other, all or nothing, without those that fail."""
        cdef list spent = [], keys = self.keys_of(scope)
        cdef Decision decision
        cdef Ruling least = None, ruling
        cdef int i
        if self.closed >= 0:
            return self.ruling(self.closed, False, 0, 0, NEVER, keys)
        for i, level in enumerate(self.levels):
            try:
                decision = self.limiters[i].hit(keys[i], quota=level.quota)
            except Exception as error:
                report(level.level, error)
                continue
            ruling = self.ruling_of(i, decision, keys)
            if not ruling.allowed:
                self.give_back(spent, keys)
                return ruling
            spent.append(i)
            if least is None or ruling.remaining < least.remaining:
                least = ruling
        return Ruling(True) if least is None else least

    cdef int give_back_all(self, scope) except -1:
        return self.give_back(range(len(self.levels)), self.keys_of(scope))

    cdef int give_back(self, indices, list keys) except -1:
        """Give one request back to some levels."""
        for i in indices:
            level = self.levels[i]
            if level.quota is not None:
                try:
                    self.limiters[i].refund(keys[i], quota=level.quota)
                except TableUnreachable:  # it stays spent, which is stricter
                    continue
        return 0

    cdef Ruling ruling_of(self, int i, Decision decision, list keys):
        cdef Ruling ruling = self.ruling(
            i, decision.verdict.allowed, decision.verdict.remaining, decision.verdict.limit, decision.more_after_, keys
        )
        ruling.fallback = decision.source_ == FALLBACK
        return ruling

    cdef Ruling ruling(self, int i, bint allowed, uint64_t remaining, uint64_t limit, uint64_t more, list keys):
        cdef Ruling ruling = Ruling(allowed)
        until_ns = self.levels[i].until_ns
        ruling.level = self.names[i]
        ruling.remaining = remaining
        ruling.limit = limit
        # The period may have ended meanwhile.
        ruling.more = more if until_ns is None else max(0, until_ns - self.now_ns())
        ruling.retry = ruling.more if allowed or until_ns is None else self.wait(i, ruling.more, keys)
        ruling.policies = self.policies
        return ruling

    cdef uint64_t wait(self, int calendar, uint64_t retry, list keys):
        """Return the time until all levels admit a request that a calendar quota refuses; another may need longer."""
        cdef int i
        for i, level in enumerate(self.levels):
            if i == calendar:
                continue
            if level.quota is None:
                return NEVER
            try:
                after = self.limiters[i].peek(keys[i], quota=level.quota).retry_after_ns
            except (TableFull, TableUnreachable):  # a level that fails holds nothing up
                continue
            retry = max(retry, NEVER if after is None else after)
        return retry


@cython.final
@cython.freelist(64)
cdef class Ruling:
    """The decision about one request.

    Attributes:
        allowed: whether it is admitted.
        level: the level that refused, or else the one with the least remaining; empty without levels.
        remaining: the remaining requests of that level.
        limit: the limit of that level.
        more_after_ns: the time until that level has more remaining: 0 if it is full, None if it never has.
        retry_after_ns: the time until a refused request is admitted at all levels; None if it never is.
        shadow: a level in shadow mode that would have refused, or empty.
        fallback: whether the level's engine did not answer, and its table's `unreachable` decided.
    """

    cdef readonly bint allowed, fallback
    cdef readonly str level, shadow
    cdef readonly uint64_t remaining, limit
    cdef uint64_t more, retry
    cdef bytes policies

    def __cinit__(self, bint allowed):
        self.allowed = allowed
        self.fallback = False
        self.level = self.shadow = ""

    def joined(self, Ruling earlier not None):
        """Return this ruling as one that is also about other levels, which have admitted the request before."""
        cdef Ruling least = earlier if self.allowed and earlier.remaining < self.remaining else self
        cdef Ruling ruling = Ruling(self.allowed)
        if not earlier.level or not self.level:
            least = self if self.level else earlier
        ruling.level, ruling.remaining, ruling.limit = least.level, least.remaining, least.limit
        ruling.more, ruling.retry = least.more, least.retry
        ruling.shadow = self.shadow or earlier.shadow
        ruling.policies = b", ".join([one for one in (self.policies, earlier.policies) if one])
        return ruling

    @property
    def more_after_ns(self):
        return self.more if self.more < NEVER else None

    @property
    def retry_after_ns(self):
        return None if self.allowed or self.retry == NEVER else self.retry

    def fields(self, str style):
        """Return the headers about the limit.

        Args:
            style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy"
                for `X-RateLimit-*`, "both" or "none". A refusal also has Retry-After, except for "none".
        """
        if not self.level or style == "none":
            return []
        return fields_of(
            style != "legacy",
            style != "draft",
            self.policies,
            self.level,
            self.allowed,
            self.limit,
            self.remaining,
            self.more,
            self.retry,
        )

    def with_limit_headers(self, list headers, str style):
        """Return the headers of an answer with `fields`, which replace those of a backend with the same names."""
        cdef list fields = self.fields(style)
        for header in headers:
            if is_named(fields, header[0]):
                headers = [header for header in headers if not is_named(fields, header[0])]
                break
        return headers + fields

    def __repr__(self):
        return (
            f"Ruling(allowed={self.allowed}, level={self.level!r}, remaining={self.remaining}, limit={self.limit}, "
            f"more_after_ns={self.more_after_ns}, "
            f"retry_after_ns={self.retry_after_ns}, shadow={self.shadow!r})"
        )


cdef bint is_named(list fields, bytes name):
    cdef char first = PyBytes_AS_STRING(name)[0]
    if first != 114 and first != 120:  # all fields begin with r or x
        return False
    for field in fields:
        if <bytes>(<tuple>field)[0] == name:
            return True
    return False
