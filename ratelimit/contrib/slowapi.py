"""slowapi with one limit for all worker processes: `from ratelimit.contrib.slowapi import Limiter`.

Without a storage of its own, a Limiter counts in shared memory that only this application of this user has.
"""

import sys
from math import ceil
from typing import Any

import slowapi
from limits import RateLimitItem
from limits.util import WindowStats
from slowapi import _rate_limit_exceeded_handler as _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.extension import C

from .limits import default_uri

__all__ = ["Limiter", "RateLimitExceeded", "_rate_limit_exceeded_handler"]


class Limiter(slowapi.Limiter):
    """The Limiter of slowapi, whose default storage is shared by all worker processes of the host.

    X-RateLimit-Reset is in whole seconds.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._application = sys._getframe(1).f_globals["__name__"]
        super().__init__(*args, **options)
        exact = self._limiter.get_window_stats

        def whole_seconds(item: RateLimitItem, *identifiers: str) -> WindowStats:
            reset, remaining = exact(item, *identifiers)
            return WindowStats(ceil(reset), remaining)

        setattr(self._limiter, "get_window_stats", whole_seconds)  # noqa: B010  (a method, for the type checker)

    def get_app_config(self, key: str, default_value: Any = None) -> Any:
        if key == C.STORAGE_URL:
            default_value = default_uri(self._application)
        return super().get_app_config(key, default_value)
