"""A request as the engine sees it, and its outcome."""

from libc.stdint cimport uint64_t

from .atomics cimport u128

cdef enum Verb:
    HIT      # spend now or not at all
    RESERVE  # spend at the first moment that admits the cost, within the patience
    CHARGE   # spend whether the quota admits it or not
    REFUND   # give back
    CANCEL   # undo a booking
    BLOCK    # refuse all requests until `at`
    UNBLOCK  # end that now

cdef struct Request:
    Verb verb
    bint now_given     # the caller chose `now`: it is used as it is, even if it precedes the horizon
    uint64_t now
    uint64_t cost
    uint64_t patience  # RESERVE: the longest delay, in nanoseconds
    uint64_t at        # RESERVE: not before; CANCEL: the moment that was booked; BLOCK: the end
    # CANCEL alone:
    bint whole         # no part of the booking stays
    bint last_only     # do nothing while later bookings depend on it; the outcome's `at` is NEVER then
    u128 found         # the state that the booking found
    u128 booked        # the state that it left

cdef enum Status:
    REFUSED
    DONE
    FULL  # the key has no slot, and every slot that it could take belongs to a live key

cdef struct Outcome:
    Status status
    uint64_t now  # the moment of the decision; not before the horizon unless the caller chose it
    uint64_t at   # when the request may act
    uint64_t held_until  # the end of the block if the key is blocked, otherwise 0; `before` is the state then
    u128 before   # the key's state
    u128 after
    u128* ring    # of a sliding log
