"""Rate limits: exact, lock-free, and in one call. Start with `TokenBucket("100/minute").allow(key)`."""

from typing import TYPE_CHECKING

from ._core import Limiter
from ._limiter.decision import Decision
from ._limiter.reservation import Reservation
from ._remote import construct  # noqa: F401  so that the classes make limiters for tables on an engine, too
from .errors import (
    CorruptTable,
    CostExceedsLimit,
    LimitExceeded,
    RateLimitError,
    TableFull,
    TableUnreachable,
    WaitError,
    WaitTimeout,
)
from .limiters.algorithms import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket
from .limiters.composite import All
from .quota import UNLIMITED, Quota
from .table import Table

__all__ = [
    "UNLIMITED",
    "All",
    "CorruptTable",
    "CostExceedsLimit",
    "Decision",
    "FixedWindow",
    "LeakyBucket",
    "LimitExceeded",
    "Limiter",
    "Quota",
    "RateLimitError",
    "Reservation",
    "SlidingLog",
    "SlidingWindow",
    "Table",
    "TableFull",
    "TableUnreachable",
    "TokenBucket",
    "WaitError",
    "WaitTimeout",
    "parse",
]
__version__ = "0.1.0"  # the only place: pyproject.toml reads it from here

if TYPE_CHECKING:
    from .contrib._decorators import RateLimitDecorator as RateLimitDecorator
    from .contrib._decorators import RateLimitException as RateLimitException
    from .contrib._decorators import limits as limits
    from .contrib._decorators import rate_limited as rate_limited
    from .contrib._decorators import sleep_and_retry as sleep_and_retry
    from .language import parse
else:

    def __getattr__(name):
        """Import the language of limits, or a name of the abandoned package ratelimit, when it is used."""
        if name == "parse":
            from .language import parse

            globals()[name] = parse
            return parse
        if name in ("RateLimitDecorator", "RateLimitException", "limits", "rate_limited", "sleep_and_retry"):
            from .contrib import _decorators

            return getattr(_decorators, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
