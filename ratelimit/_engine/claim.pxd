"""Taking a slot for a new key: claim, then settle.

Two threads may bring the same new key at once and claim two slots for it. So a claim decides nothing: it is settled
first, by a second search that starts after the claim is visible to all threads, and goes through all open levels from
the lowest to the highest. Of several claims for one key the first in this order remains, and a key that already has a
slot wins over every claim. A level is open before anything is claimed in it, so a claim that is written later sees it.

The horizon: before a slot is taken from a key that has become like one never seen, the header's horizon is raised to
the moment at which that was true. A key that is not in the table is fresh since the horizon, not since ever: a request
with an earlier clock reading is not forgiven what the key had spent.
"""

from libc.stdint cimport uint64_t

from .algorithm cimport is_fresh, live_above
from .atomics cimport count_add, count_load, count_raise, u128, word_cas, word_load
from .block cimport slot_fresh_at
from .constants cimport NEVER
from .growth cimport (
    CROWDED,
    NEAR,
    claims_begin,
    may_open,
    note_claim,
    open_next,
    prepare_next,
    visits_at_first,
    visits_at_last,
)
from .layout cimport (
    STATE_AND_CLAIM,
    TICKET_BITS,
    Level,
    Table,
    claim_bit,
    following,
    free_word,
    home,
    is_block,
    is_claim,
    is_key,
    level_of,
    onward,
    reach_of,
    slot_word,
    state_of,
    tag_of,
    tag_of_hash,
    top_of,
)
from .rule cimport Rule
from .search cimport GROUP, skip_live, skip_others


cdef struct Choice:
    u128* slot           # that a new key takes, and its word
    u128 word
    u128* claimed        # the first one that another key is claiming, and its word
    u128 claimed_word
    uint64_t visits      # to the slot
    uint64_t number      # of the level
    bint from_below      # whether the lowest level was tried first


cdef inline u128* settle(const Table* table, uint64_t hashed, u128* slot, u128* word) noexcept nogil:
    """Return the only slot of a claimed key. `word` becomes the settled claim, or the key's own word."""
    cdef uint64_t tag = tag_of_hash(hashed), number = 0, left, skipped
    cdef const Level* level
    cdef u128* rival
    cdef u128 seen
    cdef bint passed = False, again
    while number <= top_of(table):  # read after the claim was written, like everything that is read here
        level = level_of(table, number)
        rival = home(level, hashed)
        left = reach_of(level)
        again = False
        while left:
            skipped = skip_others(level, rival, left, STATE_AND_CLAIM, tag)
            rival = onward(level, rival, skipped)
            left -= skipped
            if left == 0:
                break
            seen = word_load(rival)
            if rival == slot:
                passed = True
            elif seen == 0:
                break
            elif tag_of(seen) == tag:
                if passed and is_claim(seen):
                    if word_load(slot) != word[0]:
                        return slot  # a lost claim evicts no other: two of them could do so forever
                    word_cas(rival, &seen, free_word())
                    continue  # read it again: it may have become the key meanwhile
                word_cas(slot, word, free_word())
                word[0] = seen
                if not is_claim(seen):
                    return rival
                slot = rival
                again = True
                break
            rival = following(level, rival)
            left -= 1
        passed = passed and not again
        number = 0 if again else number + 1
    return slot


cdef inline bint is_vacant(const Table* table, const Rule* rule, uint64_t now, u128* slot, u128 word) noexcept nogil:
    """Return whether a new key may take the slot, which is not being claimed."""
    if is_key(word):
        return is_fresh(rule, now, state_of(word))
    return not is_block(word) or slot_fresh_at(table, rule, now, slot, word) <= now


cdef inline u128* choose(
    const Table* table,
    const Rule* rule,
    uint64_t number,
    uint64_t visits,
    uint64_t now,
    uint64_t hashed,
    Choice* choice,
    u128* word,
) noexcept nogil:
    """Choose a slot among the first `visits` of a level. Return the key's own one if it is met, otherwise NULL.

    A slot that was never used is taken if it is near to home, even if a key before it has become fresh. Otherwise keys
    that are fresh again at each visit would take each other's slots for ever, while other slots stay empty.
    """
    cdef const Level* level = level_of(table, number)
    cdef uint64_t tag = tag_of_hash(hashed), reach = reach_of(level)
    cdef uint64_t farthest = min(max(reach, <uint64_t>NEAR), visits), visited = 0, skipped
    cdef bint blocks = count_load(&table.header.blocks) != 0  # a group does not show whether they have ended
    cdef bint crowded = number < top_of(table)
    cdef u128* slot = home(level, hashed)
    cdef u128 seen, floor = live_above(rule, now)
    while visited < (farthest if choice.slot != NULL else visits):
        skipped = 0
        if choice.slot != NULL:  # what is left to find is the key itself, or a slot that was never used
            skipped = skip_others(level, slot, farthest - visited, STATE_AND_CLAIM, tag)
        elif visited % GROUP == 0 and (visited or crowded) and not blocks:
            skipped = skip_live(level, slot, visits - visited, tag, floor)
        slot = onward(level, slot, skipped)
        visited += skipped
        if visited >= (farthest if choice.slot != NULL else visits):
            break
        seen = word_load(slot)
        if tag_of(seen) == tag:
            word[0] = seen
            if visited >= reach:
                # The header is older than the slots: a copy of a live file, or a power cut. Unless the reach is
                # raised, no search would find the key, and the request would begin again for ever.
                count_raise(level.reach, visited + 1)
            if is_block(seen):
                count_raise(&table.header.blocks, 1)  # for the same reason
            return slot
        if is_claim(seen):
            if choice.claimed == NULL:
                choice.claimed, choice.claimed_word = slot, seen
                if choice.slot == NULL:
                    choice.visits, choice.number = visited + 1, number
        elif (choice.slot == NULL and is_vacant(table, rule, now, slot, seen)) or (seen == 0 and visited < NEAR):
            choice.slot, choice.word = slot, seen
            choice.visits, choice.number = visited + 1, number
        if seen == 0:
            break
        slot = following(level, slot)
        visited += 1
    return NULL


cdef inline u128* choose_anywhere(
    const Table* table, const Rule* rule, uint64_t now, uint64_t hashed, Choice* choice, u128* word
) noexcept nogil:
    """`choose` in the first level that has a slot; if no level has one, the next is opened.

    If that is impossible, each level is searched again, and farther.
    """
    cdef uint64_t top = top_of(table), number = claims_begin(table, top, hashed, now)
    cdef u128* own = NULL
    choice.slot = choice.claimed = NULL
    choice.from_below = number == 0
    while number <= top and table.height > 1:
        own = choose(table, rule, number, visits_at_first(table, number, top), now, hashed, choice, word)
        if own != NULL or choice.slot != NULL:
            if own == NULL and number == top and choice.visits > CROWDED:
                prepare_next(table, top)
            return own
        number += 1
        if number > top and open_next(table, top):
            top += 1
    number = 0
    while number <= top and own == NULL and choice.slot == NULL:
        own = choose(table, rule, number, visits_at_last(table, number, top), now, hashed, choice, word)
        number += 1
    return own


cdef inline u128* claim(
    const Table* table, const Rule* rule, uint64_t now, uint64_t hashed, bint* evicted_claim, u128* word
) noexcept nogil:
    """Return a settled slot for a missing key, or its slot if it has one by now, or NULL if all are live."""
    cdef u128* own
    cdef u128 mine
    cdef Choice choice
    while True:
        own = choose_anywhere(table, rule, now, hashed, &choice, word)
        if own != NULL:
            return settle(table, hashed, own, word) if is_claim(word[0]) else own
        if choice.slot == NULL and not evicted_claim[0]:
            # Another key's claim is about to become that key, or its process died. It decided nothing: taking it
            # costs its owner another search. A request does so once: two keys could take the last slot from each
            # other forever.
            choice.slot, choice.word = choice.claimed, choice.claimed_word
        if choice.slot == NULL:
            return NULL
        count_raise(level_of(table, choice.number).reach, choice.visits)
        if is_key(choice.word) or is_block(choice.word):
            count_raise(&table.header.horizon, now)
        mine = slot_word(
            tag_of_hash(hashed),
            claim_bit() | (count_add(&table.header.tickets, 1) & ((<uint64_t>1 << TICKET_BITS) - 1)),
        )
        if word_cas(choice.slot, &choice.word, mine):
            evicted_claim[0] = evicted_claim[0] or is_claim(choice.word)
            word[0] = mine
            note_claim(table, choice.number, choice.from_below)
            return settle(table, hashed, choice.slot, word)
        count_add(&table.header.collisions, 1)


cdef inline uint64_t first_free_at(const Table* table, const Rule* rule, uint64_t now, uint64_t hashed) noexcept nogil:
    """Return the first moment, from now on, at which the key could claim a slot."""
    cdef uint64_t number = 0, top = top_of(table), visits, visited, skipped, first = NEVER
    cdef const Level* level
    cdef u128* slot
    cdef u128 word
    if may_open(table, top):
        return now
    while number <= top and first > now:
        level = level_of(table, number)
        visits = visits_at_last(table, number, top)
        slot = home(level, hashed)
        visited = 0
        while visited < visits and first > now:
            word = word_load(slot)
            first = min(first, slot_fresh_at(table, rule, now, slot, word))
            slot = following(level, slot)
            visited += 1
            if visited % GROUP == 0 and first > now and not count_load(&table.header.blocks):
                # a key that is live just before `first` is not fresh any earlier
                skipped = skip_live(level, slot, visits - visited, 0, live_above(rule, first - 1))
                slot = onward(level, slot, skipped)
                visited += skipped
        number += 1
    return first
