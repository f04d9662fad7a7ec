"""The limiter: where Python objects meet the table."""

import mmap
import secrets
import sys

import numpy as np

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ._atomics cimport count_load, u128, word_setup
from ._clock cimport anchor_ns, now_ns
from ._keys cimport hash_bytes, hash_int, hash_key, hash_uint
from ._rule cimport LEAKY_BUCKET, NEVER, Rule
from ._table cimport (
    CANCEL,
    CHARGE,
    DONE,
    FULL,
    HIT,
    REFUND,
    RESERVE,
    SMALL_TABLE,
    WINDOW,
    Header,
    Outcome,
    Request,
    Status,
    Verb,
    count_live,
    fetch,
    forget,
    forget_all,
    look,
    perform,
)
from ._verdict cimport Verdict, pronounce, wait_ns

from .errors import TableFull
from .quota import Quota, count, seconds_to_ns

word_setup()

cdef int64_t ANCHOR = anchor_ns()  # once for all limiters, so that several decide at one and the same moment
cdef object SLOT = np.dtype({"names": ["state", "state_high", "tag"], "formats": ["<u8", "<u2", "V6"],
                             "offsets": [0, 8, 10], "itemsize": 16})
VERDICT = np.dtype([("allowed", "?"), ("limit", "u8"), ("remaining", "u8"), ("retry_after_ns", "u8"),
                                ("reset_after_ns", "u8"), ("delay_ns", "u8")], align=True)
cdef int MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
cdef dict ON_FULL = {"deny": DENY, "allow": ALLOW, "raise": RAISE}
cdef object MOST_KEYS = 2**56  # so that a size in bytes is far from 64 bits
cdef enum:
    PAGE = 4096
    BYTES_PER_KEY = 24  # 1.5 slots, the header among them
    OVERRIDES = 1024    # rules kept for quotas of single calls
    AHEAD = 16          # decisions between asking for a slot's cache line and using it


@cython.final
cdef class Override:
    """The rule of a quota that was given for one call."""


cdef class Limiter:
    """What all algorithms have in common. Use one of them; see there for the arguments.

    Every method may be called from any thread.
    """

    _sizes = None  # of each algorithm: the function of sizes.py that measures a quota

    def __cinit__(self, quota, *options, max_keys=1_000_000, on_full="deny", clock=None, **more_options):
        if self._sizes is None:
            raise TypeError("Limiter is what the algorithms share; use TokenBucket or one of its sisters")
        self.max_keys = count(max_keys, "max_keys")
        if self.max_keys > MOST_KEYS:
            raise ValueError(f"max_keys must be from 1 to 2**56, not {max_keys!r}")
        if not isinstance(on_full, str) or on_full not in ON_FULL:
            raise ValueError(f"on_full must be one of {', '.join(map(repr, ON_FULL))}, not {on_full!r}")
        if clock is not None and not callable(getattr(clock, "now_ns", None)):
            raise TypeError(f"clock must have a method now_ns(), integer nanoseconds since the epoch, not {clock!r}")
        self.own_sizes = self._sizes(quota, *options, **more_options)
        self.quota = self.own_sizes.quota
        self.on_full = on_full
        self.when_full = ON_FULL[on_full]
        self.clock = clock
        self.read = None if clock is None else clock.now_ns
        self.anchor = ANCHOR
        self.overrides = {}
        fill(&self.rule, self.own_sizes)
        self.allocate()

    cdef int allocate(self) except -1:
        cdef uint64_t size = self.max_keys
        cdef uint64_t seed[2]
        if size > SMALL_TABLE:
            size = (size * BYTES_PER_KEY - PAGE) // sizeof(u128)
        self.words = lazy_memory(PAGE + size * sizeof(u128), f"max_keys={self.max_keys}")
        self.slots.header = <Header*>address(self.words)
        self.slots.slots = <u128*>(address(self.words) + PAGE)
        self.slots.size = size
        self.slots.window = size if size <= SMALL_TABLE else WINDOW
        if self.rule.capacity:
            self.rings = lazy_memory(
                size * self.rule.capacity * sizeof(u128), f"max_keys={self.max_keys} with a limit of {self.rule.limit}"
            )
            self.slots.rings = <u128*>address(self.rings)
        seed[0], seed[1] = secrets.randbits(64), secrets.randbits(64)
        self.slots.header.seed = seed

    # --- the pieces that the verbs, and other Cython packages, are made of

    cdef uint64_t read_clock(self) except? 0:
        if self.read is None:
            return now_ns(self.anchor)
        return moment(self.read(), "clock.now_ns()")

    cdef uint64_t hash_of(self, object key) except? 0:
        return hash_key(self.slots.header.seed, key)

    cdef bint spend(self, uint64_t hashed, uint64_t cost, uint64_t now) noexcept nogil:
        """Spend `cost` if it may. A new key in a full table is refused, whatever `on_full` says."""
        cdef Request request
        cdef Outcome out
        request.verb = HIT
        request.now_given = True
        request.now = now
        request.cost = cost
        return perform(&self.slots, &self.rule, &request, hashed, &out) == DONE

    cdef const Rule* rule_for(self, object quota) except NULL:
        cdef Override override
        if quota is None:
            return &self.rule
        override = self.overrides.get(quota) if isinstance(quota, (str, Quota)) else None
        if override is None:
            override = Override()
            fill(&override.rule, self._sizes(quota, own=self.own_sizes))
            if len(self.overrides) >= OVERRIDES:
                self.overrides = {}
            self.overrides[quota] = override
        return &override.rule

    cdef int start(self, Request* request, object now) except -1:
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
        cdef const Rule* rule = self.rule_for(quota)
        cdef uint64_t hashed = hash_key(self.slots.header.seed, key)
        request.verb = HIT
        request.cost = amount(cost, "cost")
        self.start(&request, now)
        if perform(&self.slots, rule, &request, hashed, &out) == FULL:
            self.full(key)
        return self.decision(rule, &request, &out)

    def peek(self, key, cost=1, *, quota=None, now=None):
        """What `hit` would answer; changes nothing."""
        cdef Request request
        cdef Outcome out
        cdef const Rule* rule = self.rule_for(quota)
        cdef uint64_t hashed = hash_key(self.slots.header.seed, key)
        request.verb = HIT
        request.cost = amount(cost, "cost")
        self.start(&request, now)
        look(&self.slots, rule, &request, hashed, &out)
        if out.status == FULL:
            self.full(key)
        return self.decision(rule, &request, &out)

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
        cdef uint64_t hashed = hash_key(self.slots.header.seed, key)
        request.verb = RESERVE
        request.cost = amount(cost, "cost")
        request.patience = NEVER if max_delay is None else seconds_to_ns(max_delay, "max_delay")
        self.start(&request, None)
        status = perform(&self.slots, &self.rule, &request, hashed, &out)
        if status == FULL:
            return booking([], self.full(key), request.cost, out.now, out.now if self.when_full == ALLOW else out.at)
        return booking([(self, hashed)], status == DONE, request.cost, out.now, out.at)

    def refund(self, key, cost=1):
        """Give `cost` back, never above full."""
        cdef Request request
        cdef Outcome out
        cdef uint64_t hashed = hash_key(self.slots.header.seed, key)
        request.verb = REFUND
        request.cost = amount(cost, "cost")
        self.start(&request, None)
        perform(&self.slots, &self.rule, &request, hashed, &out)

    def reset(self, key):
        """Forget the key: it is like one never seen."""
        forget(&self.slots, hash_key(self.slots.header.seed, key))

    def clear(self):
        """Forget all keys."""
        with nogil:
            forget_all(&self.slots)

    def allow_many(self, keys, costs=None, *, now=None):
        """Decide a batch in order, exactly as the same calls one by one, without the GIL.

        Args:
            keys: an integer array, a fixed-width bytes array, or a list of str, bytes and int; n of them.
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

    # --- keys as a whole

    @property
    def table(self):
        """The live table: a read-only structured array with a row for each slot.

        Fields: `tag` (zero: never used; one: free again; else a key's), `state` and `state_high`, the low 64
        and the next 16 bits of the state, whose highest bit marks a slot that is being claimed.
        """
        return np.frombuffer(memoryview(self.words).toreadonly(), SLOT, offset=PAGE)

    @property
    def full_count(self):
        """How many decisions found no slot for their key."""
        return count_load(&self.slots.header.full)

    @property
    def collision_count(self):
        """How many updates were repeated because another thread's came between."""
        return count_load(&self.slots.header.collisions)

    def __len__(self):
        """The number of keys that still matter: whose state differs from a fresh key's."""
        cdef uint64_t live, now = self.read_clock()
        with nogil:
            live = count_live(&self.slots, &self.rule, now)
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
        return self.at if self.at < NEVER else None

    def cancel(self):
        """Give the place back, as far as that is fair to those who came after."""
        self.correct(CANCEL, self.cost)
        self.places = []

    def settle(self, actual_cost):
        """Correct the cost to what it turned out to be, once: give the rest back, or spend the more."""
        cdef uint64_t actual = amount(actual_cost, "actual_cost", 0)
        if actual < self.cost:
            self.correct(CANCEL, self.cost - actual)
        elif actual > self.cost:
            self.correct(CHARGE, actual - self.cost)
        self.places = []

    cdef int correct(self, Verb verb, uint64_t cost) except -1:
        cdef Request request
        cdef Outcome out
        cdef Limiter limiter
        for limiter, hashed in self.places:
            limiter.start(&request, None)
            request.verb = verb
            request.cost = cost
            request.at = self.at
            if limiter.rule.algorithm == LEAKY_BUCKET:  # what goes back is the end of what was booked
                request.at += (self.cost - cost) * <uint64_t>limiter.rule.interval
            perform(&limiter.slots, &limiter.rule, &request, hashed, &out)
        return 0

    def __bool__(self):
        return self.allowed

    def __reduce__(self):
        raise TypeError("a Reservation cannot be pickled or copied: it can be given back only once")

    def __repr__(self):
        return f"Reservation(allowed={self.allowed}, delay={self.delay}, cost={self.cost})"


cdef Reservation booking(list places, bint allowed, uint64_t cost, uint64_t now, uint64_t at):
    cdef Reservation place = Reservation.__new__(Reservation)
    place.places = places if allowed else []
    place.allowed = allowed
    place.cost = cost
    place.at = at
    place.delay_ = wait_ns(now, at)
    return place


@cython.final
cdef class Batch:
    """The arguments of a batch, checked before the first decision."""

    def __cinit__(self, Limiter limiter, keys, costs, now):
        self.limiter = limiter
        self.hashes = hashes_of(&limiter.slots.header.seed[0], keys)
        self.size = len(self.hashes)
        self.costs = integers(1 if costs is None else costs, "costs", self.size, 1, 2**64 - 1)
        self.now_given = now is not None
        self.moments = integers(limiter.read_clock() if now is None else now, "now", self.size, 0, NEVER - 2)

    cdef int decide(self, uint8_t* allowed, Verdict* verdicts) except -1:
        cdef Limiter limiter = self.limiter
        cdef const uint64_t[::1] hashes = self.hashes
        cdef const uint64_t[:] costs = self.costs, moments = self.moments
        cdef Request request
        cdef Outcome out
        cdef Py_ssize_t i, size = self.size
        cdef bint full = False
        request.verb = HIT
        request.now_given = self.now_given
        with nogil:
            for i in range(min(AHEAD, size)):
                fetch(&limiter.slots, hashes[i])
            for i in range(size):
                if i + AHEAD < size:
                    fetch(&limiter.slots, hashes[i + AHEAD])
                request.cost = costs[i]
                request.now = moments[i]
                perform(&limiter.slots, &limiter.rule, &request, hashes[i], &out)
                if out.status == FULL and limiter.when_full == RAISE:
                    full = True
                    break
                if verdicts != NULL:
                    pronounce(&limiter.rule, &request, &out, limiter.when_full == ALLOW, verdicts + i)
                else:
                    allowed[i] = out.status == DONE or (out.status == FULL and limiter.when_full == ALLOW)
        if full:
            limiter.full(f"number {i} of the batch; those before it are decided")
        return 0


# --- arguments --------------------------------------------------------------------------------------------


cdef double seconds(uint64_t ns) noexcept:
    return ns / 1e9 if ns < NEVER else INFINITY


cdef uint64_t moment(object value, str name) except? 0:
    return whole(value, name, 0, NEVER - 2, "nanoseconds since the epoch")


cdef uint64_t amount(object value, str name, uint64_t least=1) except? 0:
    """A cost. What exceeds 64 bits exceeds every limit as well, and is refused as such a cost is."""
    if isinstance(value, int) and value >= NEVER:
        return NEVER
    return whole(value, name, least, NEVER, "a number of requests")


cdef uint64_t whole(object value, str name, uint64_t least, uint64_t most, str what) except? 0:
    try:
        number = value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be an int, {what}, not {value!r} of type {type(value).__name__}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be {what}, an int from {least} to {most}, not {value!r}")
    return number


cdef object integers(values, str name, Py_ssize_t size, least, most):
    """An array of `size` 64-bit integers; a single number stands for all."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be whole numbers, not an array of {array.dtype}")
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ValueError(f"{name} must be one number or as many as there are keys, {size}, not of shape {array.shape}")
    wrong = np.flatnonzero((array < least) | (array > most))
    if len(wrong):
        raise ValueError(
            f"{name} must be from {least} to {most}, not {array.flat[wrong[0]]} (at index {wrong[0]})"
        )
    return np.broadcast_to(array.astype(np.uint64, copy=False), (size,))


cdef object hashes_of(const uint64_t* seed, keys):
    """The hashes of a batch of keys."""
    cdef uint64_t[::1] hashes
    cdef const int64_t[:] signed
    cdef const uint64_t[:] unsigned
    cdef const uint8_t[:, ::1] rows
    cdef Py_ssize_t i, size, length
    accepted = "keys must be a one-dimensional array of integers or bytes (dtype i, u or S), or a list of str, bytes and int"
    if not isinstance(keys, (np.ndarray, list, tuple)):
        raise TypeError(f"{accepted}, not {type(keys).__name__}")
    if isinstance(keys, np.ndarray) and keys.ndim != 1:
        raise ValueError(f"{accepted}, not an array of shape {keys.shape}")
    size = len(keys)
    result = np.empty(size, np.uint64)
    hashes = result
    if not isinstance(keys, np.ndarray):
        for i in range(size):
            hashes[i] = hash_key(seed, keys[i])
        return result
    if keys.dtype.kind == "i":
        signed = keys.astype(np.int64, copy=False)
        with nogil:
            for i in range(size):
                hashes[i] = hash_int(seed, signed[i])
    elif keys.dtype.kind == "u":
        unsigned = keys.astype(np.uint64, copy=False)
        with nogil:
            for i in range(size):
                hashes[i] = hash_uint(seed, unsigned[i])
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


# --- memory -----------------------------------------------------------------------------------------------


cdef object lazy_memory(object size, str wanted):
    """Zeroed, page-aligned memory of this process, which the kernel hands out as it is touched."""
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{wanted} takes {size:,} bytes of address space: {error}") from error
    return np.frombuffer(block, np.uint8)


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
