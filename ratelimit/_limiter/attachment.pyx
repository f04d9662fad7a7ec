"""A limiter's attachment to its table: how it maps the table, follows its quota, and reads the clock."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .._engine.arrays cimport data_of
from .._engine.atomics cimport count_add, count_load, count_swap, rule_publish, u128, word_cas, word_load
from .._engine.clock cimport anchor_ns, clock_is_valid, now_ns, peek_ns, settle_anchor
from .._engine.constants cimport HEADER_OFFSET, NEVER, PAGE_BYTES, SLIDING_LOG, SLOT_BYTES
from .._engine.layout cimport CLOCK_TOLERANCE, Header, Level, horizon_of, lay_out, open_slots, top_of
from .._engine.request cimport BLOCK, DONE, FULL, Outcome, Request, Verb
from .._engine.rule cimport Rule
from .._engine.table cimport carry_over, forget_all, perform, take
from .arguments cimport checked_moment
from .compiled_rule cimport CompiledRule
from .decision cimport Decision, decision_of
from .keys cimport hash_key
from .limited cimport Limited
from .memory cimport ensure_memory

from .._storage.metadata import (
    COUNTS,
    ENTRY_WORDS,
    QUOTAS_OFFSET,
    changed_word,
    entry_values,
    slots_for,
    window_for,
)
from ..errors import CorruptTable, TableFull, check_choice
from ..quota import Quota
from .arguments import PYTHON_HASH_IS_SECRET
from .parameters import read_parameters, restate

cdef object SLOT = np.dtype({"names": ["state", "state_high", "tag"], "formats": ["<u8", "<u2", "V6"],
                             "offsets": [0, 8, 10], "itemsize": SLOT_BYTES})
cdef int64_t ANCHOR = anchor_ns()  # one for all limiters, so that several decide at one and the same moment
cdef Header NO_HEADER  # of a limiter that is not attached to a table
cdef Rule NO_RULE
NO_HEADER.revision = 1
cdef enum:
    QUOTAS_IN_TABLE = 16  # as QUOTAS of metadata.py
    MAX_ATTEMPTS = 10_000  # to find a place for a quota; one is enough unless the table is damaged
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


cdef int log(str message) except -1:
    """Log what happened to a table's quota; an import of ratelimit need not import logging."""
    import logging

    logging.getLogger("ratelimit").info("%s", message)
    return 0


cdef class Attachment(Limited):
    """The base of every limiter. Its class sets `_parameters`: the function that turns a quota into RuleParameters."""

    _parameters = None

    def __cinit__(self, *arguments, **named):
        # until __init__, which a subclass may forget to call, every verb finds a changed quota and comes to `refresh`
        lay_out(&self.attached, &NO_HEADER, NULL, 0, 0, 0, 0)
        self.rule = &NO_RULE

    cdef int attach(self, object wanted) except -1:
        """Map the table, and read its quota, which may differ from the one that is wanted."""
        self.rules = []
        self.overrides = {}
        self.memory, self.metadata = self.table.attach(
            wanted.format(self.clock is None), wanted.stored, self.birth_of_table()
        )
        self.attached.header = <Header*>(data_of(self.memory) + HEADER_OFFSET)
        lay_out(
            &self.attached,
            self.attached.header,
            <u128*>(data_of(self.memory) + PAGE_BYTES),
            slots_for(self.metadata.max_keys),
            self.metadata.base,
            window_for(self.metadata.max_keys),
            self.metadata.format.capacity,
        )
        self.attached.seed = self.metadata.seed
        self.attached.is_mapped = self.table.storage.is_mapped
        self.found = self.attached.header[0]
        self.quick_hash = self.table.path is None and PYTHON_HASH_IS_SECRET
        self.attach_clock(self.table.storage.session)
        defer_reference_counts(self)
        return self.refresh()

    cdef uint64_t birth_of_table(self) except? 0:
        """Return `Rule.born` of a table that this limiter makes."""
        if self.table.starts != "spent":
            return 0
        return 1 + (peek_ns(ANCHOR) if self.read is None else checked_moment(self.read(), "clock.now_ns()"))

    cdef int attach_clock(self, uint64_t session) except -1:
        """Find out what time it is on this table, and check what else in the header is a time."""
        cdef Header* header = self.attached.header
        if not clock_is_valid(&header.clock, session):
            raise CorruptTable(f"{self.table} is damaged: its clock is beyond the end of time")
        ensure_memory(&self.attached, self.table.storage)
        self.anchor = settle_anchor(&header.clock, session, ANCHOR)
        self.attached.anchor = self.anchor
        self.attached.own_clock = self.read is None
        if self.read is not None and count_load(&header.horizon) >= NEVER - 1:
            raise CorruptTable(f"{self.table} is damaged: its horizon is beyond the end of time")
        if self.read is None:
            horizon_of(&self.attached, peek_ns(self.anchor))  # lowers one that is ahead of the clock
        return 0

    # --- the table

    def slots(self):
        """Return the live slots that are in use: a read-only structured array with a row for each.

        Fields: `tag` (0: never used; 1: free again; otherwise of a key), `state` and `state_high`, the low 64 and the
        next 16 bits of the state, of which the highest marks a slot that is being claimed.
        """
        return np.frombuffer(memoryview(self.memory).toreadonly(), SLOT, open_slots(&self.attached), PAGE_BYTES)

    def _levels(self):
        """Return the open levels: each one's first slot, its size, and how many slots a search may visit."""
        cdef Level* level
        cdef uint64_t number
        levels = []
        for number in range(top_of(&self.attached) + 1):
            level = &self.attached.levels[number]
            levels.append((<uint64_t>(level.slots - self.attached.slots), level.size, level.window))
        return levels

    @property
    def full_count(self):
        """How many decisions found no slot for their key."""
        return count_load(&self.attached.header.full)

    @property
    def claim_count(self):
        """How many slots were claimed for new keys, roughly: a repaired header counts on from a higher number."""
        return count_load(&self.attached.header.tickets)

    @property
    def collision_count(self):
        """How many updates were repeated because another thread had changed the slot."""
        return count_load(&self.attached.header.collisions)

    @property
    def latest_ns(self):
        """The moment of the latest decision by the library's clock, to within a second; 0 before the first."""
        return count_load(&self.attached.header.clock.latest)

    # --- the quota

    cdef int refresh(self) except -1:
        """Read the quota that is in force now."""
        cdef CompiledRule compiled
        if self.rules is None:
            raise RuntimeError(f"{type(self).__name__}.__init__: expected a call of super().__init__(quota)")
        compiled = CompiledRule(*parameters_in_force(self.memory, self.metadata), self.metadata.born)
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
            compiled = CompiledRule(self._parameters(quota, base=self.current().parameters), 0, self.metadata.born)
            if len(self.overrides) >= MAX_OVERRIDES:
                self.overrides.clear()
            self.overrides[quota] = compiled
        return compiled

    cdef int reconcile_quota(self, object wanted) except -1:
        """Resolve a mismatch between the quota that the limiter was made with and the table's.

        A quota that no limiter was made with before, or one of a higher version, is put in force. Any other limiter
        follows the table: it was restarted with the code of before a change.
        """
        policy, version = self.table.if_changed, self.table.version
        if policy == "follow":
            return 0
        while True:
            self.refresh()
            current = self.current()
            newer = version is not None and version > self.metadata.version
            older = version is not None and version < self.metadata.version
            declared = self.metadata.is_declared(wanted.stored)
            if wanted.stored == current.parameters.stored:
                break
            if policy == "raise":
                raise ValueError(
                    f"{self.table} has another quota: expected {wanted.quota!r}, got {current.parameters.quota!r}; "
                    f"{self._remedy(wanted)}"
                )
            if older or (declared and not newer):
                log(f"{self.table} keeps {self}, not {wanted.quota}; {self._remedy(wanted)}")
                return 0
            if self.put_in_force(current, restate(wanted.stored, current.parameters), policy):
                log(f"{self.table} has now {wanted.quota}, instead of {current.parameters.quota}")
                break
        if not declared and not older:
            self.metadata.declare(wanted.stored, count_add(&self.attached.header.declarations, 1) + 1)
        if newer:
            self.metadata.version = version
        return 0

    def _remedy(self, object wanted):
        """Return how to put another quota in force, for messages."""
        if self.table.path is None:
            return "change it with limiter.change"
        name = self.table.name or self.table.path
        return (
            f"change it with `ratelimit table change {name} {wanted.quota}`, with limiter.change, or with a higher "
            "version= of the table; if_changed='keep' follows changes"
        )

    cdef int change_quota(self, object parameters, object counts) except -1:
        """Give the table another quota."""
        cdef CompiledRule old
        check_choice(counts, "counts", COUNTS)
        while True:
            self.refresh()
            old = self.current()
            if parameters.stored == old.parameters.stored or self.put_in_force(old, parameters, counts):
                return 0

    cdef bint put_in_force(self, CompiledRule old, object parameters, object counts) except -1:
        """Replace the quota in force by another one; False: another thread or process has replaced it first.

        No lock is held, so no thread waits: for a process that is stopped, for a child that was forked in between, or
        in a signal handler for the change that it interrupts. Of two changes at once, the later one remains.
        """
        cdef CompiledRule new
        cdef uint64_t now = self.read_clock(), revision
        cdef bint scale = counts == "scale"
        if scale and self.rule.algorithm == SLIDING_LOG:
            raise ValueError("counts: expected 'keep' or 'reset', got 'scale'; a SlidingLog keeps no count")
        revision = self.propose(old.rule.revision, parameters, now, counts)
        if not count_swap(&self.attached.header.revision, old.rule.revision, revision):
            return False
        new = CompiledRule(parameters, revision)
        self.refresh()
        if counts == "reset":
            self.forget_keys()
        else:
            with nogil:
                carry_over(&self.attached, &old.rule, &new.rule, now, scale)
        return True

    cdef uint64_t propose(self, uint64_t before, object parameters, uint64_t now, object counts) except? 0:
        """Write the entry of a quota that is to follow the revision `before`; return its revision.

        An entry belongs to the attempt with the latest ticket. A word is replaced only as long as it is of an earlier
        one. So a thread that was stopped here for the time of sixteen changes does not damage the entry of the last.
        """
        cdef uint64_t revision
        cdef uint32_t ticket
        for _attempt in range(MAX_ATTEMPTS):
            ticket = <uint32_t>count_add(&self.attached.header.changes, 1)
            revision = ((before >> 32) + 1) << 32 | ticket
            if count_load(&self.attached.header.revision) != before:
                return revision  # too late, as the caller will see
            if ticket % QUOTAS_IN_TABLE == before % QUOTAS_IN_TABLE:
                continue
            if self.write_entry(revision, entry_values(revision, parameters.stored, changed_word(now, counts), before)):
                return revision
        raise CorruptTable(f"{self.table} is damaged: it has no place for another quota")

    cdef bint write_entry(self, uint64_t revision, list values) except -1:
        cdef uint64_t place = revision % QUOTAS_IN_TABLE * <uint64_t>ENTRY_WORDS
        cdef u128* entry = <u128*>(data_of(self.memory) + <uint64_t>QUOTAS_OFFSET) + place
        cdef u128 word
        for value in values:
            word = word_load(entry)
            if word != 0 and <int32_t>(<uint32_t>revision - <uint32_t>(word >> 64)) <= 0:
                return False  # a later attempt's, or damaged
            if not word_cas(entry, &word, <u128>revision << 64 | <uint64_t>value):
                return False
            entry += 1
        return True

    # --- what the verbs, and other Cython packages, are made of

    cdef uint64_t read_clock(self) except? 0:
        if self.read is None:
            return now_ns(&self.attached.header.clock, self.anchor)
        return checked_moment(self.read(), "clock.now_ns()")

    cdef uint64_t hash_of(self, object key) except? 0:
        return hash_key(self.attached.seed, self.quick_hash, key)

    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil:
        """Spend `cost` if the quota admits it. A new key in a full table is refused, whatever `on_full` is."""
        return take(&self.attached, self.rule, hashed, now, True, cost, False) == DONE

    def _header_faults(self, used):
        """Return what in the header was wrong when the table was attached; `used` slots hold a key or did."""
        cdef Header* found = &self.found
        faults = []
        if found.tickets < used:
            faults.append("the header is older than the slots: a copy of a table in use, or a power cut")
        if found.directory & 255 >= self.attached.height or found.directory >> 16:
            faults.append(f"its directory is {found.directory:#x}: expected at most {self.attached.height} levels")
        for number in range(min(found.directory & 255, self.attached.height - 1) + 1):
            window = self.attached.levels[number].window
            if found.reaches[number] > window or (used and not number and found.reaches[number] == 0):
                faults.append(f"the reach of its searches is {found.reaches[number]}: expected 1 to {window}")
        if self.read is None and found.horizon > peek_ns(self.anchor) + CLOCK_TOLERANCE:
            ahead = (found.horizon - peek_ns(self.anchor)) // 10**9
            faults.append(f"its horizon is {ahead:,} seconds ahead of the clock")
        return faults

    cdef int forget_keys(self) except -1:
        with nogil:
            forget_all(&self.attached)
        return 0

    cdef int hold(self, object key, Verb verb, uint64_t length, object quota) except -1:
        """Block a key for `length` nanoseconds, or unblock it."""
        cdef Request request
        cdef Outcome out
        cdef CompiledRule compiled
        cdef uint64_t hashed = hash_key(self.attached.seed, self.quick_hash, key)
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

    cdef Decision decision(self, const Rule* rule, const Request* request, const Outcome* out, object quota):
        return decision_of(self, rule, request, out, self.when_full == ALLOW, quota)


cdef tuple parameters_in_force(object memory, object metadata):
    """Return the parameters of the quota that a mapped table has now, and their revision."""
    cdef uint64_t* current = &(<Header*>(data_of(memory) + HEADER_OFFSET)).revision
    cdef uint64_t revision = count_load(current)
    while True:
        try:
            return read_parameters(metadata, revision), revision
        except CorruptTable:
            if revision == count_load(current):
                raise
            revision = count_load(current)  # sixteen changes came in between
