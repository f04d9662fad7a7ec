"""The key table: open addressing over 128-bit slots, and the one compare-and-swap loop.

A slot is `tag (48 bits) | claim (1 bit) | state (79 bits)`. Tag 0 was never used and tag 1 is free again;
any other is the low end of a key's hash, whose high end says where in the table to look. A slot changes
only by a compare-and-swap of the whole word, so key and state can never be seen apart.

A search runs from the key's home slot to the first slot never used, and no further than the header's `reach`: the
farthest that a key was ever put, at most `window` slots. Slots do not become "never used" again and the reach only
grows, so a search never stops short of its key.

The horizon: before a slot is taken from a key whose state has become a fresh one's, the header's horizon is
raised to the moment at which that was true. A key that is not in the table is fresh since the horizon, not
since ever: whoever comes back with an earlier clock reading is not forgiven.

Nothing here trusts the memory further than a word: whatever the bytes of a table are, no search runs out of it
and no loop waits for another thread.
"""

from libc.stdint cimport uint64_t

from .algorithm cimport admit, cancel, carried, charge, fresh_at, is_fresh, live_above, ready, refund, turn, unknown
from .atomics cimport (
    count_add,
    count_load,
    count_raise,
    prefetch,
    u128,
    word_among,
    word_cas,
    word_load,
    words_above,
    words_pass,
)
from .clock cimport Clock
from .rule cimport LEAKY_BUCKET, NEVER, SLIDING_LOG, Rule
from .sliding_log cimport (
    log_append,
    log_cell,
    log_leaves,
    log_leaves_back,
    log_number,
    log_pack,
    log_retired,
    log_stamp,
)


cdef struct Header:
    Clock clock
    uint64_t horizon     # nanoseconds; see above
    uint64_t revision    # of the quota that holds, see metadata.py
    uint64_t reach       # slots that a search has to visit; see above
    uint64_t apart       # what follows is written often: it has a cache line of its own
    uint64_t tickets     # claims so far: makes each claim's word unlike any before
    uint64_t full        # decisions that found no slot
    uint64_t collisions  # compare-and-swaps that met a change by another thread

cdef struct Table:
    uint64_t seed[2]  # of the hash
    Header* header
    u128* slots
    u128* rings      # the sliding log's, `capacity` words a slot; otherwise NULL
    uint64_t size    # slots
    uint64_t window  # slots a search may visit

cdef enum Verb:
    HIT      # spend now or not at all
    RESERVE  # spend at the first moment that allows it, within the patience
    CHARGE   # spend without asking
    REFUND   # give back
    CANCEL   # undo a booking

cdef struct Request:
    Verb verb
    bint now_given     # by the caller: then it is taken as it is, even where it lies before the horizon
    uint64_t now
    uint64_t cost
    uint64_t patience  # RESERVE: the longest delay, in nanoseconds
    uint64_t at        # RESERVE: not before; CANCEL: the moment that was booked

cdef enum Status:
    REFUSED
    DONE
    FULL

cdef struct Outcome:
    Status status
    uint64_t now  # as decided with: not before the horizon, unless given
    uint64_t at   # when the request may act
    u128 before
    u128 after
    u128* ring

cdef enum:
    STATE_AND_CLAIM = 80
    GROUP = 8  # slots that are looked at together


cdef inline u128 claim_bit() noexcept nogil:
    return <u128>1 << (STATE_AND_CLAIM - 1)


cdef inline u128 state_of(u128 word) noexcept nogil:
    return word & (claim_bit() - 1)


cdef inline uint64_t tag_of(u128 word) noexcept nogil:
    return <uint64_t>(word >> STATE_AND_CLAIM)


cdef inline uint64_t tag_of_hash(uint64_t hashed) noexcept nogil:
    cdef uint64_t tag = hashed & ((<uint64_t>1 << 48) - 1)
    return tag if tag > 1 else tag + 2


cdef inline u128 slot_word(uint64_t tag, u128 state) noexcept nogil:
    return <u128>tag << STATE_AND_CLAIM | state


cdef inline u128 free_word() noexcept nogil:
    return slot_word(1, 0)


cdef inline bint holds(u128 word, uint64_t tag) noexcept nogil:
    """Whether the slot is this key's and no longer being claimed."""
    return <uint64_t>(word >> (STATE_AND_CLAIM - 1)) == tag << 1


cdef inline bint is_claim(u128 word) noexcept nogil:
    return word & claim_bit() != 0


cdef inline bint is_key(u128 word) noexcept nogil:
    return tag_of(word) > 1 and not is_claim(word)


cdef inline u128* home(const Table* table, uint64_t hashed) noexcept nogil:
    return table.slots + <uint64_t>((<u128>hashed * table.size) >> 64)


cdef inline u128* onward(const Table* table, u128* slot, uint64_t count) noexcept nogil:
    """So many slots further, none of them beyond the table's end: after the last comes the first."""
    slot += count
    return table.slots if slot == table.slots + table.size else slot


cdef inline u128* following(const Table* table, u128* slot) noexcept nogil:
    return onward(table, slot, 1)


cdef inline u128* ring_of(const Table* table, const Rule* rule, u128* slot) noexcept nogil:
    return table.rings + (slot - table.slots) * rule.capacity if table.rings != NULL and slot != NULL else NULL


cdef inline uint64_t visits_to(const Table* table, uint64_t hashed, u128* slot) noexcept nogil:
    """How many slots a search visits to come there."""
    cdef u128* start = home(table, hashed)
    return (slot - start if slot >= start else slot + table.size - start) + 1


cdef inline uint64_t reach_of(const Table* table) noexcept nogil:
    return min(count_load(&table.header.reach), table.window)


# A full table makes searches long. So after its first eight slots a search asks of eight at once whether all can be
# passed, and goes on slot by slot where the answer is no, where fewer are left, and at the table's end. The words of
# a group are loaded in any order and show no one moment, but no search does: of a slot it only concludes that it was
# another's, or live, at some moment of the search. "Another's" is told by the high half, which is read whole
# everywhere; "live" takes both, and is only said where a word is read whole. So no torn word makes a search pass a
# slot, and what it does not pass it loads again as a word.


cdef inline uint64_t groups(const Table* table, u128* slot, uint64_t left) noexcept nogil:
    """The slots in whole groups from here on, before the search's end and the table's."""
    return min(left, <uint64_t>(table.slots + table.size - slot)) // GROUP * GROUP


cdef inline uint64_t others(const Table* table, u128* slot, uint64_t left, uint64_t tag) noexcept nogil:
    """How many slots from here on, in groups, are used and do not hold the key."""
    cdef uint64_t passed = 0, most = groups(table, slot, left)
    while passed < most and words_pass(slot + passed, STATE_AND_CLAIM - 1, tag << 1):
        passed += GROUP
    return passed


cdef inline uint64_t live(const Table* table, u128* slot, uint64_t left, uint64_t tag, u128 floor) noexcept nogil:
    """How many slots from here on, in groups, are other keys', each with a state above `floor`."""
    cdef uint64_t passed = 0, most = groups(table, slot, left)
    while passed < most and words_above(slot + passed, STATE_AND_CLAIM, tag, floor):
        passed += GROUP
    return passed


cdef inline u128* find(const Table* table, uint64_t hashed, u128* word) noexcept nogil:
    """The key's slot and the word it held; NULL says that each slot was another's when it was looked at."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot = home(table, hashed)
    cdef uint64_t left = reach_of(table), some, passed
    while left:
        some = min(left, <uint64_t>GROUP)
        left -= some
        while some:
            word[0] = word_load(slot)
            if holds(word[0], tag):
                return slot
            if word[0] == 0:
                return NULL
            slot = following(table, slot)
            some -= 1
        passed = others(table, slot, left, tag)
        slot = onward(table, slot, passed)
        left -= passed
    return NULL


cdef inline u128* find_near(const Table* table, uint64_t hashed, u128* word) noexcept nogil:
    """`find` for a batch: beyond home, eight slots at once, since a branch for each would often be guessed wrongly.

    NULL says nothing: the key may be farther from home, or the table's end too near to look.
    """
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot = home(table, hashed)
    cdef int at, _group
    word[0] = word_load(slot)
    if holds(word[0], tag):
        return slot
    if table.slots + table.size - slot <= 2 * GROUP:
        return NULL
    slot += 1
    for _group in range(2):
        at = word_among(slot, STATE_AND_CLAIM - 1, tag << 1)
        slot += at
        if at < GROUP:
            word[0] = word_load(slot)
            return slot if holds(word[0], tag) else NULL
    return NULL


# --- a new key: claim, settle, decide ---------------------------------------------------------------------
#
# Two threads may bring the same new key at once and claim two slots for it. So a claim decides nothing: it
# is settled first, by a second search that starts after the claim is visible to all. Of several claims for
# one key the first in search order stays; a key that is already in a slot wins over every claim.


cdef inline u128* settle(const Table* table, uint64_t hashed, u128* slot, u128* word) noexcept nogil:
    """The one slot of this key, given a claim for it: `word` comes back as a settled claim or the key itself."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* rival = home(table, hashed)
    cdef uint64_t left = reach_of(table)  # read after the claim was written, like all that is read here
    cdef bint passed = False
    cdef u128 seen
    while left:
        seen = word_load(rival)
        if rival == slot:
            passed = True
        elif seen == 0:
            break
        elif tag_of(seen) == tag:
            if passed and is_claim(seen):
                if word_load(slot) != word[0]:
                    break  # a claim that was lost evicts nobody: two of them could do so for ever
                word_cas(rival, &seen, free_word())
                continue  # read it again: it may have become the key meanwhile
            word_cas(slot, word, free_word())
            word[0] = seen
            if not is_claim(seen):
                return rival
            slot = rival
            rival = home(table, hashed)
            left = reach_of(table)
            passed = False
            continue
        rival = following(table, rival)
        left -= 1
    return slot


cdef inline u128* claim(
    const Table* table, const Rule* rule, uint64_t now, uint64_t hashed, bint* robbed, u128* word
) noexcept nogil:
    """A settled slot for a key that was not found, or the key if it came meanwhile, or NULL if all are live."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot
    cdef u128* chosen
    cdef u128* abandoned
    cdef u128 seen, expected = 0, leftover = 0, mine
    cdef u128 floor = live_above(rule, now)
    cdef uint64_t visited, reach, passed
    while True:
        chosen = abandoned = NULL
        slot = home(table, hashed)
        reach = reach_of(table)
        visited = 0
        while visited < (reach if chosen != NULL else table.window):
            seen = word_load(slot)
            if tag_of(seen) == tag:
                word[0] = seen
                return settle(table, hashed, slot, word) if is_claim(seen) else slot
            if is_claim(seen):
                if abandoned == NULL:
                    abandoned, leftover = slot, seen
            elif chosen == NULL and (not is_key(seen) or is_fresh(rule, now, state_of(seen))):
                chosen, expected = slot, seen
            if seen == 0:
                break
            slot = following(table, slot)
            visited += 1
            if visited % GROUP == 0 and chosen == NULL:
                passed = live(table, slot, table.window - visited, tag, floor)
                slot = onward(table, slot, passed)
                visited += passed
        if chosen == NULL and not robbed[0]:
            # A claim is either somebody's next instruction or what a dead process left behind. Nothing was
            # decided by it: taking it costs its owner another search. A request does so once: two keys could
            # take the last slot from each other for ever.
            chosen, expected = abandoned, leftover
        if chosen == NULL:
            return NULL
        count_raise(&table.header.reach, visits_to(table, hashed, chosen))
        if is_key(expected):
            count_raise(&table.header.horizon, now)
        mine = slot_word(tag, claim_bit() | (count_add(&table.header.tickets, 1) & ((<uint64_t>1 << 63) - 1)))
        if word_cas(chosen, &expected, mine):
            robbed[0] = robbed[0] or is_claim(expected)
            word[0] = mine
            return settle(table, hashed, chosen, word)
        count_add(&table.header.collisions, 1)


cdef inline uint64_t opening(const Table* table, const Rule* rule, uint64_t now, uint64_t hashed) noexcept nogil:
    """The first moment, from now on, at which some slot can be claimed for the key."""
    cdef u128* slot = home(table, hashed)
    cdef uint64_t visited = 0, passed
    cdef uint64_t first = NEVER
    cdef u128 word
    while visited < table.window and first > now:
        word = word_load(slot)
        first = min(first, fresh_at(rule, now, state_of(word)) if is_key(word) else now)
        slot = following(table, slot)
        visited += 1
        if visited % GROUP == 0 and first > now:
            # who is live just before `first` opens no earlier
            passed = live(table, slot, table.window - visited, 0, live_above(rule, first - 1))
            slot = onward(table, slot, passed)
            visited += passed
    return first


# --- the decision -----------------------------------------------------------------------------------------


cdef inline bint decide(
    const Rule* rule, const Request* request, uint64_t now, u128 state, u128* ring, u128* after, uint64_t* at
) noexcept nogil:
    """What the request makes of a state; False when it changes nothing."""
    if request.verb == HIT:
        at[0] = turn(rule, now, state)
        return admit(rule, now, request.cost, state, ring, after)
    at[0] = now
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
    if request.verb == REFUND:
        after[0] = refund(rule, now, request.cost, state)
    else:
        after[0] = cancel(rule, now, request.at, request.cost, state)
    return after[0] != state


cdef inline uint64_t recall(
    const Table* table, const Rule* rule, const Request* request, bint missing, uint64_t* now, u128* state, u128** ring
) noexcept nogil:
    """The horizon, for a key that is missing or a sliding log that is not yet full; and what it makes of them.

    In a log the key may have come back after its slot was taken, and then the log lacks what counts for a
    reading from before. (In the other algorithms the state of a key that came back is what it would have been
    without going.)
    """
    cdef uint64_t horizon = count_load(&table.header.horizon)
    if not request.now_given:
        now[0] = max(now[0], horizon)
    if missing or (request.verb == HIT and now[0] < horizon):
        state[0] = unknown(rule, now[0], horizon)
        ring[0] = NULL
    return horizon


cdef inline bint retire(const Rule* rule, u128* slot, u128 word, u128* ring) noexcept nogil:
    """Copy a sliding log's newest request into its ring, before a newer one replaces it in the slot.

    Whoever comes first does it for all. The slot is looked at again between reading the cell and writing
    it: while the slot still holds `word`, nobody can be a lap ahead.
    """
    cdef u128* cell = log_cell(rule, log_number(word), ring)
    cdef u128 seen = word_load(cell)
    if state_of(seen) == state_of(word):
        return True
    if word_load(slot) != word:
        return False
    return word_cas(cell, &seen, log_retired(rule, state_of(word), seen)) or state_of(seen) == state_of(word)


cdef inline Status commit(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """Decide and write, again from the start whenever another thread was faster: the one loop of the library."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef uint64_t now = request.now, at = 0, horizon = 0
    cdef u128 word = 0, state, after = 0
    cdef u128* slot
    cdef u128* ring
    cdef bint robbed = False
    cdef Status status
    while True:
        slot = find(table, hashed, &word)
        state = state_of(word)
        ring = ring_of(table, rule, slot)
        if slot == NULL or (ring != NULL and log_number(state) < rule.capacity):
            horizon = recall(table, rule, request, slot == NULL, &now, &state, &ring)
        if slot == NULL and (request.verb == REFUND or request.verb == CANCEL):
            status = REFUSED
            break
        if not decide(rule, request, now, state, ring, &after, &at):
            if ring != NULL and word_load(slot) != word:
                continue  # the ring may have moved on under the decision
            status = REFUSED
            break
        if slot == NULL:
            slot = claim(table, rule, now, hashed, &robbed, &word)
            if slot == NULL:
                count_add(&table.header.full, 1)
                at = opening(table, rule, now, hashed)
                status = FULL
                break
            if not is_claim(word):
                continue
            if count_load(&table.header.horizon) > max(horizon, now):
                word_cas(slot, &word, free_word())  # the key may have come and gone since it was missed
                continue
        elif ring != NULL and not retire(rule, slot, word, ring):
            continue
        if word_cas(slot, &word, slot_word(tag, after)):
            status = DONE
            break
        count_add(&table.header.collisions, 1)
    out.status = status
    out.now = now
    out.at = at
    out.before = state
    out.after = after if status == DONE else state
    out.ring = ring
    return status


# --- what a sliding log does differently: it spends and gives back one by one -------------------------------


# Of both: False when there is nothing to give back; otherwise one `left` less, or none if another thread came between.


cdef inline bint log_pop(
    const Table* table, const Rule* rule, u128* slot, u128 word, uint64_t at, uint64_t* left
) noexcept nogil:
    """Take back the newest request, booked `at` a moment yet to come; nothing when it is not the newest."""
    cdef u128 previous
    if log_stamp(word) != at + 1:
        return False
    previous = state_of(word_load(log_cell(rule, log_number(word) - 1, ring_of(table, rule, slot))))
    if log_number(previous) == 0 or log_append(rule, at, previous) != state_of(word):
        return False
    left[0] -= word_cas(slot, &word, slot_word(tag_of(word), previous))
    return True


cdef inline bint log_forgive(
    const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word, uint64_t* left
) noexcept nogil:
    """Forget the oldest request that still counts: what stays is never older than what was really admitted.

    Nothing when none counts, or when bookings lie ahead: the ring may then no longer hold the oldest.
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


cdef inline void log_give_back(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed
) noexcept nogil:
    cdef uint64_t left = min(request.cost, rule.capacity)
    cdef u128 word = 0
    cdef u128* slot
    while left:
        slot = find(table, hashed, &word)
        if slot == NULL:
            return
        if request.verb == CANCEL and request.at > request.now:
            if not log_pop(table, rule, slot, word, request.at, &left):
                return
        elif not log_forgive(table, rule, request.now, slot, word, &left):
            return


cdef inline Status log_spend(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """All of the cost or nothing: each step asks whether all that is left still fits, and takes one."""
    cdef Request step = request[0]
    cdef Outcome first
    if step.cost == 1:
        return commit(table, rule, request, hashed, out)
    if step.verb == CHARGE:
        step.cost = min(step.cost, rule.capacity)  # more than the ring holds makes no difference
    if commit(table, rule, &step, hashed, out) != DONE:
        return out.status
    first = out[0]
    step.patience = first.at - first.now  # the first step has settled the moment
    while step.cost > 1:
        step.cost -= 1
        if commit(table, rule, &step, hashed, out) != DONE:
            step.verb = CANCEL
            step.at = first.at
            step.cost = request.cost - step.cost
            log_give_back(table, rule, &step, hashed)
            break
    out.before = first.before
    out.at = first.at
    return out.status


# --- for one limiter: what the verbs call -------------------------------------------------------------------


cdef inline Status perform(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """Carry out a request. Lock-free; safe to call from any number of threads."""
    if rule.algorithm != SLIDING_LOG:
        return commit(table, rule, request, hashed, out)
    if request.verb == REFUND or request.verb == CANCEL:
        log_give_back(table, rule, request, hashed)
        out.status = DONE
        return DONE
    return log_spend(table, rule, request, hashed, out)


cdef inline Status take(
    const Table* table, const Rule* rule, uint64_t hashed, uint64_t now, bint now_given, uint64_t cost
) noexcept nogil:
    """`perform` for a hit of which only the status matters. The first round is short enough to be compiled into the
    caller: nearly always the key is there, and no other thread is at it."""
    cdef u128 word = 0, after = 0
    cdef u128* slot
    cdef Request request
    cdef Outcome out
    if rule.algorithm != SLIDING_LOG:
        slot = find(table, hashed, &word)
        if slot != NULL:
            if not admit(rule, now, cost, state_of(word), NULL, &after):
                return REFUSED
            if word_cas(slot, &word, slot_word(tag_of_hash(hashed), after)):
                return DONE
            count_add(&table.header.collisions, 1)
    request.verb = HIT
    request.now = now
    request.now_given = now_given
    request.cost = cost
    return perform(table, rule, &request, hashed, &out)


cdef inline void look(
    const Table* table, const Rule* rule, const Request* request, uint64_t hashed, Outcome* out
) noexcept nogil:
    """What a hit would meet; writes nothing."""
    cdef u128 word = 0
    cdef u128* slot
    out.now = request.now
    while True:
        slot = find(table, hashed, &word)
        out.before = state_of(word)
        out.ring = ring_of(table, rule, slot)
        if slot == NULL or (out.ring != NULL and log_number(out.before) < rule.capacity):
            recall(table, rule, request, slot == NULL, &out.now, &out.before, &out.ring)
        out.after = out.before
        out.at = ready(rule, out.now, request.cost, out.before, out.ring)
        out.status = DONE if out.at <= out.now else REFUSED
        if slot == NULL and out.status == DONE:
            out.at = opening(table, rule, out.now, hashed)
            if out.at > out.now:
                out.status = FULL
        if out.status == DONE:
            out.at = turn(rule, out.now, out.before)
        if out.ring == NULL or word_load(slot) == word:
            return


cdef inline void forget(const Table* table, uint64_t hashed) noexcept nogil:
    cdef u128 word = 0
    cdef u128* slot = find(table, hashed, &word)
    while slot != NULL:
        if word_cas(slot, &word, free_word()):
            return
        slot = find(table, hashed, &word)


cdef inline void forget_all(const Table* table) noexcept nogil:
    cdef u128* slot
    cdef u128 word
    cdef uint64_t i
    for i in range(table.size):
        slot = table.slots + i
        word = word_load(slot)
        while tag_of(word) > 1 and not word_cas(slot, &word, free_word()):
            continue


cdef inline void carry_over(
    const Table* table, const Rule* old, const Rule* new, uint64_t now, bint scale
) noexcept nogil:
    """Restate every key's state under a new quota."""
    cdef u128* slot
    cdef u128 word
    cdef uint64_t i
    for i in range(table.size):
        slot = table.slots + i
        word = word_load(slot)
        while is_key(word) and not word_cas(
            slot, &word, slot_word(tag_of(word), carried(old, new, now, scale, state_of(word)))
        ):
            continue


cdef inline uint64_t count_live(const Table* table, const Rule* rule, uint64_t now) noexcept nogil:
    """Keys whose state is not a fresh one's."""
    cdef uint64_t live = 0, i
    cdef u128 word
    for i in range(table.size):
        word = word_load(table.slots + i)
        live += is_key(word) and not is_fresh(rule, now, state_of(word))
    return live


cdef inline void fetch(const Table* table, uint64_t hashed) noexcept nogil:
    """Ask for the memory of a key that will be decided soon."""
    prefetch(home(table, hashed))


cdef inline void fetch_ring(const Table* table, const Rule* rule, uint64_t hashed) noexcept nogil:
    """The same for the cells of its sliding log, once its slot is here: the oldest one is about to be replaced."""
    cdef u128 word = 0
    cdef u128* slot = find(table, hashed, &word)
    if slot != NULL:
        prefetch(log_cell(rule, log_number(word), ring_of(table, rule, slot)))
