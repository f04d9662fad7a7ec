"""The answer of an engine, in the terms of the local engine.

The functions that decide locally make the decision from the engine's moment and the states before and after.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .._core cimport Limiter
from .._engine.algorithm cimport carried, is_gcra, ready, turn
from .._engine.atomics cimport u128
from .._engine.constants cimport CALENDAR_WINDOW, FIRST_WINDOW, FIXED_WINDOW, NEVER, SLIDING_LOG, SLIDING_WINDOW
from .._engine.fixed_window cimport calendar_number, fixed_end, fixed_pack
from .._engine.layout cimport storable
from .._engine.request cimport DONE, HIT, REFUSED, Request
from .._engine.rule cimport Rule
from .._engine.sliding_window cimport Sliding, sliding_pack
from .._engine.verdict cimport Verdict, fill_verdict, more_after, wait_ns
from .._limiter.attachment cimport is_stale
from .._limiter.compiled_rule cimport CompiledRule
from .._limiter.decision cimport FALLBACK, Decision
from .._limiter.reservation cimport Reservation
from .request cimport MOST, Asked, changes_since, rule_in_engine, rule_of

from .._limiter.decision import SOURCES
from ..errors import CorruptTable

cdef enum:
    FOREIGN = 3  # statuses of the engine, beside DONE and REFUSED
    OLDER = 4
    NEWER = 5
    BLOCKED = 6
    UNCOVERED = 7
    MOMENT = 8   # bytes of a reply
    ANSWER = 96


cdef u128 state_of_numbers(const Rule* rule, const double* s) noexcept:
    """Return a state of the engine as the local engine has it."""
    cdef Sliding seen
    if s[0] == 0 and s[1] == 0 and s[2] == 0:
        return 0
    if is_gcra(rule):
        return <u128><uint64_t>s[0] * (rule.unit * 1000) + <uint64_t>s[1]
    if rule.algorithm == SLIDING_WINDOW:
        seen.index, seen.previous, seen.current = <uint64_t>s[0], <uint64_t>s[1], <uint64_t>s[2]
        return sliding_pack(rule, seen)
    if rule.algorithm in (FIXED_WINDOW, CALENDAR_WINDOW):
        return <u128><uint64_t>s[0] << rule.count_bits | <uint64_t>s[1]
    return fixed_pack(rule, <uint64_t>s[0] * 1000, <uint64_t>s[1])


cdef tuple three(const double* numbers):
    return numbers[0], numbers[1], numbers[2]


cdef tuple numbers_of_state(const Rule* rule, u128 state):
    """Return a state as the engine has it."""
    cdef uint64_t micro = rule.unit * 1000
    cdef uint64_t mask = (<uint64_t>1 << rule.count_bits) - 1
    if is_gcra(rule):
        return <uint64_t>min(state // micro, <u128>MOST), <uint64_t>(state % micro), 0
    if rule.algorithm == SLIDING_WINDOW:
        return (
            <uint64_t>(state >> 2 * rule.count_bits), <uint64_t>(state >> rule.count_bits) & mask,
            <uint64_t>state & mask,
        )
    if rule.algorithm == FIRST_WINDOW:
        return <uint64_t>(state >> rule.count_bits) // 1000, <uint64_t>state & mask, 0
    return <uint64_t>(state >> rule.count_bits), <uint64_t>state & mask, 0


@cython.final
cdef class Answer:
    """The engine's reply to one request."""

    @property
    def done(self):
        """Whether it was carried out; of one that only looks, whether it would be."""
        return self.numbers[0] == <int>DONE

    @property
    def now_ns(self):
        """The engine's moment."""
        return self.out.now

    @property
    def granted(self):
        """How much was taken in advance."""
        return <uint64_t>self.numbers[8] if self.asked.more and self.done else 0

    @property
    def window_end_ns(self):
        """The end of the window in which a fixed window has decided; None of other algorithms."""
        cdef const Rule* rule = &self.asked.compiled.rule
        if rule.algorithm not in (FIXED_WINDOW, FIRST_WINDOW, CALENDAR_WINDOW):
            return None
        return fixed_end(rule, self.out.after)

    @property
    def revision(self):
        """The revision of the quota that decided."""
        return self.asked.revision

    @property
    def booking(self):
        """The moment of the turn and the states before and after, as the engine has them, to cancel it."""
        return three(self.numbers + 7)[:2], three(self.numbers + 1), three(self.numbers + 4)

    @property
    def at_ns(self):
        """The moment of the turn, or None for never."""
        return self.out.at if self.out.at < NEVER else None

    def older_by(self, Asked request not None, double seconds):
        """Return the answer to a request if this refusal still refuses it after so many seconds, otherwise None."""
        cdef Answer later = Answer.__new__(Answer)
        cdef const Rule* rule = &request.compiled.rule
        if request.revision != self.asked.revision:
            return None
        if rule.algorithm == SLIDING_LOG and (
            request.compiled is not self.asked.compiled or request.request.cost != self.asked.request.cost
            or (self.asked.brief and not request.brief)
        ):
            return None  # what was looked up is for that cost, and only what a brief request needs
        later.asked = request
        memcpy(later.numbers, self.numbers, sizeof(self.numbers))
        later.now_us = self.now_us + <uint64_t>(seconds * 1e6)
        later.read()
        return later if later.ready_ns() > later.out.now else None

    cdef uint64_t ready_ns(self) except? 0:
        """Return when the request is admitted if no other comes first."""
        cdef const Rule* rule = &self.asked.compiled.rule
        cdef uint64_t since = max(self.out.now, self.out.held_until)
        if rule.algorithm != SLIDING_LOG or rule.unlimited:
            return ready(rule, since, self.asked.request.cost, self.out.before, NULL)
        if self.asked.request.cost > rule.limit:
            return NEVER
        if self.numbers[9] < 0:
            return since
        return max(since, <uint64_t>self.numbers[9] * 1000 + rule.period)

    cdef void expand(self, double before_us) noexcept:
        """Fill in the numbers of a short reply, as 0_usual_buckets.lua describes it."""
        cdef const Rule* rule = &self.asked.compiled.rule
        cdef bint is_done = before_us >= 0
        cdef double us = before_us if is_done else -1 - before_us
        self.numbers = [is_done, us, 0, 0, us, 0, 0, self.now_us, 0, 0, 0, 0]
        if is_done:
            self.numbers[4] = max(us, self.now_us) + <uint64_t>(
                <u128>self.asked.request.cost * rule.interval // (rule.unit * 1000)
            )

    cdef int read(self) except -1:
        cdef const Rule* rule = &self.asked.compiled.rule
        cdef double* numbers = self.numbers
        self.out.now = <uint64_t>self.now_us * 1000
        self.out.ring = NULL
        self.out.status = DONE if numbers[0] == <int>DONE else REFUSED
        self.out.held_until = <uint64_t>numbers[7] * 1000 if numbers[0] == BLOCKED else 0
        if numbers[7] < 0:
            self.out.at = NEVER
        else:
            self.out.at = <uint64_t>numbers[7] * 1000
            if numbers[8] > 0:
                self.out.at += (<uint64_t>numbers[8] + rule.unit - 1) // rule.unit
        if rule.algorithm != SLIDING_LOG:
            self.out.before = state_of_numbers(rule, numbers + 1)
            self.out.after = state_of_numbers(rule, numbers + 4)
            if self.asked.looks:
                self.out.after = self.out.before
            if self.asked.request.verb == HIT and self.out.status == DONE:
                self.out.at = turn(rule, self.out.now, self.out.before)
        if self.out.held_until:
            self.out.at = self.ready_ns()
        return 0

    def decision(self, str source="engine", cost=None):
        """Return the Decision, by the functions that decide locally.

        Args:
            cost: of a refused request, the cost that was refused, if it is not the request's own.
        """
        cdef Decision decision = Decision.__new__(Decision)
        cdef const Rule* rule = &self.asked.compiled.rule
        cdef Request request = self.asked.request
        if cost is not None:
            request.cost = min(<object>cost, NEVER)
        decision.limiter = self.asked.limiter
        if self.asked.quota is not None:
            decision.own_quotas = (self.asked.compiled.parameters.quota,)
        decision.source_ = SOURCES.index(source)
        if rule.algorithm == SLIDING_LOG:
            self.fill_for_log(&decision.verdict, &decision.more_after_)
        else:
            fill_verdict(rule, &request, &self.out, False, &decision.verdict)
            decision.more_after_ = more_after(rule, &self.out, decision.verdict.remaining)
        if self.asked.more:
            decision.verdict.remaining = max(decision.verdict.remaining, <uint64_t>self.granted)
        decision.spent_ = request.cost if decision.verdict.allowed else 0
        return decision

    cdef int fill_for_log(self, Verdict* verdict, uint64_t* more) except -1:
        """Do what fill_verdict does, from the entries that the engine looked up instead of a ring."""
        cdef const Rule* rule = &self.asked.compiled.rule
        cdef uint64_t now = self.out.now, newest = <uint64_t>self.numbers[4] * 1000
        cdef uint64_t since = max(now, self.out.held_until)
        verdict.limit = NEVER if rule.unlimited else rule.limit
        verdict.allowed = self.out.status == DONE
        verdict.remaining = verdict.limit - min(<uint64_t>self.numbers[10], verdict.limit)
        if rule.unlimited:
            verdict.remaining = NEVER
        if self.out.held_until:
            verdict.remaining = 0
        verdict.reset_after_ns = max(since, newest + rule.period if newest else 0) - now
        verdict.delay_ns = 0
        verdict.retry_after_ns = 0 if verdict.allowed else wait_ns(now, self.ready_ns())
        more[0] = 0 if rule.limit or rule.unlimited else NEVER
        if verdict.remaining < rule.limit:
            more[0] = wait_ns(now, max(since, <uint64_t>self.numbers[11] * 1000 + rule.period))
        return 0


def decision_without_engine(Limiter limiter, bint allowed, uint64_t retry_after_ns, str source="fallback"):
    """Return the decision for a request that the engine did not decide."""
    cdef Decision decision = Decision.__new__(Decision)
    decision.limiter = limiter
    decision.source_ = SOURCES.index(source)
    decision.verdict.allowed = allowed
    decision.verdict.limit = limiter.rule.limit
    decision.verdict.remaining = 0
    decision.verdict.retry_after_ns = 0 if allowed else retry_after_ns
    decision.more_after_ = retry_after_ns
    return decision


def relabelled(Decision local, Limiter limiter):
    """Return the decision of a local substitute as one of the limiter."""
    cdef Decision decision = Decision.__new__(Decision)
    decision.limiter = limiter
    decision.source_ = FALLBACK
    decision.spent_ = local.spent_
    decision.verdict = local.verdict
    decision.more_after_ = local.more_after_
    return decision


def read_all(list requests, bytes reply):
    """Return the answers to a group, or None if the engine has other revisions: then ask again.

    Raises:
        CorruptTable: a key has a value that this library did not write.
    """
    cdef Asked one
    cdef int i, count = len(requests)
    cdef list answers = [answer_at(requests[i], reply, i, count) for i in range(count)]
    if None not in answers:
        return answers
    for one in requests:
        renew(one)
    return None


def read_one(Asked one not None, bytes reply not None):
    """Return the answer to a request that is a group by itself, or None: as `read_all` does."""
    cdef Answer answer = answer_at(one, reply, 0, 1)
    if answer is None:
        renew(one)
    return answer


cdef Answer answer_at(Asked one, bytes reply, int i, int count):
    """Return the answer to one of so many requests, or None if the engine has another revision."""
    cdef Answer answer = Answer.__new__(Answer)
    cdef const char* data = PyBytes_AS_STRING(reply)
    cdef double before_us
    cdef bint is_short = PyBytes_GET_SIZE(reply) == MOMENT + MOMENT * count
    if not is_short and PyBytes_GET_SIZE(reply) != MOMENT + ANSWER * count:
        raise CorruptTable(f"the engine's reply has {len(reply)} bytes, expected {MOMENT + ANSWER * count}")
    answer.asked = one
    memcpy(&answer.now_us, data, MOMENT)
    if is_short:
        memcpy(&before_us, data + MOMENT + MOMENT * i, MOMENT)
        answer.expand(before_us)
    else:
        memcpy(answer.numbers, data + MOMENT + ANSWER * i, ANSWER)
    if answer.numbers[0] == FOREIGN:
        raise CorruptTable(f"{one.limiter.table!r}: the value of {one.name!r} is not one of ratelimit")
    if answer.numbers[0] == OLDER:
        restate(answer)
        return None
    if answer.numbers[0] == NEWER:
        one.limiter.table.remote.pull()
        return None
    if answer.numbers[0] == UNCOVERED:
        one.around = <uint64_t>answer.now_us * 1000
        one.reach = max(
            <uint64_t>answer.numbers[1],
            calendar_number(&one.compiled.rule, <uint64_t>answer.numbers[9] * 1000),
        )
        return None
    answer.read()
    return answer


cdef int renew(Asked one) except -1:
    """Let the quota decide that is in force now."""
    if is_stale(one.limiter):
        one.limiter.refresh()
    if one.revision != one.limiter.rule.revision:
        one.restated = None
        one.revision = one.limiter.rule.revision
        one.compiled = rule_in_engine(one.limiter, one.limiter.rule_for(one.quota))
    return 0


cdef int restate(Answer answer) except -1:
    """Convert a key's state from the revision that it was written under, through the changes since."""
    cdef Limiter limiter = answer.asked.limiter
    cdef uint64_t known = <uint64_t>answer.numbers[9]
    cdef list revisions = changes_since(limiter, known)
    cdef CompiledRule new
    cdef CompiledRule old = rule_of(limiter, limiter.metadata.previous(revisions[0]))
    cdef u128 state = state_of_numbers(&old.rule, answer.numbers + 1)
    cdef bint forgotten = False
    for revision in revisions:
        new = rule_of(limiter, revision)
        changed_ns, counts = limiter.metadata.change(revision)
        if counts == "reset":
            state = 0
            forgotten = True
        else:
            state = storable(carried(&old.rule, &new.rule, changed_ns, counts == "scale", state))
        old = new
    new_state = (-1, 0, 0) if forgotten and state == 0 else numbers_of_state(&old.rule, state)
    answer.asked.restated = (known, three(answer.numbers + 1), new_state)
    return 0


def delayed(Decision decision not None, uint64_t delay_ns):
    """Return the decision with another delay until the turn."""
    decision.verdict.delay_ns = delay_ns
    return decision


def refused_until(Decision decision not None, uint64_t wait):
    """Return the refusal with a wait of at least so many nanoseconds."""
    decision.verdict.retry_after_ns = max(decision.verdict.retry_after_ns, wait)
    decision.more_after_ = max(decision.more_after_, wait)
    return decision


def empty_reservation(cls, bint allowed, tuple costs, uint64_t now, uint64_t delay):
    """Return a reservation of this class without places on this host."""
    cdef Reservation made = cls.__new__(cls)
    made.places = []
    made.allowed = allowed
    made.costs = costs
    made.booked_at = now
    made.delay_ = delay
    return made
