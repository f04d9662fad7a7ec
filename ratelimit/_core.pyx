"""The limiter: where Python objects meet the engine.

In one file: a class of Cython cannot be divided.
"""

import numpy as np

from libc.stdint cimport uint8_t, uint64_t

from ._engine.arrays cimport data_of
from ._engine.atomics cimport count_load, u128
from ._engine.clock cimport peek_ns
from ._engine.compaction cimport compact
from ._engine.constants cimport NEVER
from ._engine.growth cimport pages_release
from ._engine.layout cimport Table as TableInMemory, evictable_at, level_of, open_slots, top_of
from ._engine.request cimport BLOCK, DONE, FULL, HIT, REFUND, RESERVE, UNBLOCK, Outcome, Request, Status
from ._engine.table cimport count_live, count_live_in, forget, look, perform
from ._engine.verdict cimport Verdict, wait_ns
from ._limiter.arguments cimport checked_cost
from ._limiter.attachment cimport ALLOW, DENY, RAISE, is_stale, parameters_in_force
from ._limiter.batch cimport Batch
from ._limiter.compiled_rule cimport CompiledRule
from ._limiter.keys cimport hash_key
from ._limiter.reservation cimport place_of, reservation_of

from ._limiter import taking
from ._limiter.decision import VERDICT
from ._limiter.parameters import check_arguments, options_of, restate, text_of
from .errors import check_choice
from .quota import seconds_to_ns
from .table import Table

cdef dict ON_FULL = {"deny": DENY, "allow": ALLOW, "raise": RAISE}

# The modules that define these import this one.
CLASSES = {}  # the class of each algorithm
All = None


cdef class Limiter(Attachment):
    """The base of all algorithms. Use one of their classes, which describe the arguments.

    Thread-safety: every method may be called from any thread and, if the table is shared, in any process.
    """

    _is_remote = False  # whether the class has the verbs for a table on an engine, see _remote

    def __cinit__(self, *arguments, **named):
        if not has_own_arguments(type(self)):
            self._make(arguments, **named)

    def __init__(self, *arguments, **named):
        if self.rules is None:
            self._make(arguments, **named)

    def _make(self, arguments, max_keys=None, table=None, on_full="deny", clock=None, **named):
        if self._parameters is None:
            raise TypeError("Limiter cannot be instantiated; use TokenBucket or another algorithm's class")
        check_arguments(type(self), self._parameters, arguments, named)
        if table is not None and not isinstance(table, Table):
            raise TypeError(f"table: expected a Table, got {table!r}")
        if table is not None and max_keys is not None:
            raise TypeError("max_keys: expected as an argument of the table, Table(max_keys=...)")
        check_choice(on_full, "on_full", ON_FULL)
        if clock is not None and (isinstance(clock, type) or not callable(getattr(clock, "now_ns", None))):
            raise TypeError(f"clock: expected a method now_ns(), integer nanoseconds since the epoch, got {clock!r}")
        if table is not None and table.remote is not None and not self._is_remote:
            raise TypeError(f"table: expected one on this host for {type(self).__name__}, got {table!r}")
        self.on_full = on_full
        self.when_full = ON_FULL[on_full]
        self.clock = clock
        self.read = None if clock is None else clock.now_ns
        self.table = Table(max_keys=max_keys) if table is None else table
        wanted = self._parameters(*arguments, **named)
        self.attach(wanted)
        self.reconcile_quota(wanted)

    @classmethod
    def of(cls, table):
        """Return the limiter that an existing table serves, with the algorithm and quota that the table has.

        Raises:
            FileNotFoundError: the table does not exist.
            CorruptTable: it is not a table, or is damaged.
            ValueError: it is in this process's memory, has a clock that was given as clock=, or is of another class.
        """
        if not isinstance(table, Table):
            raise TypeError(f"table: expected a Table, got {table!r}")
        memory, metadata = table.attach_existing()
        if not metadata.format.own_clock:
            raise ValueError(f"{table}: expected ratelimit's own clock, got one given as clock=; use its class")
        parameters, _ = parameters_in_force(memory, metadata)
        found = CLASSES[parameters.algorithm]
        if not issubclass(found, cls):
            raise ValueError(f"{table}: expected a table of a {cls.__name__}, got one of a {found.__name__}")
        return attached_as_it_is(found, parameters.quota, dict(options_of(parameters), table=table))

    # --- the verbs

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did.

        Args:
            key: str, bytes or int.
        """
        return self.hit(key).allowed  # each algorithm has the fast one, see _core.pxd

    def hit(self, key, cost=1, *, quota=None, now=None):
        """Spend all of `cost` if the quota admits it, otherwise nothing; return a Decision.

        Args:
            key: str, bytes or int.
            cost: a whole number from 1. A cost above the limit is always refused, with `retry_after = inf`.
            quota: a quota for this call instead of the limiter's; for windows with the same period.
            now: integer nanoseconds since the epoch, instead of the clock's time.
        """
        cdef Request request
        cdef Outcome out
        cdef CompiledRule compiled
        cdef uint64_t hashed = hash_key(self.attached.seed, self.quick_hash, key)
        request.verb = HIT
        request.cost = checked_cost(cost, "cost")
        self.prepare(&request, now)
        compiled = self.rule_for(quota)
        if perform(&self.attached, &compiled.rule, &request, hashed, &out) == FULL:
            self.allows_when_full(key)
        return self.decision(
            &compiled.rule, &request, &out, None if quota is None else compiled.parameters.quota
        )

    def take(self, key, most, *, quota=None, now=None):
        """Spend as much of `most` as the quota admits now; return a Decision, whose `spent` is how much that is.

        Args:
            key, quota, now: as for `hit`.
            most: a whole number from 1. If not even 1 is admitted, the decision is a refusal, as of `hit`.
        """
        return taking.take(self, key, most, quota=quota, now=now)

    def peek(self, key, cost=1, *, quota=None, now=None):
        """Return the Decision that `hit` would make, without changing anything."""
        cdef Request request
        cdef Outcome out
        cdef CompiledRule compiled
        cdef uint64_t hashed = hash_key(self.attached.seed, self.quick_hash, key)
        request.verb = HIT
        request.cost = checked_cost(cost, "cost")
        self.prepare(&request, now)
        compiled = self.rule_for(quota)
        look(&self.attached, &compiled.rule, &request, hashed, &out)
        if out.status == FULL:
            self.allows_when_full(key)
        return self.decision(
            &compiled.rule, &request, &out, None if quota is None else compiled.parameters.quota
        )

    def reserve(self, key, cost=1, *, max_delay=None):
        """Book a turn now, for a request that waits until then; return a Reservation, true if it is booked.

        Args:
            key, cost: as for `hit`.
            max_delay: seconds. Nothing is booked if the wait would be longer.
        """
        cdef Request request
        cdef Outcome out
        cdef Status status
        cdef uint64_t hashed = hash_key(self.attached.seed, self.quick_hash, key)
        request.verb = RESERVE
        request.at = 0
        request.cost = checked_cost(cost, "cost")
        request.patience = NEVER if max_delay is None else seconds_to_ns(max_delay, "max_delay")
        self.prepare(&request, None)
        status = perform(&self.attached, self.rule, &request, hashed, &out)
        if status == FULL:
            delay = 0 if self.when_full == ALLOW else wait_ns(out.now, out.at)
            return reservation_of([], self.allows_when_full(key), (request.cost,), out.now, delay)
        delay = wait_ns(out.now, out.at)
        places = [place_of(self, 0, hashed, &out)]
        return reservation_of(places, status == DONE, (request.cost,), out.now, delay, out.held_until > 0)

    def refund(self, key, cost=1, *, quota=None):
        """Give `cost` back, at most what was spent.

        Args:
            quota: that of the call that spent it, as for `hit`.
        """
        cdef Request request
        cdef Outcome out
        cdef CompiledRule compiled
        cdef uint64_t hashed = hash_key(self.attached.seed, self.quick_hash, key)
        request.verb = REFUND
        request.cost = checked_cost(cost, "cost")
        self.prepare(&request, None)
        compiled = self.rule_for(quota)
        perform(&self.attached, &compiled.rule, &request, hashed, &out)

    def block(self, key, seconds, *, quota=None):
        """Refuse all requests with this key for `seconds`; for a ban, or for the time that a server asks to wait.

        Args:
            key: str, bytes or int.
            seconds: from 0. A block that ends later is not shortened. The refusals have the rest as `retry_after`, or
                more if the limit itself would refuse for longer.
            quota: that of the calls with this key, as for `hit`.

        At the end the key has what it would have without the block, in whole requests. Meanwhile nothing is given back
        by `refund`, `cancel` and `settle`, and nothing can be reserved. Those that wait in this process wait on, and
        keep their order.

        Raises:
            TableFull: the key has no slot and cannot get one, whatever `on_full` is.
        """
        cdef uint64_t length = seconds_to_ns(seconds, "seconds")

        from ._limiter import waiting  # not before: it imports asyncio, which takes as long as this package
        waiting.with_places_returned(self, key, lambda: self.hold(key, BLOCK, length, quota))

    def unblock(self, key):
        """End a block now; without a block, nothing happens.

        The key has what it had when the block began, or less: never more than it would have without the block. If it
        was booked ahead by reservations in a window, it stays blocked until that window.
        """
        from ._limiter import waiting  # not before: it imports asyncio, which takes as long as this package
        waiting.with_places_returned(self, key, lambda: self.hold(key, UNBLOCK, 0, None))

    async def allow_async(self, key, /):
        """Do what `allow` does; for tables that are reached over a network."""
        return self.allow(key)

    async def hit_async(self, key, cost=1, *, quota=None, now=None):
        """Do what `hit` does; for tables that are reached over a network."""
        return self.hit(key, cost, quota=quota, now=now)

    async def take_async(self, key, most, *, quota=None, now=None):
        """Do what `take` does; for tables that are reached over a network."""
        return self.take(key, most, quota=quota, now=now)

    async def peek_async(self, key, cost=1, *, quota=None, now=None):
        """Do what `peek` does; for tables that are reached over a network."""
        return self.peek(key, cost, quota=quota, now=now)

    async def reserve_async(self, key, cost=1, *, max_delay=None):
        """Do what `reserve` does; for tables that are reached over a network."""
        return self.reserve(key, cost, max_delay=max_delay)

    async def refund_async(self, key, cost=1):
        """Do what `refund` does; for tables that are reached over a network."""
        self.refund(key, cost)

    async def block_async(self, key, seconds, *, quota=None):
        """Do what `block` does; for tables that are reached over a network."""
        self.block(key, seconds, quota=quota)

    async def unblock_async(self, key):
        """Do what `unblock` does; for tables that are reached over a network."""
        self.unblock(key)

    def reset(self, key):
        """Forget the key: make it like one never seen."""
        forget(&self.attached, hash_key(self.attached.seed, self.quick_hash, key))

    def change(self, quota, *, counts="keep"):
        """Change the limit itself, for every limiter on the table and from its next decision on.

        Args:
            quota: the new quota, with its burst; without a burst it has the limit for one, whatever the old burst was.
                For windows and the log with the same period; for the log with a limit up to the one that the table
                was made with.
            counts: what happens to what keys have spent. `"keep"`: it stays, so 60 of 100 becomes 60 of 200.
                `"scale"`: its share stays, so 60 of 100 becomes 120 of 200. `"reset"`: it is forgotten.

        The keys are restated one after another, in some milliseconds per million. A request that is decided meanwhile
        may be scaled too. If the process is killed half-way, the other keys keep their counts.
        """
        if is_stale(self):
            self.refresh()
        current = self.current().parameters
        wanted = self._parameters(quota, base=current)
        if counts == "reset" and wanted.stored == current.stored:
            self.clear()
        self.change_quota(wanted, counts)

    def _change_rate(self, quota, counts):
        """Change the limit, but keep a burst or capacity that is not the limit itself, as `ratelimit table change`."""
        self.refresh()
        current = self.current().parameters
        wanted = self._parameters(quota, base=current).stored
        if "burst" in options_of(current) or "capacity" in options_of(current):
            wanted = wanted._replace(maximum=current.limit)
        self.change_quota(restate(wanted, current), counts)

    def clear(self):
        """Forget all keys."""
        self.forget_keys()

    def compact(self):
        """Give back the memory that many keys took which are now like new. No live key loses what it has spent.

        For a table in this process, which no other thread may use meanwhile: no batch runs, and without the GIL no
        method is called. `ratelimit table compact` does the same for shared memory and files.
        """
        if self.table.path is not None or self._is_remote:
            raise ValueError(f"compact: expected a table in this process, got {self.table}; `ratelimit table compact`")
        self._compact()

    def _compact(self, session=None):
        """Compact memory that only this process has. It belongs to another file's session from now on."""
        cdef TableInMemory* table = &self.attached
        cdef uint64_t now = peek_ns(self.anchor) if self.read is None else self.read_clock()
        cdef uint64_t before = open_slots(table), after
        if is_stale(self):
            self.refresh()
        compact(table, self.rule, evictable_at(table, now))
        after = open_slots(table)
        pages_release(table.slots + after, (before - after) * sizeof(u128))
        if table.rings != NULL:
            pages_release(table.rings + after * table.capacity, (before - after) * table.capacity * sizeof(u128))
        if session is not None:
            table.header.clock.epoch = <u128><uint64_t>session << 64 | <uint64_t>self.anchor

    def _growth(self):
        """Return how many live keys each open level has, how many levels there can be, and attempts without memory."""
        cdef uint64_t number, now = peek_ns(self.anchor) if self.read is None else self.read_clock()
        live = []
        for number in range(top_of(&self.attached) + 1):
            live.append(count_live_in(&self.attached, self.rule, level_of(&self.attached, number), now))
        return live, self.attached.height, count_load(&self.attached.header.starved)

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order, as if by one call after another, without the GIL; return an array of n bools.

        Args:
            keys: an array of n integers, fixed-width bytes or text, or a list or object array of str, bytes and int.
            costs: n whole numbers from 1, or one for all.
            now: n moments in integer nanoseconds since the epoch, or one for all; by default one reading of the clock.
        """
        cdef Batch batch = Batch(self, keys, costs, now)
        allowed = np.empty(batch.size, bool)
        batch.decide(<uint8_t*>data_of(allowed), NULL)
        return allowed

    def hit_many(self, keys, costs=None, *, now=None):
        """Decide a batch as `allow_many` does; return all fields of the decisions.

        Returns: a structured array of n with the fields allowed, limit, remaining, retry_after_ns (2**62 if no wait is
        long enough), reset_after_ns and delay_ns, as in a Decision.
        """
        cdef Batch batch = Batch(self, keys, costs, now)
        verdicts = np.empty(batch.size, VERDICT)
        batch.decide(NULL, <Verdict*>data_of(verdicts))
        return verdicts

    def wait(self, key, cost=1, timeout=None):
        """Block until `cost` is spent; requests of one process are served in order.

        Raises: immediately, without spending: WaitTimeout if the turn comes later than `timeout` seconds,
        CostExceedsLimit if no wait is long enough, TableFull.
        """
        from ._limiter import waiting  # not before: it imports asyncio, which takes as long as this package
        waiting.wait(self, key, cost, timeout)

    def wait_async(self, key, cost=1, timeout=None):
        """Wait as `wait` does, without blocking the event loop. A cancelled wait gives its turn back."""
        from ._limiter import waiting  # not before: it imports asyncio, which takes as long as this package
        return waiting.wait_async(self, key, cost, timeout)

    def __and__(self, other):
        """Return both limits as one, an All."""
        return All(self, other) if isinstance(other, (Limiter, All)) else NotImplemented

    # --- what it was made with

    @property
    def quota(self):
        """The quota that is in force now."""
        if is_stale(self):
            self.refresh()
        return self.current().parameters.quota

    @property
    def max_keys(self):
        """How many keys may be live at once."""
        return self.metadata.max_keys

    def __reduce__(self):
        if self.table.path is None:
            raise TypeError(f"{self!r} keeps its keys in this process's memory; one with a shared table can be pickled")
        options = options_of(self.current().parameters)
        options.update(table=self.table, on_full=self.on_full, clock=self.clock)
        return restored, (type(self), self.quota, options)

    def __str__(self):
        """Return the limit as `ratelimit.parse` reads it."""
        if is_stale(self):
            self.refresh()
        return text_of(self.current().parameters)

    def __repr__(self):
        quota = self.quota
        shown = [f", {name}={value!r}" for name, value in options_of(self.current().parameters).items()]
        return f"{type(self).__name__}({str(quota)!r}{''.join(shown)})"

    def now_ns(self):
        """Return the time by this limiter's clock, in nanoseconds since the epoch."""
        return self.read_clock()

    def __len__(self):
        """Return the number of live keys: those whose state differs from a new key's."""
        cdef uint64_t live, now = peek_ns(self.anchor) if self.read is None else self.read_clock()
        with nogil:
            live = count_live(&self.attached, self.rule, now)
        return live

    def __bool__(self):
        return True


cdef bint has_own_arguments(cls):
    """Return whether the arguments are a subclass's own; it calls `super().__init__` with those of the limiter."""
    for one in cls.__mro__:
        own = vars(one)
        if "_parameters" in own or "__new__" in own:
            return False
        if "__init__" in own:
            return True


def restored(cls, quota, options):
    """Return an unpickled limiter, attached to its table again. The quota may have changed since."""
    return attached_as_it_is(cls, quota, options)


cdef Limiter attached_as_it_is(cls, quota, dict options):
    """Return a limiter that takes over the quota of its table; one that does not exist is made with the given one."""
    cdef Limiter limiter
    table = options["table"]
    limiter = cls(quota, **dict(options, table=table.following()))
    limiter.table = table
    return limiter
