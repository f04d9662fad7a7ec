"""The operations on a table: all that a limiter asks of the memory that its keys are in.

Each is lock-free and may be called from any number of threads and processes at once.
"""

from libc.stdint cimport uint64_t

from .algorithm cimport admit, carried, ready, turn
from .atomics cimport count_add, count_load, count_swap, u128, word_cas, word_load
from .block cimport after_block, block_end, block_word, find_block, recounted
from .claim cimport first_free_at, is_vacant
from .commit cimport apply_horizon, commit, perform_blocked
from .constants cimport NEVER, SLIDING_LOG
from .growth cimport may_move
from .layout cimport (
    Level,
    Table,
    free_word,
    is_block,
    is_key,
    level_of,
    open_slots,
    ring_of,
    slot_word,
    state_of,
    storable,
    tag_of,
    tag_of_hash,
    top_of,
)
from .log cimport log_give_back, log_spend, log_take
from .request cimport CANCEL, DONE, FULL, HIT, REFUND, REFUSED, Outcome, Request, Status
from .rule cimport Rule
from .search cimport find
from .sliding_log cimport log_number


cdef inline Status perform(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """Carry out a request."""
    if rule.algorithm != SLIDING_LOG:
        out.status = commit(table, rule, request, hashed, False, out)
    elif request.verb == REFUND or request.verb == CANCEL:
        out.status = DONE if log_give_back(table, rule, request, hashed) else REFUSED
        out.at = request.now if out.status == DONE else NEVER
    else:
        out.status = log_spend(table, rule, request, hashed, False, out)
    if out.status == FULL:
        out.at = first_free_at(table, rule, out.now, hashed)
    return out.status


cdef inline Status spend(
    const Table* table, const Rule* rule, uint64_t hashed, uint64_t now, bint now_given, uint64_t cost, bint missed
) noexcept nogil:
    """`perform` for a hit of which only the status matters. `missed` is explained at `commit`."""
    cdef Request request
    cdef Outcome out
    request.verb = HIT
    request.now = now
    request.now_given = now_given
    request.cost = cost
    if rule.algorithm != SLIDING_LOG:
        return commit(table, rule, &request, hashed, missed, &out)
    return log_spend(table, rule, &request, hashed, missed, &out)


cdef inline Status take(
    const Table* table, const Rule* rule, uint64_t hashed, uint64_t now, bint now_given, uint64_t cost, bint logs
) noexcept nogil:
    """`spend`, with a first round that is short enough to be compiled into the caller.

    Nearly always the key has its slot, and no other thread is changing it. `logs`: whether sliding logs have such a
    round, too. Its code is larger, and left out where this is a constant False.
    """
    cdef u128 word = 0, after = 0
    cdef u128* slot = find(table, hashed, &word)
    cdef Status status
    if slot != NULL and not may_move(table, slot, hashed, now, now_given):
        if rule.algorithm == SLIDING_LOG:
            if logs and log_take(table, rule, slot, word, now, cost, &status):
                return status
        else:
            if not admit(rule, now, cost, state_of(word), NULL, &after):
                return REFUSED
            if word_cas(slot, &word, slot_word(tag_of_hash(hashed), after)):
                return DONE
            count_add(&table.header.collisions, 1)
    return spend(table, rule, hashed, now, now_given, cost, slot == NULL)


cdef inline void look(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """Return the outcome that a hit would have; writes nothing."""
    cdef u128 word = 0
    cdef u128* slot
    while True:
        out.now = request.now
        out.held_until = 0
        slot = find(table, hashed, &word)
        if slot == NULL and count_load(&table.header.blocks):
            slot = find_block(table, hashed, &word)
            if slot != NULL and request.now < block_end(state_of(word)):
                perform_blocked(table, rule, request, request.now, slot, word, out)
                return
        out.before = state_of(word)
        out.ring = ring_of(table, rule, slot)
        if slot != NULL and is_block(word):
            out.before = after_block(rule, out.before, out.ring)
        if slot == NULL or (out.ring != NULL and log_number(out.before) < rule.capacity):
            apply_horizon(table, rule, request, slot == NULL, &out.now, &out.before, &out.ring)
        out.after = out.before
        out.at = ready(rule, out.now, request.cost, out.before, out.ring)
        out.status = DONE if out.at <= out.now else REFUSED
        if slot == NULL and out.status == DONE and not rule.unlimited:
            out.at = first_free_at(table, rule, out.now, hashed)
            if out.at > out.now:
                out.status = FULL
        if out.status == DONE:
            out.at = turn(rule, out.now, out.before)
        if out.ring == NULL or word_load(slot) == word:
            return


cdef inline void forget(const Table* table, uint64_t hashed) noexcept nogil:
    """Make the key like one never seen."""
    cdef u128 word = 0
    cdef u128* slot
    while True:
        slot = find(table, hashed, &word)
        if slot == NULL and count_load(&table.header.blocks):
            slot = find_block(table, hashed, &word)
        if slot == NULL or word_cas(slot, &word, free_word()):
            return


cdef inline void forget_all(const Table* table) noexcept nogil:
    """Make every key like one never seen, for clock readings of any age: so the horizon is forgotten first."""
    cdef u128* slot
    cdef u128 word
    cdef uint64_t i = 0
    count_swap(&table.header.horizon, count_load(&table.header.horizon), 0)
    while i < open_slots(table):
        slot = table.slots + i
        i += 1
        word = word_load(slot)
        while tag_of(word) > 1 and not word_cas(slot, &word, free_word()):
            continue


cdef inline void carry_over(
    const Table* table, const Rule* old, const Rule* new, uint64_t now, bint scale
) noexcept nogil:
    """Restate every key's state under a new quota."""
    cdef u128* slot
    cdef u128 word
    cdef uint64_t i = 0
    while i < open_slots(table):
        slot = table.slots + i
        i += 1
        word = word_load(slot)
        while is_key(word) and not word_cas(
            slot, &word, slot_word(tag_of(word), storable(carried(old, new, now, scale, state_of(word))))
        ):
            continue
        while scale and is_block(word) and not word_cas(
            slot, &word, block_word(tag_of(word), recounted(old, new, state_of(word)))
        ):
            continue


cdef inline uint64_t count_live(const Table* table, const Rule* rule, uint64_t now) noexcept nogil:
    """Return how many keys have a state that differs from a fresh key's."""
    cdef uint64_t live = 0, number = 0
    while number <= top_of(table):
        live += count_live_in(table, rule, level_of(table, number), now)
        number += 1
    return live


cdef inline uint64_t count_live_in(
    const Table* table, const Rule* rule, const Level* level, uint64_t now
) noexcept nogil:
    """Do what `count_live` does, for one level."""
    cdef uint64_t live = 0, i
    cdef u128* slot
    for i in range(level.size):
        slot = level.slots + i
        live += not is_vacant(table, rule, now, slot, word_load(slot))
    return live
