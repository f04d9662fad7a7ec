"""The five algorithms, each with its promise."""

cimport cython

from ._core cimport Limiter, allow

from ._limiter import parameters as sizes


@cython.auto_pickle(False)  # Limiter has its own way
cdef class TokenBucket(Limiter):
    """A bucket of `burst` tokens that starts full and refills continuously at the quota's rate.

    Promise: in any interval of length T it admits at most `burst + floor(T * limit / period)`, whatever the
    order in which clock readings arrive: a late reading can only be stricter.

    Args:
        quota: such as `"100/minute"`; `ratelimit.parse` reads several limits from one text.
        burst: tokens in a full bucket; by default the quota's burst or else its limit.
        max_keys: how many keys may be live at once; bounds the memory, which is taken as it is used. By default
            1,000,000.
        table: a Table, where the keys are kept; by default in this process's memory.
        on_full: what a new key gets when every slot is live: `"deny"`, `"allow"` or `"raise"` (TableFull).
        clock: an object with `now_ns()`, integer nanoseconds since the epoch; by default wall time as it was
            at import, advanced by the monotonic clock.

    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.

    Thread-safety: every method may be called from any thread, and the limit holds over all processes that share
    its table; updates are lock-free.
    Source: the generic cell rate algorithm, ITU-T I.371 (2004), annex A, whose single moment is a token bucket.
    """

    _sizes = staticmethod(sizes.token_bucket)

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)


@cython.auto_pickle(False)  # Limiter has its own way
cdef class LeakyBucket(Limiter):
    """A queue that drains at the quota's rate: one is served at once, `capacity` more may wait their turn.

    Promise: an admitted request gets the `delay` until its turn; turns are at least one interval apart (the
    period divided by the limit, rounded up to whole nanoseconds); when `capacity` wait, the next is refused.

    Args:
        quota: such as `"100/minute"`.
        capacity: how many may wait beside the one that is served; by default the quota's burst or its limit.
            It is nginx's `burst`.
        max_keys, table, on_full, clock: as for TokenBucket.

    Thread-safety and errors: as for TokenBucket.
    Source: Turner, "New directions in communications" (1986), as a queue; nginx's `limit_req` serves so.
    """

    _sizes = staticmethod(sizes.leaky_bucket)

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)


@cython.auto_pickle(False)  # Limiter has its own way
cdef class FixedWindow(Limiter):
    """At most `limit` in each window of one period; the windows are aligned to UTC.

    Promise: at most `limit` in each window, hence at most twice that in any interval as long as a window: the
    end of one and the start of the next.

    Args:
        quota: such as `"100/minute"`.
        anchor: `"epoch"` starts windows at multiples of the period since 1970, `"first"` starts a key's
            window at its first request.
        max_keys, table, on_full, clock: as for TokenBucket.

    A clock reading from before the stored window is refused until that window starts.

    Thread-safety and errors: as for TokenBucket.
    """

    _sizes = staticmethod(sizes.fixed_window)

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)


@cython.auto_pickle(False)  # Limiter has its own way
cdef class SlidingWindow(Limiter):
    """Two counters: what this window spent, and the share of the previous one that is still in view.

    Promise: with `e` the part of the current window that has passed, it admits while
    `current + previous * (1 - e) + cost <= limit`. In any interval as long as a window it admits less than
    `2 * limit` (derived in docs/algorithms), and at no moment more than `limit`.

    Args:
        quota: such as `"100/minute"`.
        max_keys, table, on_full, clock: as for TokenBucket.

    A clock reading from before the stored window is refused until that window starts.

    Thread-safety and errors: as for TokenBucket.
    Source: the approximation described by Cloudflare ("How we built rate limiting capable of scaling to
    millions of domains", 2017).
    """

    _sizes = staticmethod(sizes.sliding_window)

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)


@cython.auto_pickle(False)  # Limiter has its own way
cdef class SlidingLog(Limiter):
    """The exact sliding window: one moment is kept for each of a key's last `limit` requests.

    Promise: at most `limit` in any interval of one period, `(t - period, t]` for every t; and never fewer than
    that allows.

    Args:
        quota: such as `"100/minute"`; the limit is at most 43,690.
        max_keys, table, on_full, clock: as for TokenBucket. Memory: 16 bytes for each slot and 16 bytes for each
            request that a key has had in view at once, up to `limit`.

    A cost of c is c requests, spent one after another: all or nothing, and O(c). Beside a concurrent request
    for the same key it may be refused where one of the two alone would have fitted; it never admits more.

    Thread-safety and errors: as for TokenBucket.
    """

    _sizes = staticmethod(sizes.sliding_log)

    def allow(self, key, /):
        """Spend 1 if it may: True if so."""
        return allow(self, key)


def limiter_of(own, table):
    """The limiter of these sizes on a table."""
    cls = {
        sizes.TOKEN_BUCKET: TokenBucket,
        sizes.LEAKY_BUCKET: LeakyBucket,
        sizes.SLIDING_WINDOW: SlidingWindow,
        sizes.SLIDING_LOG: SlidingLog,
    }.get(own.algorithm, FixedWindow)
    return cls(own.quota, table=table, **sizes.options_of(own))
