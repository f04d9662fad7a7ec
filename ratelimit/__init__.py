"""Rate limits: exact, lock-free, and in one call. Start with `TokenBucket("100/minute").allow(key)`."""

from ._core import Limiter
from ._limiter.decision import Decision
from ._limiter.reservation import Reservation
from .algorithms import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket
from .composite import All
from .errors import CorruptTable, CostExceedsLimit, RateLimitError, TableFull, WaitError, WaitTimeout
from .language import parse
from .quota import Quota
from .table import Table

__all__ = [
    "All",
    "CorruptTable",
    "CostExceedsLimit",
    "Decision",
    "FixedWindow",
    "LeakyBucket",
    "Limiter",
    "Quota",
    "RateLimitError",
    "Reservation",
    "SlidingLog",
    "SlidingWindow",
    "Table",
    "TableFull",
    "TokenBucket",
    "WaitError",
    "WaitTimeout",
    "parse",
]
__version__ = "0.1.0"  # the only place: pyproject.toml reads it from here
