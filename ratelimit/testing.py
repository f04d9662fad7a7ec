"""A clock for tests, which moves only when a test moves it."""

from math import isfinite
from operator import index

from ._engine.constants import MOMENT_BITS, NS_PER_SECOND


class ManualClock:
    """A clock whose time is set by the test; pass it to a limiter as `clock=`.

    Args:
        now_ns: nanoseconds since the Unix epoch, from 0 up to 2**62.

    It never goes back. `sleep` advances it, so that `limiter.wait(...)` returns immediately in a test.

    Thread-safety: only one thread may advance it at a time.
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        if not isinstance(now_ns, int):
            raise TypeError(f"now_ns: expected an int, nanoseconds since the epoch, got {now_ns!r}")
        if not 0 <= now_ns < 1 << MOMENT_BITS:
            raise ValueError(f"now_ns: expected a moment from 0 up to 2**62, got {now_ns!r}")
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the time in nanoseconds since the epoch."""
        return self._now_ns

    def advance(self, seconds: float = 0, *, ns: int = 0) -> None:
        """Advance by `seconds` (rounded to the nanosecond) and `ns` nanoseconds."""
        accepted = (
            f"advance: expected finite times of zero or more, ns a whole number, got seconds={seconds!r}, ns={ns!r}"
        )
        try:
            finite = isfinite(seconds) and seconds >= 0 and index(ns) >= 0
        except TypeError:
            raise TypeError(accepted) from None
        if not finite:
            raise ValueError(accepted)
        self._now_ns += round(seconds * NS_PER_SECOND) + index(ns)

    sleep = advance
