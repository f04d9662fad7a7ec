"""Deciding a request and writing the result: the library's only compare-and-swap loop."""

from libc.stdint cimport uint64_t

from .algorithm cimport admit, cancel, charge, is_built_upon, is_fresh, missing, ready, refund, turn
from .atomics cimport count_add, count_load, count_raise, u128, word_cas, word_load
from .block cimport BOOKED, after_block, block_count, block_end, block_mode, block_pack, block_word, blocked, find_block
from .block cimport unblocked
from .claim cimport claim
from .constants cimport LEAKY_BUCKET, NEVER, SLIDING_LOG
from .growth cimport may_move
from .layout cimport (
    Table,
    evictable_at,
    free_word,
    horizon_of,
    is_claim,
    ring_of,
    slot_word,
    state_of,
    storable,
    tag_of,
    tag_of_hash,
)
from .request cimport (
    BLOCK,
    CANCEL,
    CHARGE,
    DONE,
    FULL,
    HIT,
    REFUND,
    REFUSED,
    RESERVE,
    UNBLOCK,
    Outcome,
    Request,
    Status,
)
from .rule cimport Rule
from .search cimport find
from .sliding_log cimport log_cell, log_number, log_retired


cdef inline bint decide(
    const Rule* rule, const Request* request, uint64_t now, u128 state, u128* ring, u128* after, uint64_t* at
) noexcept nogil:
    """Apply the request to a state. False: it changes nothing."""
    if request.verb == HIT:
        at[0] = turn(rule, now, state)
        return admit(rule, now, request.cost, state, ring, after)
    at[0] = now
    if rule.unlimited and request.verb in (RESERVE, CHARGE, REFUND):
        at[0] = max(now, request.at) if request.verb == RESERVE else now
        after[0] = state
        return True
    if request.verb == RESERVE:
        at[0] = max(now, request.at)
        if rule.algorithm == LEAKY_BUCKET:
            at[0] = turn(rule, at[0], state) if request.cost <= rule.limit else NEVER
        else:
            at[0] = ready(rule, at[0], request.cost, state, ring)
        if at[0] >= NEVER or at[0] - now > request.patience:
            return False
        if rule.algorithm == LEAKY_BUCKET:
            after[0] = charge(rule, at[0], request.cost, state)
            return True
        return admit(rule, at[0], request.cost, state, ring, after)
    if request.verb == CHARGE:
        after[0] = charge(rule, now, request.cost, state)
        return True
    if request.verb == BLOCK:
        after[0] = blocked(rule, now, request.at, state, ring)
        return request.at > now
    if request.verb == UNBLOCK:
        return False
    if request.verb == REFUND:
        after[0] = refund(rule, now, request.cost, state)
    elif request.whole and state == request.booked:
        after[0] = request.found  # nothing has happened since: the key is as if it had never been booked
    elif request.last_only and is_built_upon(rule, now, request.at, request.booked, state):
        at[0] = NEVER
        return False
    else:
        after[0] = cancel(rule, now, request.at, request.cost, request.booked, state)
    return after[0] != state


cdef inline uint64_t apply_horizon(
    const Table* table, const Rule* rule, const Request* request, bint absent, uint64_t* now, u128* state, u128** ring
) noexcept nogil:
    """Take the horizon into account, for a key that is missing or a sliding log that is not yet full; return it.

    A log may belong to a key that came back after its slot was taken. It then lacks the requests that count for an
    earlier clock reading. (In the other algorithms the state of a key that came back is the state it would have had
    without losing its slot.)
    """
    cdef uint64_t horizon = horizon_of(table, now[0])
    if not request.now_given:
        now[0] = max(now[0], horizon)
    if absent or (request.verb == HIT and now[0] < horizon):
        state[0] = missing(rule, now[0], horizon)
        ring[0] = NULL
    return horizon


cdef inline bint retire(const Rule* rule, u128* slot, u128 word, u128* ring) noexcept nogil:
    """Copy a sliding log's newest request into its ring, before a newer one replaces it in the slot.

    The first thread to get here does it for all. The slot is read again between reading the cell and writing it:
    while the slot still holds `word`, no thread can be a lap ahead.
    """
    cdef u128* cell = log_cell(rule, log_number(word), ring)
    cdef u128 seen = word_load(cell)
    if state_of(seen) == state_of(word):
        return True
    if word_load(slot) != word:
        return False
    return word_cas(cell, &seen, log_retired(rule, state_of(word), seen)) or state_of(seen) == state_of(word)


cdef inline void retire_into(const Rule* rule, u128 state, u128* ring) noexcept nogil:
    """Copy a newest request that is in no slot into its cell: that of a sliding log while its key is blocked."""
    cdef u128* cell = log_cell(rule, log_number(state), ring)
    cdef u128 seen = word_load(cell)
    word_cas(cell, &seen, log_retired(rule, state, seen))


cdef inline bint perform_blocked(
    const Table* table, const Rule* rule, const Request* request, uint64_t now, u128* slot, u128 word, Outcome* out
) noexcept nogil:
    """Carry out a request on a blocked key. False: it has to be found again, since the block has ended.

    Nothing is given back during a block. A charge is added to the count that the block keeps.
    """
    cdef u128* ring = ring_of(table, rule, slot)
    cdef u128 block = state_of(word), state = unblocked(rule, now, block, ring), after
    cdef uint64_t tag = tag_of(word), end = block_end(block)
    cdef bint is_booked = rule.algorithm != SLIDING_LOG and block_mode(block) == BOOKED
    out.now = now
    out.at = now
    out.ring = ring
    out.held_until = end
    out.before = out.after = after_block(rule, block, ring)
    out.status = REFUSED
    if now >= end or (request.verb == UNBLOCK and not is_booked):
        word_cas(slot, &word, slot_word(tag, storable(state)))
        return False
    if request.verb == BLOCK and request.at > end:
        out.status = DONE
        if is_booked:
            after = block_pack(request.at, BOOKED, block_count(block))
        else:
            after = blocked(rule, now, request.at, state, ring)
        return word_cas(slot, &word, block_word(tag, after))
    if request.verb == CHARGE:
        out.status = DONE
        if is_booked:
            after = block_pack(end, BOOKED, min(block_count(block) + request.cost, NEVER))
        else:
            after = charge(rule, now, request.cost, state)
            if rule.algorithm == SLIDING_LOG:
                retire_into(rule, after, ring)
            after = blocked(rule, now, end, storable(after), ring)
        return word_cas(slot, &word, block_word(tag, after))
    if request.verb == HIT or request.verb == RESERVE:
        out.at = ready(rule, end, request.cost, out.before, ring)
        if request.verb == RESERVE and rule.algorithm == LEAKY_BUCKET and request.cost <= rule.limit:
            out.at = turn(rule, end, out.before)
    return True


cdef inline bint move(const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word) noexcept nogil:
    """Free the slot of a key that is fresh, as if another key had taken it, so that it is claimed in a lower level.

    Otherwise few keys would stay in a large level that a flood of keys has opened.
    """
    if not is_fresh(rule, now, state_of(word)):
        return False
    count_raise(&table.header.horizon, now)
    return word_cas(slot, &word, free_word())


cdef inline Status commit(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, bint missed, Outcome* out
) noexcept nogil:
    """Decide and write; start again whenever another thread was faster.

    `missed`: the caller has just searched for the key in vain, and this is not repeated.
    """
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef uint64_t now = request.now, at = 0, horizon = 0
    cdef u128 word = 0, state, after = 0
    cdef u128* slot
    cdef u128* ring
    cdef bint evicted_claim = False
    cdef Status status
    while True:
        slot = NULL if missed else find(table, hashed, &word)
        missed = False
        if slot == NULL and count_load(&table.header.blocks):
            slot = find_block(table, hashed, &word)
            if slot != NULL:
                if perform_blocked(table, rule, request, now, slot, word, out):
                    return out.status
                continue
        state = state_of(word)
        if slot != NULL and may_move(table, slot, hashed, now, request.now_given):
            if move(table, rule, now, slot, word):
                continue
        ring = ring_of(table, rule, slot)
        if slot == NULL or (ring != NULL and log_number(state) < rule.capacity):
            horizon = apply_horizon(table, rule, request, slot == NULL, &now, &state, &ring)
        if slot == NULL and request.verb in (REFUND, CANCEL, UNBLOCK):
            status = REFUSED
            break
        if not decide(rule, request, now, state, ring, &after, &at):
            if ring != NULL and word_load(slot) != word:
                continue  # the ring may have changed during the decision
            status = REFUSED
            break
        if slot == NULL and rule.unlimited and request.verb != BLOCK:
            status = DONE  # without a slot, which another key may need
            break
        if slot == NULL:
            slot = claim(
                table, rule, evictable_at(table, now) if request.now_given else now, hashed, &evicted_claim, &word
            )
            if slot == NULL:
                count_add(&table.header.full, 1)
                status = FULL
                break
            if not is_claim(word):
                continue
            if count_load(&table.header.horizon) > max(horizon, now):
                word_cas(slot, &word, free_word())  # the key may have come and gone since it was missed
                continue
        elif ring != NULL and not retire(rule, slot, word, ring):
            continue
        after = storable(after)
        if word_cas(slot, &word, block_word(tag, after) if request.verb == BLOCK else slot_word(tag, after)):
            status = DONE
            break
        count_add(&table.header.collisions, 1)
    out.status = status
    out.now = now
    out.at = at
    out.before = state
    out.after = after if status == DONE else state
    out.ring = ring
    out.held_until = 0
    return status
