"""The limiter: where Python objects meet the table."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ._limiter.arguments cimport address, amount, moment
from ._engine.atomics cimport count_load, count_raise, rule_publish, u128
from ._limiter.batch cimport Batch
from ._engine.clock cimport anchor_ns, can_be, now_ns, seen_ns, settle_anchor
from ._limiter.decision cimport Decision, decision_of
from ._engine.hashing cimport hash_key
from ._limiter.reservation cimport booking
from ._engine.rule cimport NEVER, SLIDING_LOG, Rule
from ._engine.table cimport (
    DONE,
    FULL,
    HIT,
    REFUND,
    RESERVE,
    Header,
    Outcome,
    Request,
    Status,
    carry_over,
    count_live,
    forget,
    forget_all,
    look,
    perform,
    take,
)
from ._limiter.compiled_rule cimport Terms
from ._engine.verdict cimport Verdict, wait_ns

from ._storage import metadata as labels
from ._limiter.decision import VERDICT
from .errors import TableFull
from ._storage.memory import boot_id
from .quota import Quota, seconds_to_ns
from ._limiter.parameters import check_arguments, options_of, restate, text_of
from .table import Table as KeyTable

cdef int64_t ANCHOR = anchor_ns()  # once for all limiters, so that several decide at one and the same moment
cdef uint64_t BOOT = boot_id()
cdef object SLOT = np.dtype({"names": ["state", "state_high", "tag"], "formats": ["<u8", "<u2", "V6"],
                             "offsets": [0, 8, 10], "itemsize": 16})
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
    OVERRIDES = 1024  # rules kept for quotas of single calls


cdef class Limiter:
    """What all algorithms have in common. Use one of them; see there for the arguments.

    Every method may be called from any thread and, where the table is shared, in any process.
    """

    _sizes = None  # of each algorithm: the function of parameters.py that measures a quota

    def __cinit__(self, *arguments, max_keys=None, table=None, on_full="deny", clock=None, **named):
        if self._sizes is None:
            raise TypeError("Limiter is what the algorithms share; use TokenBucket or one of its sisters")
        check_arguments(type(self), self._sizes, arguments, named)
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
        wanted = self._sizes(*arguments, **named)
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
        if not can_be(&self.slots.header.clock, BOOT):
            raise labels.CorruptTable(f"{self.where} is damaged: its clock is beyond the end of time")
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

    cdef bint full(self, object key, str number=None) except -1:
        """Whether a decision that found no slot allows."""
        if self.when_full == RAISE:
            which = f"key {key!r}" if number is None else f"number {number} of the batch (those before it are decided)"
            raise TableFull(f"no slot for {which}: all it could take are live (max_keys={self.max_keys})")
        return self.when_full == ALLOW

    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out):
        return decision_of(self, rule, request, out, self.when_full == ALLOW)

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
            quota: the new one, with its burst: one that says none has its limit for it, whatever the burst was.
                For windows and the log with the same period, for the log with a limit up to that which the table
                was made for.
            counts: what becomes of what keys have spent. `"keep"`: it stays, 60 of 100 becomes 60 of 200;
                `"scale"`: its share of the limit does, 60 of 100 becomes 120 of 200; `"reset"`: it is forgotten.

        A request that is decided while the keys are gone through (some milliseconds a million) may be scaled
        along with the others. A change that is killed half-way leaves the rest of the keys in between.
        """
        if is_stale(self):
            self.refresh()
        wanted = self._sizes(quota, own=self.held())
        if counts == "reset" and labels.same_quota(wanted, self.held()):
            self.clear()
        self.adopt(wanted, counts)

    def clear(self):
        """Forget all keys."""
        with nogil:
            forget_all(&self.slots)

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order, exactly as the same calls one by one, without the GIL.

        Args:
            keys: an array of integers, fixed-width bytes or text, or a list or object array of str, bytes and int;
                n of them.
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
        cdef uint64_t live, now = seen_ns(self.anchor) if self.read is None else self.read_clock()
        with nogil:
            live = count_live(&self.slots, self.rule, now)
        return live

    def __bool__(self):
        return True

    def now_ns(self):
        """The time by this limiter's clock, in nanoseconds since the epoch."""
        return self.read_clock()

    def __str__(self):
        """The limit as `ratelimit.parse` reads it."""
        if is_stale(self):
            self.refresh()
        return text_of(self.held())

    def __repr__(self):
        quota = self.quota
        shown = [f", {name}={value!r}" for name, value in options_of(self.held()).items()]
        return f"{type(self).__name__}({str(quota)!r}{''.join(shown)})"

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


def revision_of(memory):
    """How often the quota of a mapped table was changed."""
    return count_load(&(<Header*>(address(memory) + <int>labels.LABEL_SIZE)).revision)


def restored(cls, quota, options):
    """A pickled limiter, attached to its table again."""
    return cls(quota, **options)


from . import composite  # noqa: E402  (it needs the classes above)
from ._limiter import waiting  # noqa: E402
