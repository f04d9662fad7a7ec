"""Wall time that never jumps: anchored to the Unix epoch once, advanced by the monotonic clock."""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline int64_t read_ns(int clock) noexcept nogil:
    cdef timespec moment
    clock_gettime(clock, &moment)
    return <int64_t>moment.tv_sec * 1_000_000_000 + moment.tv_nsec


cdef inline int64_t anchor_ns() noexcept nogil:
    """What to add to the monotonic clock to have nanoseconds since the epoch."""
    return read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC)


cdef inline uint64_t now_ns(int64_t anchor) noexcept nogil:
    return <uint64_t>(read_ns(CLOCK_MONOTONIC) + anchor)
