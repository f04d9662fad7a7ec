"""The limiter: where Python objects meet the table."""

import numpy as np

cimport cython
from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ._atomics cimport count_load, count_raise, first_come, rule_publish, u128
from ._clock cimport anchor_ns, now_ns, settle_anchor
from ._keys cimport PyLong_AsLongLongAndOverflow, hash_bytes, hash_ints, hash_key, hash_uint
from ._rule cimport LEAKY_BUCKET, NEVER, SLIDING_LOG, Rule
from ._table cimport (
    CANCEL,
    CHARGE,
    DONE,
    FULL,
    HIT,
    REFUND,
    RESERVE,
    Header,
    Outcome,
    Request,
    Status,
    Verb,
    carry_over,
    count_live,
    fetch,
    fetch_ring,
    forget,
    forget_all,
    look,
    perform,
    take,
)
from ._verdict cimport Verdict, pronounce, wait_ns

from .errors import TableFull
from . import label as labels
from .mapping import boot_id
from .quota import Quota, seconds_to_ns
from .sizes import options_of, restate
from .table import Table as KeyTable

cdef int64_t ANCHOR = anchor_ns()  # once for all limiters, so that several decide at one and the same moment
cdef uint64_t BOOT = boot_id()
cdef object SLOT = np.dtype({"names": ["state", "state_high", "tag"], "formats": ["<u8", "<u2", "V6"],
                             "offsets": [0, 8, 10], "itemsize": 16})
VERDICT = np.dtype([("allowed", "?"), ("limit", "u8"), ("remaining", "u8"), ("retry_after_ns", "u8"),
                    ("reset_after_ns", "u8"), ("delay_ns", "u8")], align=True)
COUNTS = ("keep", "scale", "reset")

cdef extern from *:
    """
    /* Threads that share a limiter would take turns at its reference count, were it counted at each call. */
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    #define count_references_later(object) PyUnstable_Object_EnableDeferredRefcount(object)
    #else
    #define count_references_later(object) 0
    #endif
    """
    int count_references_later(object)

cdef dict ON_FULL = {"deny": DENY, "allow": ALLOW, "raise": RAISE}
cdef enum:
    OVERRIDES = 1024    # rules kept for quotas of single calls
    AHEAD = 16          # decisions between asking for a slot's cache line and using it


@cython.final
cdef class Terms:
    """A quota as the rule that decisions are made by."""

    def __cinit__(self, sizes, uint64_t revision=0):
        self.sizes = sizes
        fill(&self.rule, sizes)
        self.rule.revision = revision


cdef class Limiter:
    """What all algorithms have in common. Use one of them; see there for the arguments.

    Every method may be called from any thread and, where the table is shared, in any process.
    """

    _sizes = None  # of each algorithm: the function of sizes.py that measures a quota

    def __cinit__(self, quota=None, *options, max_keys=None, table=None, on_full="deny", clock=None, **more_options):
        if self._sizes is None:
            raise TypeError("Limiter is what the algorithms share; use TokenBucket or one of its sisters")
        if table is not None and not isinstance(table, KeyTable):
            raise TypeError(f"table must be a Table, not {table!r}")
        if table is not None and max_keys is not None:
            raise TypeError("max_keys belongs to the table when there is one: Table(max_keys=...)")
        if not isinstance(on_full, str) or on_full not in ON_FULL:
            raise ValueError(f"on_full must be one of {', '.join(map(repr, ON_FULL))}, not {on_full!r}")
        if clock is not None and (isinstance(clock, type) or not callable(getattr(clock, "now_ns", None))):
            raise TypeError(f"clock must have a method now_ns(), integer nanoseconds since the epoch, not {clock!r}")
        self.on_full = on_full
        self.when_full = ON_FULL[on_full]
        self.clock = clock
        self.read = None if clock is None else clock.now_ns
        self.terms = []
        self.overrides = {}
        self.where = KeyTable(max_keys=max_keys) if table is None else table
        wanted = self._sizes(quota, *options, **more_options)
        self.attach(wanted)
        if not labels.same_quota(wanted, self.held()):
            self.agree(wanted)
        count_references_later(self)

    cdef int attach(self, object wanted) except -1:
        memory = self.where.attach(wanted, self.clock is None)
        self.words, self.label = memory
        self.slots.header = <Header*>(address(self.words) + <int>labels.LABEL_SIZE)
        self.slots.slots = <u128*>(address(self.words) + <int>labels.PAGE)
        self.slots.size = labels.slots_for(self.max_keys)
        self.slots.window = labels.window_for(self.max_keys)
        self.slots.rings = self.slots.slots + self.slots.size if self.label.capacity else NULL
        self.slots.seed = self.label.seed
        self.anchor = settle_anchor(&self.slots.header.clock, BOOT, ANCHOR)
        return self.refresh()

    cdef int agree(self, object wanted) except -1:
        """Come to terms with a table that holds another quota than the limiter was made with."""
        counts = self.where.if_changed
        if counts == "raise":
            raise ValueError(
                f"{self.where} holds the quota {self.quota!r}, not {wanted.quota!r}; give it that with "
                "limiter.change, or its if_changed= one of 'keep', 'scale' and 'reset'"
            )
        return self.adopt(restate(wanted.quota.limit, wanted.quota.period_ns, wanted.limit, self.held()), counts)

    cdef int adopt(self, object sizes, object counts) except -1:
        """Give the table another quota."""
        cdef Terms old, new
        cdef uint64_t revision
        if counts not in COUNTS:
            raise ValueError(f"counts must be one of {', '.join(map(repr, COUNTS))}, not {counts!r}")
        if counts == "scale" and self.rule.algorithm == SLIDING_LOG:
            raise ValueError("counts='scale' is not for a SlidingLog: it keeps requests, not a count of them")
        with self.where.locked():
            self.refresh()
            old = self.newest()
            if labels.same_quota(sizes, old.sizes):
                return 0
            revision = old.rule.revision + 1
            self.label.note(revision, sizes)
            count_raise(&self.slots.header.revision, revision)
            self.refresh()
            new = self.newest()
            if counts == "reset":
                self.clear()
            else:
                carry_over(&self.slots, &old.rule, &new.rule, self.read_clock(), counts == "scale")
        return 0

    cdef Terms newest(self):
        return self.terms[len(self.terms) - 1]

    cdef object held(self):
        return self.newest().sizes

    # --- the pieces that the verbs, and other Cython packages, are made of

    cdef uint64_t read_clock(self) except? 0:
        if self.read is None:
            return now_ns(&self.slots.header.clock, self.anchor)
        return moment(self.read(), "clock.now_ns()")

    cdef uint64_t hash_of(self, object key) except? 0:
        return hash_key(self.slots.seed, key)

    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil:
        """Spend `cost` if it may. A new key in a full table is refused, whatever `on_full` says."""
        return take(&self.slots, self.rule, hashed, now, True, cost) == DONE

    cdef int refresh(self) except -1:
        """Take over the quota that the table holds now."""
        cdef uint64_t revision = count_load(&self.slots.header.revision)
        cdef Terms terms
        while True:
            try:
                terms = Terms(self.label.sizes(revision), revision)
                break
            except ValueError:
                if revision == count_load(&self.slots.header.revision):
                    raise
                revision = count_load(&self.slots.header.revision)
        self.terms.append(terms)
        rule_publish(&self.rule, &terms.rule)
        return 0

    cdef Terms terms_for(self, object quota):
        cdef Terms terms
        if quota is None:
            return self.newest()
        terms = self.overrides.get(quota) if isinstance(quota, (str, Quota)) else None
        if terms is None:
            terms = Terms(self._sizes(quota, own=self.held()))
            if len(self.overrides) >= OVERRIDES:
                self.overrides.clear()
            self.overrides[quota] = terms
        return terms

    cdef int start(self, Request* request, object now) except -1:
        if is_stale(self):
            self.refresh()
        request.now_given = now is not None
        request.now = self.read_clock() if now is None else moment(now, "now")
        return 0

    cdef bint full(self, object key) except -1:
        """Whether a decision that found no slot allows."""
        if self.when_full == RAISE:
            raise TableFull(f"no slot for key {key!r}: all it could take are live (max_keys={self.max_keys})")
        return self.when_full == ALLOW

    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out):
        cdef Decision decision = Decision.__new__(Decision)
        decision.limiter = self
        pronounce(rule, request, out, self.when_full == ALLOW, &decision.verdict)
        return decision

    # --- the verbs

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)

    def hit(self, key, cost=1, *, quota=None, now=None):
        """Spend `cost` if it may, all or nothing.

        Args:
            key: str, bytes or int.
            cost: a whole number from 1; more than can ever be allowed is refused with `retry_after = inf`.
            quota: instead of the limiter's own, for this call; for windows with the same period.
            now: integer nanoseconds since the epoch, instead of the clock's.

        Returns: a Decision.
        """
        cdef Request request
        cdef Outcome out
        cdef Terms terms
        cdef uint64_t hashed = hash_key(self.slots.seed, key)
        request.verb = HIT
        request.cost = amount(cost, "cost")
        self.start(&request, now)
        terms = self.terms_for(quota)
        if perform(&self.slots, &terms.rule, &request, hashed, &out) == FULL:
            self.full(key)
        return self.decision(&terms.rule, &request, &out)

    def peek(self, key, cost=1, *, quota=None, now=None):
        """What `hit` would answer; changes nothing."""
        cdef Request request
        cdef Outcome out
        cdef Terms terms
        cdef uint64_t hashed = hash_key(self.slots.seed, key)
        request.verb = HIT
        request.cost = amount(cost, "cost")
        self.start(&request, now)
        terms = self.terms_for(quota)
        look(&self.slots, &terms.rule, &request, hashed, &out)
        if out.status == FULL:
            self.full(key)
        return self.decision(&terms.rule, &request, &out)

    def reserve(self, key, cost=1, *, max_delay=None):
        """Take the place in line now, for a request that will wait for its turn.

        Args:
            key, cost: as for `hit`.
            max_delay: seconds; a longer wait books nothing.

        Returns: a Reservation, true when the place is booked.
        """
        cdef Request request
        cdef Outcome out
        cdef Status status
        cdef uint64_t hashed = hash_key(self.slots.seed, key)
        request.verb = RESERVE
        request.at = 0
        request.cost = amount(cost, "cost")
        request.patience = NEVER if max_delay is None else seconds_to_ns(max_delay, "max_delay")
        self.start(&request, None)
        status = perform(&self.slots, self.rule, &request, hashed, &out)
        if status == FULL:
            delay = 0 if self.when_full == ALLOW else wait_ns(out.now, out.at)
            return booking([], self.full(key), request.cost, out.now, delay)
        return booking([(self, hashed, out.at)], status == DONE, request.cost, out.now, wait_ns(out.now, out.at))

    def refund(self, key, cost=1):
        """Give `cost` back, never above full."""
        cdef Request request
        cdef Outcome out
        cdef uint64_t hashed = hash_key(self.slots.seed, key)
        request.verb = REFUND
        request.cost = amount(cost, "cost")
        self.start(&request, None)
        perform(&self.slots, self.rule, &request, hashed, &out)

    def reset(self, key):
        """Forget the key: it is like one never seen."""
        forget(&self.slots, hash_key(self.slots.seed, key))

    def change(self, quota, *, counts="keep"):
        """Change the limit itself, for all who share the table and from their next decision on.

        Args:
            quota: the new one; for windows and the log with the same period, for the log with a limit up to
                that which the table was made for.
            counts: what becomes of what keys have spent. `"keep"`: it stays, 60 of 100 becomes 60 of 200;
                `"scale"`: its share of the limit does, 60 of 100 becomes 120 of 200; `"reset"`: it is forgotten.

        A request that is decided while the keys are gone through (some milliseconds a million) may be scaled
        along with the others. A change that is killed half-way leaves the rest of the keys in between.
        """
        self.adopt(self._sizes(quota, own=self.held()), counts)

    def clear(self):
        """Forget all keys."""
        with nogil:
            forget_all(&self.slots)

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order, exactly as the same calls one by one, without the GIL.

        Args:
            keys: an integer array, a fixed-width bytes array, or a list or object array of str, bytes and int; n
                of them.
            costs: n whole numbers from 1, or one for all.
            now: n moments in integer nanoseconds since the epoch, or one for all; by default one reading of
                the clock.

        Returns: an array of n bools.
        """
        cdef Batch batch = Batch(self, keys, costs, now)
        allowed = np.empty(batch.size, bool)
        batch.decide(<uint8_t*>address(allowed), NULL)
        return allowed

    def hit_many(self, keys, costs=None, *, now=None):
        """As `allow_many`, with the full decisions.

        Returns: a structured array of n with the fields of a Decision: allowed, limit, remaining,
        retry_after_ns (2**62 where no wait will do), reset_after_ns, delay_ns.
        """
        cdef Batch batch = Batch(self, keys, costs, now)
        verdicts = np.empty(batch.size, VERDICT)
        batch.decide(NULL, <Verdict*>address(verdicts))
        return verdicts

    # --- what it was made with

    @property
    def quota(self):
        """The quota that holds now."""
        if is_stale(self):
            self.refresh()
        return self.held().quota

    @property
    def max_keys(self):
        """How many keys may be live at once."""
        return self.label.max_keys

    def __reduce__(self):
        if self.where.path is None:
            raise TypeError(f"{self!r} keeps its keys in this process's memory; one with a shared table can be pickled")
        options = options_of(self.held())
        options.update(table=self.where, on_full=self.on_full, clock=self.clock)
        return restored, (type(self), self.quota, options)

    # --- keys as a whole

    @property
    def table(self):
        """The live table: a read-only structured array with a row for each slot.

        Fields: `tag` (zero: never used; one: free again; else a key's), `state` and `state_high`, the low 64
        and the next 16 bits of the state, whose highest bit marks a slot that is being claimed.
        """
        return np.frombuffer(memoryview(self.words).toreadonly(), SLOT, self.slots.size, labels.PAGE)

    @property
    def full_count(self):
        """How many decisions found no slot for their key."""
        return count_load(&self.slots.header.full)

    @property
    def collision_count(self):
        """How many updates were repeated because another thread's came between."""
        return count_load(&self.slots.header.collisions)

    @property
    def latest_ns(self):
        """A moment that decisions by the own clock have reached; the latest of them is within a second of it."""
        return count_load(&self.slots.header.clock.latest)

    def __len__(self):
        """The number of keys that still matter: whose state differs from a fresh key's."""
        cdef uint64_t live, now = self.read_clock()
        with nogil:
            live = count_live(&self.slots, self.rule, now)
        return live

    def __bool__(self):
        return True

    def now_ns(self):
        """The time by this limiter's clock, in nanoseconds since the epoch."""
        return self.read_clock()

    def __repr__(self):
        return f"{type(self).__name__}({str(self.quota)!r})"

    # --- in other modules: what needs no more than the verbs

    def wait(self, key, cost=1, timeout=None):
        """Block until `cost` is spent, first come first served in this process.

        Raises at once, and spends nothing: WaitTimeout when the turn comes later than `timeout` seconds,
        CostExceedsLimit when no wait will do, TableFull.
        """
        waiting.wait(self, key, cost, timeout)

    def wait_async(self, key, cost=1, timeout=None):
        """As `wait`, without blocking the event loop; a cancelled wait gives its place back."""
        return waiting.wait_async(self, key, cost, timeout)

    def __and__(self, other):
        """Both limits as one: see All."""
        return composite.All(self, other) if isinstance(other, (Limiter, composite.All)) else NotImplemented


@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Decision:
    """The answer to one request; true when it is allowed. Times are in seconds, and exact in nanoseconds.

    Attributes:
        allowed: whether the cost was spent (by `peek`: would be).
        limit: the most that can be spent at one moment.
        remaining: what may still be spent now.
        retry_after: wait after which the same request is allowed if nothing else happens; 0 when it was
            allowed, inf (and None in nanoseconds) when no wait will do.
        reset_after: wait after which the key is like one never seen.
        delay: how long an admitted request has to wait for its turn (leaky bucket).
        limiter: the one that decided; of several, the one that refused.
    """

    @property
    def allowed(self) -> bool:
        return self.verdict.allowed != 0

    @property
    def limit(self) -> int:
        return self.verdict.limit

    @property
    def remaining(self) -> int:
        return self.verdict.remaining

    @property
    def retry_after_ns(self) -> int | None:
        return self.verdict.retry_after_ns if self.verdict.retry_after_ns < NEVER else None

    @property
    def reset_after_ns(self) -> int:
        return self.verdict.reset_after_ns

    @property
    def delay_ns(self) -> int:
        return self.verdict.delay_ns

    @property
    def retry_after(self) -> float:
        return seconds(self.verdict.retry_after_ns)

    @property
    def reset_after(self) -> float:
        return seconds(self.verdict.reset_after_ns)

    @property
    def delay(self) -> float:
        return seconds(self.verdict.delay_ns)

    def __bool__(self):
        return self.verdict.allowed != 0

    def __reduce__(self):
        raise TypeError("a Decision cannot be pickled or copied: it belongs to its limiter; take the fields you need")

    def __repr__(self):
        wait = f"delay={self.delay}" if self.allowed else f"retry_after={self.retry_after}"
        return (
            f"Decision(allowed={self.allowed}, limit={self.limit}, remaining={self.remaining}, {wait}, "
            f"reset_after={self.reset_after})"
        )


@cython.final
cdef class Reservation:
    """A place in line; true when there is one.

    Attributes:
        allowed: whether the place is booked.
        delay: seconds from the reservation until its turn; when none was booked, what it would have been
            (inf when no wait will do). Exact as `delay_ns`, an int or None.
        at_ns: the moment of its turn, nanoseconds since the epoch; or None.
        cost: what was booked.

    `cancel` and `settle` may each be called from any thread; once the cost is given back they do nothing.
    """

    @property
    def delay(self) -> float:
        return seconds(self.delay_)

    @property
    def delay_ns(self) -> int | None:
        return self.delay_ if self.delay_ < NEVER else None

    @property
    def at_ns(self) -> int | None:
        return self.began + self.delay_ if self.delay_ < NEVER else None

    def cancel(self):
        """Give the place back, as far as that is fair to those who came after."""
        if first_come(&self.closed):
            self.correct(CANCEL, self.cost)

    def settle(self, actual_cost):
        """Correct the cost to what it turned out to be, once: give the rest back, or spend the more."""
        cdef uint64_t actual = amount(actual_cost, "actual_cost", 0)
        if not first_come(&self.closed):
            return
        if actual < self.cost:
            self.correct(CANCEL, self.cost - actual)
        elif actual > self.cost:
            self.correct(CHARGE, actual - self.cost)

    cdef int correct(self, Verb verb, uint64_t cost) except -1:
        cdef Request request
        cdef Outcome out
        cdef Limiter limiter
        for limiter, hashed, at in self.places:
            limiter.start(&request, None)
            request.verb = verb
            request.cost = cost
            request.at = at
            if limiter.rule.algorithm == LEAKY_BUCKET:  # what goes back is the end of what was booked
                request.at += (self.cost - cost) * <uint64_t>limiter.rule.interval
            perform(&limiter.slots, limiter.rule, &request, hashed, &out)
        return 0

    def __bool__(self):
        return self.allowed

    def __reduce__(self):
        raise TypeError("a Reservation cannot be pickled or copied: it can be given back only once")

    def __repr__(self):
        return f"Reservation(allowed={self.allowed}, delay={self.delay}, cost={self.cost})"


cdef Reservation booking(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t delay):
    cdef Reservation place = Reservation.__new__(Reservation)
    place.places = places if allowed else []
    place.allowed = allowed
    place.cost = cost
    place.began = now
    place.delay_ = delay
    return place


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


# --- arguments --------------------------------------------------------------------------------------------


cdef double seconds(uint64_t ns) noexcept:
    return ns / 1e9 if ns < NEVER else INFINITY


cdef int64_t usual_int(object value) except? -1:
    """What nearly every number is, an int from 0 to 2**63 - 1; or -1 for what has to be looked at closely."""
    cdef int overflow = 0
    cdef int64_t number
    if not PyLong_CheckExact(value):
        return -1
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    return number if number >= 0 and overflow == 0 else -1


cdef uint64_t moment(object value, str name) except? 0:
    return whole(value, name, 0, NEVER - 2, "nanoseconds since the epoch")


cdef uint64_t amount(object value, str name, uint64_t least=1) except? 0:
    """A cost. What exceeds 64 bits exceeds every limit as well, and is refused as such a cost is."""
    cdef int64_t usual = usual_int(value)
    if usual >= <int64_t>least:
        return min(<uint64_t>usual, NEVER)
    number = index_of(value, name, "a number of requests")
    return NEVER if number >= NEVER else whole(value, name, least, NEVER, "a number of requests")


cdef uint64_t whole(object value, str name, uint64_t least, uint64_t most, str what) except? 0:
    cdef int64_t usual = usual_int(value)
    if usual >= 0 and least <= <uint64_t>usual <= most:
        return <uint64_t>usual
    number = index_of(value, name, what)
    if not least <= number <= most:
        raise ValueError(f"{name} must be {what}, an int from {least} to {most}, not {value!r}")
    return number


cdef object index_of(object value, str name, str what):
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, {what}, not {value!r} of type {type(value).__name__}") from None


cdef object integers(values, str name, Py_ssize_t size, least, most=None):
    """An array of `size` 64-bit integers; one number stands for all. Without `most`, what is more is cut."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be one number or as many as there are keys, {size}: {error}") from None
    if array.dtype.kind not in "iu" and array.size:
        numbers = np.asarray(values, object)  # as Python has them, whose integers know no bounds
        if array.dtype.kind not in "Of" or any(
            isinstance(number, bool) or not isinstance(number, (int, np.integer)) for number in numbers.flat
        ):
            raise TypeError(f"{name} must be whole numbers, not an array of {array.dtype}")
        array = numbers
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ValueError(f"{name} must be one number or as many as there are keys, {size}, not of shape {array.shape}")
    wrong = np.flatnonzero(array < least if most is None else (array < least) | (array > most))
    if len(wrong):
        accepted = f"from {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be whole numbers {accepted}, not {array.flat[wrong[0]]} (at index {wrong[0]})")
    if array.dtype.kind == "O":
        array = np.minimum(array, 2**64 - 1)
    return np.broadcast_to(np.asarray(array).astype(np.uint64, copy=False), (size,))


cdef object hashes_of(const uint64_t* seed, keys):
    """The hashes of a batch of keys."""
    cdef uint64_t[::1] hashes
    cdef const uint64_t[::1] words
    cdef const uint8_t[:, ::1] rows
    cdef Py_ssize_t i, size, length
    accepted = (
        "keys must be a one-dimensional array of integers or bytes (dtype i, u or S), or a list or object array of "
        "str, bytes and int"
    )
    if not isinstance(keys, (np.ndarray, list, tuple)):
        raise TypeError(f"{accepted}, not {type(keys).__name__}")
    if isinstance(keys, np.ndarray) and keys.ndim != 1:
        raise ValueError(f"{accepted}, not an array of shape {keys.shape}")
    size = len(keys)
    result = np.empty(size, np.uint64)
    if size == 0:
        return result  # of whatever type numpy took it to be
    hashes = result
    if not isinstance(keys, np.ndarray) or keys.dtype.kind == "O":
        for i, key in enumerate(tuple(keys)):  # a list may change under us
            hashes[i] = hash_key(seed, key)
        return result
    if keys.dtype.kind in "iu":
        words = np.ascontiguousarray(keys, np.int64 if keys.dtype.kind == "i" else np.uint64).view(np.uint64)
        with nogil:
            hash_ints(seed, &words[0], size, &hashes[0])
        if keys.dtype.kind == "u":
            for i in np.flatnonzero(keys >= 2**63):
                hashes[i] = hash_uint(seed, words[i])
    elif keys.dtype.kind == "S":
        rows = np.ascontiguousarray(keys).view(np.uint8).reshape(size, keys.dtype.itemsize)
        with nogil:
            for i in range(size):
                length = rows.shape[1]
                while length and rows[i, length - 1] == 0:  # numpy pads with zeros
                    length -= 1
                hashes[i] = hash_bytes(seed, &rows[i, 0], length)
    else:
        raise TypeError(f"{accepted}, not an array of {keys.dtype}")
    return result


# --- memory and rules -----------------------------------------------------------------------------------------------


def revision_of(memory):
    """How often the quota of a mapped table was changed."""
    return count_load(&(<Header*>(address(memory) + <int>labels.LABEL_SIZE)).revision)


def restored(cls, quota, options):
    """A pickled limiter, attached to its table again."""
    return cls(quota, **options)


cdef char* address(object array) except NULL:
    return <char*><size_t>array.ctypes.data


cdef int fill(Rule* rule, object sizes) except -1:
    rule.algorithm = sizes.algorithm
    rule.limit = sizes.limit
    rule.period = sizes.period
    rule.unit = sizes.unit
    rule.interval = wide(sizes.interval)
    rule.tolerance = wide(sizes.tolerance)
    rule.count_bits = sizes.count_bits
    rule.capacity = sizes.capacity
    return 0


cdef u128 wide(object number) except? 0:
    return <u128><uint64_t>(number >> 64) << 64 | <uint64_t>(number & (2**64 - 1))


from . import composite, waiting  # noqa: E402  (they need the classes above)
