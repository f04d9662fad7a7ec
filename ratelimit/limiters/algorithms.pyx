"""The five algorithms, each with its promise."""

from .._core cimport Limiter, allow

from .. import _core
from .._engine.constants import Algorithm
from .._limiter import parameters


cdef class TokenBucket(Limiter):
    """A bucket of `burst` tokens that starts full and refills continuously at the quota's rate.

    Promise: in any interval of length T it admits at most `burst + floor(T * limit / period)`, whatever the order in
    which clock readings arrive: a late reading can only be stricter.

    Args:
        quota: such as `"100/minute"`; `ratelimit.parse` reads several limits from one text.
        burst: the tokens in a full bucket; by default the quota's burst, or its limit.
        max_keys: how many keys may be live at once. It bounds the memory, which grows with the live keys. The
            default is 4,000,000.
        table: the Table in which the keys are kept; by default one in this process's memory.
        on_full: the result for a new key if every slot is live: `"deny"`, `"allow"` or `"raise"` (TableFull).
        clock: an object with `now_ns()`, integer nanoseconds since the epoch. The default is the wall time when
            this package was imported or the shared table was made, advanced by the monotonic clock.

    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.

    Thread-safety: every method may be called from any thread, and the limit holds over all processes that share the
    table. Updates are lock-free.
    Source: the generic cell rate algorithm, ITU-T I.371 (2004), annex A, whose single moment is a token bucket.
    """

    _parameters = staticmethod(parameters.token_bucket)

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        return allow(self, key)


cdef class LeakyBucket(Limiter):
    """A queue that drains at the quota's rate: one request is served at once, and `capacity` more may wait their turn.

    Promise: an admitted request is given the `delay` until its turn. Turns are at least one interval apart (the period
    divided by the limit, rounded up to whole nanoseconds). If `capacity` requests wait, the next is refused.

    Args:
        quota: such as `"100/minute"`.
        capacity: how many requests may wait beside the one that is served, nginx's `burst`; by default the quota's
            burst, or its limit.
        max_keys, table, on_full, clock: as for TokenBucket.

    Thread-safety and errors: as for TokenBucket.
    Source: Turner, "New directions in communications" (1986), as a queue, like nginx's `limit_req`.
    """

    _parameters = staticmethod(parameters.leaky_bucket)

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        return allow(self, key)


cdef class FixedWindow(Limiter):
    """At most `limit` in each window of one period; the windows are aligned to UTC.

    Promise: at most `limit` in each window, and therefore at most twice that in any interval as long as a window: at
    the end of one and the start of the next.

    Args:
        quota: such as `"100/minute"`. Or by the calendar of a time zone, `"1000/month in Europe/Berlin"`, for days,
            weeks from Monday, months and years, whatever their length. Without a zone, a month is 30 days.
        anchor: `"epoch"` starts windows at multiples of the period since 1970; `"first"` starts a key's window at its
            first request.
        max_keys, table, on_full, clock: as for TokenBucket.

    A request with a clock reading before the stored window is refused until that window begins.

    Thread-safety and errors: as for TokenBucket.
    """

    _parameters = staticmethod(parameters.fixed_window)

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        return allow(self, key)


cdef class SlidingWindow(Limiter):
    """Two counters: what was spent in this window, and in the previous one, of which a share still counts.

    Promise: with `e` the part of the current window that has passed, it admits while
    `current + previous * (1 - e) + cost <= limit`. In any interval as long as a window it admits less than `2 * limit`
    (derived in docs/algorithms), and at no moment more than `limit`.

    Args:
        quota: such as `"100/minute"`.
        max_keys, table, on_full, clock: as for TokenBucket.

    A request with a clock reading before the stored window is refused until that window begins.

    Thread-safety and errors: as for TokenBucket.
    Source: the approximation described by Cloudflare ("How we built rate limiting capable of scaling to
    millions of domains", 2017).
    """

    _parameters = staticmethod(parameters.sliding_window)

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        return allow(self, key)


cdef class SlidingLog(Limiter):
    """The exact sliding window: one moment is kept for each of a key's last `limit` requests.

    Promise: at most `limit` in any interval of one period, `(t - period, t]` for every t, and never fewer than that
    allows.

    Args:
        quota: such as `"100/minute"`; the limit is at most 43,690.
        max_keys, table, on_full, clock: as for TokenBucket. Memory: 16 bytes for each slot, and 16 bytes for each
            request of a key that counts at the same time, up to `limit`.

    A cost of c is c requests, spent one after another: all or nothing, and O(c). If two requests for the same key are
    concurrent, both may be refused although one of them would have fitted; never are more admitted.

    Thread-safety and errors: as for TokenBucket.
    """

    _parameters = staticmethod(parameters.sliding_log)

    def allow(self, key, /):
        """Spend 1 if the quota admits it; return whether it did."""
        return allow(self, key)


_core.CLASSES.update({
    Algorithm.TOKEN_BUCKET: TokenBucket,
    Algorithm.LEAKY_BUCKET: LeakyBucket,
    Algorithm.FIXED_WINDOW: FixedWindow,
    Algorithm.FIRST_WINDOW: FixedWindow,
    Algorithm.CALENDAR_WINDOW: FixedWindow,
    Algorithm.SLIDING_WINDOW: SlidingWindow,
    Algorithm.SLIDING_LOG: SlidingLog,
})
