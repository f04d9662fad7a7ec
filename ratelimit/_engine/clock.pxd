"""Wall time that never jumps: anchored to the Unix epoch once, advanced by the monotonic clock.

The anchor is in the table's header, so that all its processes decide by one clock. The monotonic clock starts
again when the host does; the first process that comes to a table after that anchors it anew. Then nothing but
the wall clock knows how much time has passed: it is believed, but never to have gone back.
"""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from .atomics cimport count_load, count_raise, u128, word_cas, word_load
from .rule cimport NEVER


cdef extern from "_engine/monotonic.h" nogil:
    uint64_t monotonic_ns()

cdef struct Clock:
    u128 epoch        # boot (64 bits) | what to add to the monotonic clock (64 bits)
    uint64_t latest   # a moment that has come; at most a second behind the latest decision


cdef enum:
    SECOND = 1_000_000_000


cdef inline int64_t wall_ns() noexcept nogil:
    cdef timespec moment
    clock_gettime(CLOCK_REALTIME, &moment)
    return <int64_t>moment.tv_sec * SECOND + moment.tv_nsec


cdef inline int64_t anchor_ns() noexcept nogil:
    """What to add to the monotonic clock to have nanoseconds since the epoch."""
    return wall_ns() - <int64_t>monotonic_ns()


cdef inline bint can_be(Clock* clock, uint64_t boot) noexcept nogil:
    """Whether it tells a moment before the end of time; a damaged one may not."""
    cdef u128 seen = word_load(&clock.epoch)
    if count_load(&clock.latest) >= NEVER - 1:
        return False
    return <uint64_t>(seen >> 64) != boot or monotonic_ns() + <uint64_t>seen < NEVER - 1


cdef inline int64_t settle_anchor(Clock* clock, uint64_t boot, int64_t anchor) noexcept nogil:
    """The anchor that holds on this table since `boot`: the one given, if nobody came before."""
    cdef u128 seen = word_load(&clock.epoch)
    while <uint64_t>(seen >> 64) != boot:
        anchor = max(anchor, <int64_t>(count_load(&clock.latest) - monotonic_ns()))
        if word_cas(&clock.epoch, &seen, <u128>boot << 64 | <uint64_t>anchor):
            return anchor
    return <int64_t><uint64_t>seen


cdef inline uint64_t seen_ns(int64_t anchor) noexcept nogil:
    """The time for who only looks."""
    return monotonic_ns() + <uint64_t>anchor


cdef inline uint64_t now_ns(Clock* clock, int64_t anchor) noexcept nogil:
    """The time for a decision, which is noted."""
    cdef uint64_t now = seen_ns(anchor)
    if now > count_load(&clock.latest) + SECOND:
        count_raise(&clock.latest, now)
    return now
