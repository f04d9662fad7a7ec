"""Taking a slot for a new key: claim, then settle.

Two threads may bring the same new key at once and claim two slots for it. So a claim decides nothing: it is settled
first, by a second search that starts after the claim is visible to all threads. Of several claims for one key the first
in search order remains, and a key that already has a slot wins over every claim.

The horizon: before a slot is taken from a key that has become like one never seen, the header's horizon is raised to
the moment at which that was true. A key that is not in the table is fresh since the horizon, not since ever: a request
with an earlier clock reading is not forgiven what the key had spent.
"""

from libc.stdint cimport uint64_t

from .algorithm cimport is_fresh, live_above
from .atomics cimport count_add, count_load, count_raise, u128, word_cas, word_load
from .block cimport slot_fresh_at
from .constants cimport NEVER
from .layout cimport (
    TICKET_BITS,
    Table,
    claim_bit,
    following,
    free_word,
    home,
    is_block,
    is_claim,
    is_key,
    onward,
    reach_of,
    slot_word,
    state_of,
    tag_of,
    tag_of_hash,
    visits_to,
)
from .rule cimport Rule
from .search cimport GROUP, skip_live


cdef enum:
    # A slot that was never used is taken this near to home, even if a key before it has become fresh. Otherwise keys
    # that are fresh again at each visit would take each other's slots for ever, while other slots stay empty.
    UNUSED_WITHIN = 16


cdef inline u128* settle(const Table* table, uint64_t hashed, u128* slot, u128* word) noexcept nogil:
    """Return the only slot of a claimed key. `word` becomes the settled claim, or the key's own word."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* rival = home(table, hashed)
    cdef uint64_t left = reach_of(table)  # read after the claim was written, like everything that is read here
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
                    break  # a lost claim evicts no other: two of them could do so forever
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


cdef inline bint is_vacant(const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word) noexcept nogil:
    """Return whether a new key may take the slot, which is not being claimed."""
    if is_key(word):
        return is_fresh(rule, now, state_of(word))
    return not is_block(word) or slot_fresh_at(table, rule, now, slot, word) <= now


cdef inline u128* claim(
    const Table* table, const Rule* rule, uint64_t now, uint64_t hashed, bint* evicted_claim, u128* word
) noexcept nogil:
    """Return a settled slot for a missing key, or its slot if it has one by now, or NULL if all are live."""
    cdef uint64_t tag = tag_of_hash(hashed)
    cdef u128* slot
    cdef u128* chosen
    cdef u128* claimed
    cdef u128 seen, expected = 0, claimed_word = 0, mine
    cdef u128 floor = live_above(rule, now)
    cdef uint64_t visited, reach, farthest, skipped
    cdef bint blocks = count_load(&table.header.blocks) != 0  # a group does not show whether they have ended
    while True:
        chosen = claimed = NULL
        slot = home(table, hashed)
        reach = reach_of(table)
        farthest = min(max(reach, <uint64_t>UNUSED_WITHIN), table.window)
        visited = 0
        while visited < (farthest if chosen != NULL else table.window):
            seen = word_load(slot)
            if tag_of(seen) == tag:
                word[0] = seen
                if visited >= reach:
                    # The header is older than the slots: a copy of a live file, or a power cut. Unless the reach is
                    # raised, no search would find the key, and the request would begin again for ever.
                    count_raise(&table.header.reach, visited + 1)
                if is_block(seen):
                    count_raise(&table.header.blocks, 1)  # for the same reason
                return settle(table, hashed, slot, word) if is_claim(seen) else slot
            if is_claim(seen):
                if claimed == NULL:
                    claimed, claimed_word = slot, seen
            elif chosen == NULL and is_vacant(table, rule, now, slot, seen):
                chosen, expected = slot, seen
            if seen == 0:
                if visited < UNUSED_WITHIN:
                    chosen, expected = slot, seen
                break
            slot = following(table, slot)
            visited += 1
            if visited % GROUP == 0 and chosen == NULL and not blocks:
                skipped = skip_live(table, slot, table.window - visited, tag, floor)
                slot = onward(table, slot, skipped)
                visited += skipped
        if chosen == NULL and not evicted_claim[0]:
            # Another key's claim is about to become that key, or its process died. It decided nothing: taking it
            # costs its owner another search. A request does so once: two keys could take the last slot from each
            # other forever.
            chosen, expected = claimed, claimed_word
        if chosen == NULL:
            return NULL
        count_raise(&table.header.reach, visits_to(table, hashed, chosen))
        if is_key(expected) or is_block(expected):
            count_raise(&table.header.horizon, now)
        mine = slot_word(tag, claim_bit() | (count_add(&table.header.tickets, 1) & ((<uint64_t>1 << TICKET_BITS) - 1)))
        if word_cas(chosen, &expected, mine):
            evicted_claim[0] = evicted_claim[0] or is_claim(expected)
            word[0] = mine
            return settle(table, hashed, chosen, word)
        count_add(&table.header.collisions, 1)


cdef inline uint64_t first_free_at(const Table* table, const Rule* rule, uint64_t now, uint64_t hashed) noexcept nogil:
    """Return the first moment, from now on, at which the key could claim a slot."""
    cdef u128* slot = home(table, hashed)
    cdef uint64_t visited = 0, skipped
    cdef uint64_t first = NEVER
    cdef u128 word
    while visited < table.window and first > now:
        word = word_load(slot)
        first = min(first, slot_fresh_at(table, rule, now, slot, word))
        slot = following(table, slot)
        visited += 1
        if visited % GROUP == 0 and first > now and not count_load(&table.header.blocks):
            # a key that is live just before `first` is not fresh any earlier
            skipped = skip_live(table, slot, table.window - visited, 0, live_above(rule, first - 1))
            slot = onward(table, slot, skipped)
            visited += skipped
    return first
