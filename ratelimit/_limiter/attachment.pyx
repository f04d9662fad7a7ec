"""A limiter's attachment to its table: how it maps the table, follows its quota, and reads the clock."""

from libc.stdint cimport int64_t, uint64_t

from .._engine.atomics cimport count_add, count_load, count_raise, rule_publish, u128
from .._engine.clock cimport anchor_ns, clock_is_valid, now_ns, settle_anchor
from .._engine.constants cimport HEADER_OFFSET, NEVER, PAGE_BYTES, SLIDING_LOG
from .._engine.layout cimport Header
from .._engine.request cimport BLOCK, DONE, FULL, Outcome, Request, Verb
from .._engine.rule cimport Rule
from .._engine.table cimport carry_over, forget_all, perform, take
from .arguments cimport checked_moment, data_of
from .compiled_rule cimport CompiledRule
from .decision cimport Decision, decision_of
from .keys cimport hash_key

from .._storage.memory import boot_id
from .._storage.metadata import COUNTS, slots_for, window_for
from ..errors import CorruptTable, TableFull
from ..quota import Quota
from .parameters import read_parameters, restate

cdef int64_t ANCHOR = anchor_ns()  # one for all limiters, so that several decide at one and the same moment
cdef uint64_t BOOT = boot_id()
cdef enum:
    MAX_OVERRIDES = 1024  # compiled rules that are kept for quotas of single calls
    MAX_RULES = 256  # former rules, kept for decisions in progress; small compared with a change of quota

cdef extern from *:
    """
    /* Otherwise threads that share a limiter would contend for its reference count at each call. */
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    #define defer_reference_counts(object) PyUnstable_Object_EnableDeferredRefcount(object)
    #else
    #define defer_reference_counts(object) 0
    #endif
    """
    int defer_reference_counts(object)


cdef class Attachment:
    """The base of every limiter. Its class sets `_parameters`: the function that turns a quota into RuleParameters."""

    _parameters = None

    cdef int attach(self, object wanted) except -1:
        """Map the table, and read its quota, which may differ from the one that is wanted."""
        self.rules = []
        self.overrides = {}
        self.memory, self.metadata = self.table.attach(wanted.format(self.clock is None), wanted.stored)
        self.attached.header = <Header*>(data_of(self.memory) + HEADER_OFFSET)
        self.attached.slots = <u128*>(data_of(self.memory) + PAGE_BYTES)
        self.attached.size = slots_for(self.metadata.max_keys)
        self.attached.window = window_for(self.metadata.max_keys)
        capacity = self.metadata.format.capacity
        self.attached.rings = self.attached.slots + self.attached.size if capacity else NULL
        self.attached.seed = self.metadata.seed
        if not clock_is_valid(&self.attached.header.clock, BOOT):
            raise CorruptTable(f"{self.table} is damaged: its clock is beyond the end of time")
        self.anchor = settle_anchor(&self.attached.header.clock, BOOT, ANCHOR)
        defer_reference_counts(self)
        return self.refresh()

    # --- the quota

    cdef int refresh(self) except -1:
        """Read the quota that is in force now."""
        cdef uint64_t revision = count_load(&self.attached.header.revision)
        cdef CompiledRule compiled
        while True:
            try:
                compiled = CompiledRule(read_parameters(self.metadata, revision), revision)
                break
            except CorruptTable:
                if revision == count_load(&self.attached.header.revision):
                    raise
                revision = count_load(&self.attached.header.revision)
        self.rules.append(compiled)
        rule_publish(&self.rule, &compiled.rule)
        if len(self.rules) > MAX_RULES:
            del self.rules[0]
        return 0

    cdef CompiledRule current(self):
        return self.rules[len(self.rules) - 1]

    cdef CompiledRule rule_for(self, object quota):
        """Return the rule for a call with this quota, or with None."""
        cdef CompiledRule compiled
        if quota is None:
            return self.current()
        compiled = self.overrides.get(quota) if isinstance(quota, (str, Quota)) else None
        if compiled is None:
            compiled = CompiledRule(self._parameters(quota, base=self.current().parameters))
            if len(self.overrides) >= MAX_OVERRIDES:
                self.overrides.clear()
            self.overrides[quota] = compiled
        return compiled

    cdef int reconcile_quota(self, object wanted) except -1:
        """Resolve a mismatch between the quota that the limiter was made with and the table's."""
        counts = self.table.if_changed
        current = self.current().parameters
        if wanted.stored == current.stored:
            return 0
        if counts == "raise":
            raise ValueError(
                f"{self.table} has another quota: expected {wanted.quota!r}, got {current.quota!r}; change it with "
                "limiter.change, or with if_changed='keep', 'scale' or 'reset'"
            )
        return self.change_quota(restate(wanted.stored, current), counts)

    cdef int change_quota(self, object parameters, object counts) except -1:
        """Give the table another quota."""
        cdef CompiledRule old, new
        cdef uint64_t revision, now
        cdef bint scale = counts == "scale"
        if counts not in COUNTS:
            raise ValueError(f"counts: expected one of {', '.join(map(repr, COUNTS))}, got {counts!r}")
        if scale and self.rule.algorithm == SLIDING_LOG:
            raise ValueError("counts: expected 'keep' or 'reset', got 'scale'; a SlidingLog keeps no count")
        with self.table.locked():
            self.refresh()
            old = self.current()
            if parameters.stored == old.parameters.stored:
                return 0
            revision = old.rule.revision + 1
            now = self.read_clock()
            self.metadata.write_quota(revision, parameters.stored, now, counts)
            count_raise(&self.attached.header.revision, revision)
            self.refresh()
            new = self.current()
            if counts == "reset":
                self.forget_keys()
            else:
                with nogil:
                    carry_over(&self.attached, &old.rule, &new.rule, now, scale)
        return 0

    # --- what the verbs, and other Cython packages, are made of

    cdef uint64_t read_clock(self) except? 0:
        if self.read is None:
            return now_ns(&self.attached.header.clock, self.anchor)
        return checked_moment(self.read(), "clock.now_ns()")

    cdef uint64_t hash_of(self, object key) except? 0:
        return hash_key(self.attached.seed, key)

    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil:
        """Spend `cost` if the quota admits it. A new key in a full table is refused, whatever `on_full` is."""
        return take(&self.attached, self.rule, hashed, now, True, cost) == DONE

    cdef int forget_keys(self) except -1:
        with nogil:
            forget_all(&self.attached)
        return 0

    cdef int hold(self, object key, Verb verb, uint64_t length, object quota) except -1:
        """Block a key for `length` nanoseconds, or unblock it."""
        cdef Request request
        cdef Outcome out
        cdef CompiledRule compiled
        cdef uint64_t hashed = hash_key(self.attached.seed, key)
        request.verb = verb
        request.cost = 1
        self.prepare(&request, None)
        compiled = self.rule_for(quota)
        request.at = min(request.now + length, NEVER - 2)
        if verb == BLOCK:
            count_add(&self.attached.header.blocks, 1)  # before any thread can miss the key
        if perform(&self.attached, &compiled.rule, &request, hashed, &out) == FULL:
            raise TableFull(f"key {key!r} cannot be blocked: every slot it could take has a live key")
        return 0

    cdef int prepare(self, Request* request, object now) except -1:
        """Set the moment of a request, and make sure that the current quota decides it."""
        if is_stale(self):
            self.refresh()
        request.now_given = now is not None
        request.now = self.read_clock() if now is None else checked_moment(now, "now")
        return 0

    cdef bint allows_when_full(self, object key, str index=None) except -1:
        """Return whether to allow a request that found no slot: the key's, or the one at this index of a batch."""
        if self.when_full == RAISE:
            request = f"key {key!r}" if index is None else f"number {index} of the batch (those before it are decided)"
            raise TableFull(
                f"no slot for {request}: every slot it could take has a live key (max_keys={self.metadata.max_keys})"
            )
        return self.when_full == ALLOW

    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out):
        return decision_of(self, rule, request, out, self.when_full == ALLOW)


cdef uint64_t revision_of(object memory) except? 0:
    """Return how often the quota of a mapped table has changed."""
    return count_load(&(<Header*>(data_of(memory) + HEADER_OFFSET)).revision)
