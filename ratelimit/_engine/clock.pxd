"""Wall time that never jumps: anchored to the Unix epoch once, then advanced by the monotonic clock.

The anchor is in the table's header, so that all its processes decide by one clock. It is valid for a *session*: one
file from one start of the host to the next, since the monotonic clock restarts when the host does. The first process
that attaches to a table in a new session sets a new anchor from the wall clock, which alone knows how much time has
passed; if the wall clock went back, the anchor keeps the table's latest moment.
"""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from .atomics cimport count_load, count_raise, u128, word_cas, word_load
from .constants cimport NEVER, NS_PER_SECOND


cdef extern from "_engine/monotonic.h" nogil:
    uint64_t monotonic_ns()

cdef struct Clock:
    u128 epoch        # session (64 bits) | what to add to the monotonic clock (64 bits)
    uint64_t latest   # at most a second behind the moment of the latest decision


cdef inline int64_t wall_ns() noexcept nogil:
    cdef timespec moment
    clock_gettime(CLOCK_REALTIME, &moment)
    return <int64_t>moment.tv_sec * NS_PER_SECOND + moment.tv_nsec


cdef inline int64_t anchor_ns() noexcept nogil:
    """Return the difference between nanoseconds since the epoch and the monotonic clock."""
    return wall_ns() - <int64_t>monotonic_ns()


cdef inline bint is_of_session(Clock* clock, uint64_t session, u128 epoch) noexcept nogil:
    """Return whether an epoch is this session's.

    A host that does not name its boot has the session 0. There the anchor is kept unless the clock would go back.
    """
    if session:
        return <uint64_t>(epoch >> 64) == session
    return epoch != 0 and monotonic_ns() + <uint64_t>epoch + 2 * NS_PER_SECOND >= count_load(&clock.latest)


cdef inline bint clock_is_valid(Clock* clock, uint64_t session) noexcept nogil:
    """Return whether the clock is before the end of time; a damaged one may not be."""
    cdef u128 seen = word_load(&clock.epoch)
    if count_load(&clock.latest) >= NEVER - 1:
        return False
    return not is_of_session(clock, session, seen) or monotonic_ns() + <uint64_t>seen < NEVER - 1


cdef inline bint is_settled(Clock* clock, uint64_t session) noexcept nogil:
    """Return whether the table was used in this session, or never."""
    cdef u128 seen = word_load(&clock.epoch)
    return seen == 0 or is_of_session(clock, session, seen)


cdef inline int64_t settle_anchor(Clock* clock, uint64_t session, int64_t anchor) noexcept nogil:
    """Return the anchor of this table in this session: the given one, unless another process has set one."""
    cdef u128 seen = word_load(&clock.epoch)
    while not is_of_session(clock, session, seen):
        anchor = max(anchor, <int64_t>(count_load(&clock.latest) - monotonic_ns()))
        if word_cas(&clock.epoch, &seen, <u128>session << 64 | <uint64_t>anchor):
            return anchor
    return <int64_t><uint64_t>seen


cdef inline uint64_t peek_ns(int64_t anchor) noexcept nogil:
    """Return the current time, without recording it."""
    return monotonic_ns() + <uint64_t>anchor


cdef inline uint64_t now_ns(Clock* clock, int64_t anchor) noexcept nogil:
    """Return the current time for a decision, and record it in `latest`."""
    cdef uint64_t now = peek_ns(anchor)
    if now > count_load(&clock.latest) + NS_PER_SECOND:
        count_raise(&clock.latest, now)
    return now
