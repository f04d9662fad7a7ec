"""A request in the numbers of an engine.

The engine's moments are whole microseconds and, for buckets, ticks beyond them: exact in the doubles of its scripts.
`_storage/valkey/scripts` has the other side; `answer.pyx` reads the reply.
"""

import hashlib
import struct
import time
from functools import lru_cache

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .._core cimport Limiter
from .._engine.algorithm cimport is_gcra
from .._engine.atomics cimport u128
from .._engine.constants cimport CALENDAR_WINDOW, NEVER, SLIDING_LOG
from .._engine.fixed_window cimport calendar_number, calendar_start
from .._engine.request cimport BLOCK, CANCEL, CHARGE, HIT, REFUND, Verb
from .._engine.rule cimport Rule
from .._limiter.arguments cimport checked_cost
from .._limiter.attachment cimport is_stale
from .._limiter.compiled_rule cimport CompiledRule
from .._limiter.keys cimport whole_number

from .._limiter.parameters import read_parameters
from .._storage.metadata import QUOTAS
from ..quota import seconds_to_ns
from .lease_rule import engine_parameters

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void* PyUnicode_1BYTE_DATA(object)

cdef enum:
    PEEK = 5     # verbs of the engine; BLOCK and UNBLOCK follow
    GRANT = 16
    RETURN = 17
    OWN_QUOTA = 2
    UNLIMITED = 2

MOST = (<uint64_t>1 << 52) - 1
cdef object SHORT = struct.Struct("<10d"), LONG = struct.Struct("<29d")
cdef dict packed_before = {}  # the numbers of hits, which differ by their keys alone
cdef int MOST_SHAPES = 1_000
cdef uint64_t FARTHEST = 4_000  # windows of a calendar that a request has the starts of
cdef int LONGEST_KEY = 96  # bytes; of a longer key the engine gets a digest


def engine_key(bytes prefix not None, key):
    """Return the name of a key. All limits of a key are in one slot of a cluster, because the key is in braces."""
    cdef Py_ssize_t size
    if isinstance(key, str) and PyUnicode_IS_ASCII(key):  # the usual case: its bytes are those of the string
        size = PyUnicode_GET_LENGTH(key)
        if size < LONGEST_KEY:
            return name_of(prefix, c"s", <const char*>PyUnicode_1BYTE_DATA(key), size)
    if isinstance(key, str):
        text = b"s" + key.encode("utf-8", "surrogatepass")
    elif isinstance(key, bytes):
        text = b"b" + key
    else:
        text = b"i%d" % (key if isinstance(key, int) else whole_number(key))
    if PyBytes_GET_SIZE(text) > LONGEST_KEY:
        text = b"h" + hashlib.blake2b(text, digest_size=16).hexdigest().encode()
    return b"%b{%b}" % (prefix, text)


cdef bytes name_of(bytes prefix, char kind, const char* text, Py_ssize_t size):
    """Return `prefix{kind text}`."""
    cdef Py_ssize_t begin = PyBytes_GET_SIZE(prefix)
    cdef bytes name = PyBytes_FromStringAndSize(NULL, begin + size + 3)
    cdef char* into = PyBytes_AS_STRING(name)
    memcpy(into, PyBytes_AS_STRING(prefix), begin)
    into[begin], into[begin + 1] = c"{", kind
    memcpy(into + begin + 2, text, size)
    into[begin + 2 + size] = c"}"
    return name


@cython.final
cdef class Asked:
    """A request of one limiter, for one key."""

    @property
    def cost(self):
        """The cost of the request."""
        return self.request.cost

    cdef object packed(self):
        """Return the request as 7_decide.lua reads it."""
        cdef object shape, found
        cdef int flags
        if (
            self.request.verb != HIT or self.restated is not None or self.more or self.granted is not None
            or self.compiled.rule.algorithm in (SLIDING_LOG, CALENDAR_WINDOW)
        ):
            return self.numbers()
        flags = self.brief | self.looks << 1 | (self.quota is None) << 2
        shape = self.compiled, self.request.cost, self.revision, flags
        found = packed_before.get(shape)
        if found is None:
            if len(packed_before) >= MOST_SHAPES:
                packed_before.clear()
            found = packed_before[shape] = self.numbers()
        return found

    cdef object numbers(self):
        """Return the packed numbers."""
        cdef const Rule* rule = &self.compiled.rule
        cdef uint64_t cost = min(self.request.cost, MOST), micro = rule.unit * 1000
        cdef u128 amount
        cdef tuple numbers, more, starts
        verb = PEEK if self.looks else <int>self.request.verb + (self.request.verb >= BLOCK)
        if self.more:
            verb = GRANT
        elif self.granted is not None:
            verb = RETURN
        too_much = UNLIMITED if rule.unlimited else <int>(self.request.cost > rule.limit)
        revision = generation_of(self.limiter) if rule.algorithm == SLIDING_LOG else self.revision >> 32
        starts = self.starts()
        if is_gcra(rule):
            amount = <u128>cost * rule.interval
            if amount // micro > MOST:
                amount = <u128>MOST * micro
            numbers = (
                rule.algorithm, verb, revision, 0 if self.quota is None else OWN_QUOTA, micro,
                <uint64_t>(amount // micro), <uint64_t>(amount % micro), <uint64_t>(rule.tolerance // micro),
                <uint64_t>(rule.tolerance % micro), too_much,
            )
        else:
            numbers = (
                rule.algorithm, verb, revision, self.brief, starts[0] if starts else rule.period // 1000, cost,
                rule.limit, rule.capacity, 0, too_much,
            )
        if self.restated is None and verb in (HIT, PEEK) and not starts:
            return SHORT.pack(*numbers)
        if self.more:
            more = (self.more, 0, <uint64_t>(rule.interval // micro), <uint64_t>(rule.interval % micro)) + (0,) * 8
        elif self.granted is not None:
            more = (0, 0, *self.granted) + (0,) * 8
        elif self.booked is None:
            patience = divmod(min(self.request.patience, <uint64_t>NEVER), 1000)
            if self.request.verb == BLOCK and patience[1]:
                patience = patience[0] + 1, 0
            more = (patience[0], patience[1] * rule.unit, 0, 0, 0, 0) + (0,) * 6
        else:
            at, found, left = self.booked
            more = (0, 0, *at, self.request.whole, self.request.last_only, *found, *left)
        if self.restated is None:
            packed = LONG.pack(*numbers, *more, *((0,) * 7))
        else:
            known, state, new = self.restated
            packed = LONG.pack(*numbers, *more, known + 1, *state, *new)
        return packed + struct.pack(f"<{len(starts) - 1}d", *starts[1:]) if starts else packed

    cdef tuple starts(self):
        """Return the number of a calendar's first window that may matter, and the starts of the windows from there."""
        cdef const Rule* rule = &self.compiled.rule
        cdef uint64_t here, first, last
        if rule.algorithm != CALENDAR_WINDOW:
            return ()
        here = calendar_number(rule, self.around or self.limiter.table.remote.clock_ns_or_zero() or time.time_ns())
        first = here - min(here, <uint64_t>1)
        last = max(here + 4, self.reach + 3)
        if last - first > FARTHEST:
            raise ValueError(f"key {self.key!r} is booked {last - here} windows ahead, expected at most {FARTHEST}")
        return (first, *[calendar_start(rule, number) // 1000 for number in range(first, last + 1)])


cdef uint64_t generation_of(Limiter limiter):
    """Return the revision that forgot all keys last, of those that are remembered."""
    for revision in reversed(changes_since(limiter, 0)):
        if limiter.metadata.change(revision)[1] == "reset":
            return revision >> 32
    return 0


cdef list changes_since(Limiter limiter, uint64_t number):
    """Return the revisions after the change of this number, as far as they are remembered.

    The upper half of a revision is the number of the change, which is all that the engine keeps.
    """
    cdef list found = []
    cdef uint64_t revision = limiter.rule.revision
    while revision >> 32 > number and len(found) < QUOTAS - 1:
        found.insert(0, revision)
        revision = limiter.metadata.previous(revision)
    return found


def request_of(
    Limiter limiter not None, key, cost=1, *, quota=None, int verb=HIT, bint brief=False, bint looks=False,
    max_delay=None, uint64_t more=0
):
    """Put a request together, under the quota that is in force now.

    Args:
        verb: HIT, RESERVE, CHARGE, REFUND, BLOCK or UNBLOCK.
        brief: only whether it is carried out matters.
        looks: ask what would happen, without carrying it out.
        max_delay: of a RESERVE, in seconds; the length of a BLOCK.
        more: of a HIT, what is taken in advance at most.
    """
    cdef Asked one = Asked.__new__(Asked)
    if is_stale(limiter):
        limiter.refresh()
    one.limiter = limiter
    one.key = key
    one.name = engine_key(limiter.table.remote.prefix, key)
    one.quota = quota
    one.more = more
    one.brief = brief
    one.looks = looks
    one.request.verb = <Verb>verb
    one.request.cost = checked_cost(cost, "cost")
    argument = "seconds" if verb == BLOCK else "max_delay"
    one.request.patience = NEVER if max_delay is None else seconds_to_ns(max_delay, argument)
    one.compiled = rule_in_engine(limiter, limiter.rule_for(quota))
    if one.compiled.rule.limit > MOST and not is_gcra(&one.compiled.rule):
        raise ValueError(f"quota {quota}: expected a limit up to {MOST}, which an engine counts exactly")
    one.revision = limiter.rule.revision
    return one


def hits_of(Limiter limiter not None, list keys, list costs, bint brief):
    """Put a batch of hits together, under the quota that is in force now."""
    cdef Asked one
    cdef list made = []
    if is_stale(limiter):
        limiter.refresh()
    cdef CompiledRule compiled = limiter.rule_for(None)
    cdef bytes prefix = limiter.table.remote.prefix
    cdef uint64_t spent = 0
    cdef object cost, last = None
    for key, cost in zip(keys, costs, strict=True):
        one = Asked.__new__(Asked)
        one.limiter = limiter
        one.key = key
        one.name = engine_key(prefix, key)
        one.brief = brief
        if cost is not last:
            spent, last = checked_cost(cost, "costs"), cost
        one.request.verb = HIT
        one.request.cost = spent
        one.request.patience = NEVER
        one.compiled = compiled
        one.revision = limiter.rule.revision
        made.append(one)
    return made


def correction_of(Limiter limiter not None, bytes name, uint64_t cost, booked, bint whole, bint last_only):
    """Put together what takes `cost` of a booking back or, without a booking, what charges it."""
    cdef Asked one = Asked.__new__(Asked)
    if is_stale(limiter):
        limiter.refresh()
    one.limiter = limiter
    one.name = name
    one.request.verb = CHARGE if booked is None else CANCEL
    one.request.cost = cost
    one.request.patience = NEVER
    one.request.whole = whole
    one.request.last_only = last_only
    one.compiled = rule_in_engine(limiter, limiter.current())
    one.revision = limiter.rule.revision
    one.booked = booked
    return one


def return_of(Limiter limiter not None, bytes name, uint64_t cost, uint64_t revision, uint64_t granted_us, held_us):
    """Put together what gives back that was taken in advance; None if the quota has changed since.

    Args:
        revision, granted_us: the revision and the engine's moment of the answer with which it was taken.
        held_us: microseconds that have passed since, or fewer.
    """
    cdef Asked one = correction_of(limiter, name, cost, None, False, False)
    if one.revision != revision:
        return None
    one.request.verb = REFUND
    one.granted = (granted_us, held_us)
    return one


cdef CompiledRule rule_in_engine(Limiter limiter, CompiledRule compiled):
    """Return the rule by which the engine decides."""
    lease_us = limiter.table.remote.lease_us
    return leased_rule(compiled.parameters, lease_us) if lease_us else compiled


@lru_cache(maxsize=1024)
def leased_rule(parameters, lease_us):
    """Return the compiled rule by which the engine decides beside leases of this length, in microseconds."""
    return CompiledRule(engine_parameters(parameters, lease_us))


cdef CompiledRule rule_of(Limiter limiter, uint64_t revision):
    """Return the rule by which the engine decided under the quota of a revision."""
    return rule_in_engine(limiter, CompiledRule(read_parameters(limiter.metadata, revision)))


def current_parameters(Limiter limiter not None):
    """Return the RuleParameters that are in force now."""
    if is_stale(limiter):
        limiter.refresh()
    return limiter.current().parameters


def forget_keys(Limiter limiter not None):
    """Forget all keys of the limiter's table: a change to the same quota, which resets what keys have spent."""
    limiter.refresh()
    limiter.put_in_force(limiter.current(), limiter.current().parameters, "reset")


def pack_all(list requests):
    """Return the keys and the packed requests of a group."""
    cdef Asked one
    return [one.name for one in requests], [one.packed() for one in requests]
