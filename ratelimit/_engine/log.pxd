"""Requests on a sliding log, which spends and gives back one at a time: a cost of c is c requests of cost 1."""

from libc.stdint cimport uint64_t

from .atomics cimport count_add, u128, word_cas, word_load
from .commit cimport commit, retire
from .layout cimport Table, ring_of, slot_word, state_of, storable, tag_of
from .request cimport CANCEL, CHARGE, DONE, REFUSED, Outcome, Request, Status
from .rule cimport Rule
from .search cimport find
from .sliding_log cimport (
    log_admit,
    log_append,
    log_before,
    log_cell,
    log_gap_shift,
    log_laps_apart,
    log_leaves,
    log_leaves_back,
    log_number,
    log_pack,
    log_restored,
    log_stamp,
)


# The next two return False if there is nothing to give back. Otherwise they decrement `left`, or leave it as it is if
# another thread changed the slot or the cell first.


cdef inline bint log_pop(
    const Table* table, const Rule* rule, u128* slot, u128 word, uint64_t at, uint64_t* left
) noexcept nogil:
    """Take back the newest request, which was booked `at` a future moment; nothing if another one is the newest.

    The request before it becomes the newest. Its cell may hold a booking of the next lap, which was cancelled before
    this one. Then the cell is restored first, while the slot still holds `word`.
    """
    cdef u128* cell
    cdef u128 seen, previous
    if (log_stamp(word) - (at + 1)) >> log_gap_shift(rule):
        return False
    cell = log_cell(rule, log_number(word) - 1, ring_of(table, rule, slot))
    seen = word_load(cell)
    previous = log_before(rule, state_of(word), seen)
    if log_append(rule, log_stamp(word) - 1, previous) != state_of(word):
        return False
    if log_laps_apart(rule, log_number(previous), log_number(seen)):
        if word_load(slot) != word or not word_cas(cell, &seen, log_restored(rule, previous)):
            return True
    left[0] -= word_cas(slot, &word, slot_word(tag_of(word), previous))
    return True


cdef inline bint log_forgive(
    const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word, uint64_t* left
) noexcept nogil:
    """Forget the oldest request that still counts, so that what remains is never older than what was admitted.

    Nothing if no request counts, or if some are booked ahead: the ring may then no longer hold the oldest.
    """
    cdef u128* ring = ring_of(table, rule, slot)
    cdef uint64_t counts = 0, free = rule.capacity, back
    cdef u128 seen
    cdef u128* cell
    if log_leaves(rule, log_stamp(word)) <= now or log_stamp(word) > now + 1:
        return False
    while free - counts > 1:
        back = counts + (free - counts) // 2
        if log_leaves_back(rule, back, word, ring) > now:
            counts = back
        else:
            free = back
    if counts == 0:
        left[0] -= word_cas(slot, &word, slot_word(tag_of(word), log_pack(0, log_number(word))))
        return True
    cell = log_cell(rule, log_number(word) - counts, ring)
    seen = word_load(cell)
    if log_leaves(rule, log_stamp(seen)) > now and word_load(slot) == word:
        left[0] -= word_cas(cell, &seen, log_pack(0, log_number(seen)))
    return True


cdef inline bint log_give_back(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed
) noexcept nogil:
    """Refund or cancel as much of the cost as can be given back. False: a booking is not the newest, and stays."""
    cdef uint64_t cost = min(request.cost, rule.capacity), left = cost
    cdef u128 word = 0
    cdef u128* slot
    if request.verb == CANCEL and log_leaves(rule, request.at + 1) <= request.now:
        return True  # the booking no longer counts; what counts was spent by others
    while left:
        slot = find(table, hashed, &word)
        if slot == NULL:
            break
        if request.verb == CANCEL and request.at > request.now:
            if not log_pop(table, rule, slot, word, request.at, &left):
                return left < cost
        elif not log_forgive(table, rule, request.now, slot, word, &left):
            break
    return True


cdef inline bint log_take(
    const Table* table, const Rule* rule, u128* slot, u128 word, uint64_t now, uint64_t cost, Status* status
) noexcept nogil:
    """Spend 1 on a log whose ring is full: one round of `commit`. False: nothing is decided."""
    cdef u128* ring = ring_of(table, rule, slot)
    cdef u128 after = 0
    if cost != 1 or log_number(word) < rule.capacity:
        return False
    if not log_admit(rule, now, 1, state_of(word), ring, &after):
        status[0] = REFUSED
        return word_load(slot) == word  # otherwise the ring may have changed during the decision
    status[0] = DONE
    if not retire(rule, slot, word, ring):
        return False
    if word_cas(slot, &word, slot_word(tag_of(word), storable(after))):
        return True
    count_add(&table.header.collisions, 1)
    return False


cdef inline Status log_spend(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, bint missed, Outcome* out
) noexcept nogil:
    """Spend all of the cost or nothing: each step asks whether all that is left still fits, and takes one.

    `missed` is explained at `commit`.
    """
    cdef Request step = request[0]
    cdef Outcome first
    if step.cost == 1 or rule.unlimited:
        return commit(table, rule, request, hashed, missed, out)
    if step.verb == CHARGE:
        step.cost = min(step.cost, rule.capacity)  # more than the ring holds makes no difference
    if commit(table, rule, &step, hashed, missed, out) != DONE:
        return out.status
    first = out[0]
    step.patience = first.at - first.now  # the first step has fixed the moment
    while step.cost > 1:
        step.cost -= 1
        if commit(table, rule, &step, hashed, False, out) != DONE:
            step.verb = CANCEL
            step.at = first.at
            step.cost = request.cost - step.cost
            log_give_back(table, rule, &step, hashed)
            break
    out.before = first.before
    out.at = first.at
    return out.status
