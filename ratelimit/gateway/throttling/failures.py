"""Levels that fail, such as those whose table is full, in the log."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("ratelimit.gateway")
INTERVAL = 60.0  # seconds between two lines about one level


class LimiterFailures:
    """Logs the failures of each level, once a minute with their number.

    Args:
        setting: "fail_open" or "fail_closed", for the log.
        clock: seconds.
    """

    def __init__(self, setting: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._setting = setting
        self._clock = clock
        self._next: dict[str, float] = {}
        self._count: dict[str, int] = {}

    def __call__(self, level: str, error: Exception) -> None:
        """Report a failure of a level."""
        self._count[level] = self._count.get(level, 0) + 1
        now = self._clock()
        if now >= self._next.get(level, now):
            count, setting = self._count.pop(level, 1), self._setting
            log.error("a limiter failed; on_limiter_error is %s: level %s, %d times: %r", setting, level, count, error)
            self._next[level] = now + INTERVAL
