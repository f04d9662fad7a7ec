"""A clock for tests: it stands still until it is told otherwise."""

from math import isfinite
from operator import index


class ManualClock:
    """A clock whose time is set by hand; give it to a limiter as `clock=`.

    Args:
        now_ns: nanoseconds since the Unix epoch, from 0 up to 2**62.

    It never goes back, and `sleep` advances it, so that `limiter.wait(...)` returns at once in a test. Not
    meant to be advanced by several threads at once.
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        if not isinstance(now_ns, int):
            raise TypeError(f"now_ns must be an int, nanoseconds since the epoch, not {now_ns!r}")
        if not 0 <= now_ns < 2**62:
            raise ValueError(f"now_ns must be from 0 up to 2**62, not {now_ns!r}")
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time, in nanoseconds since the epoch."""
        return self._now_ns

    def advance(self, seconds: float = 0, *, ns: int = 0) -> None:
        """Move on by `seconds` (rounded to the nanosecond) and `ns` nanoseconds."""
        accepted = f"advance takes finite times of zero or more, ns a whole number, not seconds={seconds!r}, ns={ns!r}"
        try:
            finite = isfinite(seconds) and seconds >= 0 and index(ns) >= 0
        except TypeError:
            raise TypeError(accepted) from None
        if not finite:
            raise ValueError(accepted)
        self._now_ns += round(seconds * 1_000_000_000) + index(ns)

    sleep = advance
