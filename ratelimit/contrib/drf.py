"""The throttles of Django REST framework, which do not race: one changed line in the settings.

    "DEFAULT_THROTTLE_CLASSES": ["ratelimit.contrib.drf.UserRateThrottle"],

The throttles of the framework read the requests of a client from the cache and write them back, so requests at the same
moment are forgotten. These decide at once, and all worker processes of the host count together.
"""

import time
from fractions import Fraction
from functools import lru_cache
from math import inf
from typing import Any

from rest_framework import throttling
from rest_framework.exceptions import APIException

from .._core import Limiter
from .._engine.constants import LOG_CAPACITY, NS_PER_SECOND
from .._limiter.decision import Decision
from ..quota import Quota
from ._policy import Ruling
from ._windows import ZERO_NS
from .django import clear, client_address, configured, configured_for_drop_ins

__all__ = ["AnonRateThrottle", "LimiterFailed", "ScopedRateThrottle", "SimpleRateThrottle", "UserRateThrottle", "clear"]

PERIODS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SHOWN = "_ratelimit_shown"  # the decision whose fields a view shows


@lru_cache(1_024)
def _limit_text(requests: int, seconds: str) -> str:
    """Return a limit by a log; by a sliding window if a log cannot keep so many requests."""
    return f"{'sliding-log' if requests <= LOG_CAPACITY else 'sliding-window'} {Quota(requests, Fraction(seconds))}"


class LimiterFailed(APIException):
    """The limiter failed, and `fail_open` of the setting RATELIMIT is false: the answer is 503."""

    status_code = 503
    default_detail = "Service Unavailable"


class SimpleRateThrottle(throttling.SimpleRateThrottle):
    """SimpleRateThrottle of Django REST framework, whose subclasses define `get_cache_key`.

    At most the limit is admitted in any period, whatever the number of threads and processes. A rate is as in the
    framework, such as "100/hour", or finer, such as "5/15min" or "10/30s".
    """

    _ruling: Ruling | None = None

    def parse_rate(self, rate: str | None) -> tuple[int | None, Any]:
        """Return the number of requests and the period in seconds.

        Raises:
            ValueError: the rate cannot be read.
        """
        if rate is None:
            return None, None
        number, _, period = rate.partition("/")
        if period[:1] in PERIODS and number.strip().isdecimal():
            return int(number), PERIODS[period[0]]
        quota = Quota.parse(rate)
        if quota.calendar:
            raise ValueError(f"rate {rate!r}: expected a period of one length, not of a calendar")
        if quota.is_unlimited:
            return None, None
        seconds = Fraction(quota.period_ns, NS_PER_SECOND)
        return quota.limit, int(seconds) if seconds.denominator == 1 else float(seconds)

    def allow_request(self, request: Any, view: Any) -> bool:
        """Decide about a request, and count it if it is admitted."""
        self._ruling = None
        if self.rate is None or not configured().enabled:
            return True
        self.key = self.get_cache_key(request, view)
        if self.key is None:
            return True
        if self.num_requests == 0:
            return bool(self.throttle_failure())
        self._ruling = ruling = self._decide(str(self.key))
        if not ruling.allowed and ruling.status == LimiterFailed.status_code:
            raise LimiterFailed
        _show(ruling, view)
        return bool(self.throttle_success() if ruling.allowed else self.throttle_failure())

    def _decide(self, key: str) -> Ruling:
        counts = configured_for_drop_ins()
        text = _limit_text(self.num_requests, str(self.duration))
        own_timer = type(self).timer is not time.time
        limiter = counts.limiters.get(text, "timer" if own_timer else "")
        if not own_timer:
            return counts.guard.decide(limiter, key)
        assert isinstance(limiter, Limiter)
        now = ZERO_NS + int(self.timer() * NS_PER_SECOND)

        def hit(cost: int) -> Decision:
            return limiter.hit(key, cost, now=now)

        return counts.guard.decide(limiter, key, hit=hit)

    def throttle_success(self) -> bool:
        """Return True; a subclass may do more. The request is counted already."""
        return True

    def wait(self) -> float | None:
        """Return the seconds until a request is admitted, if no other one is; None if that is not known."""
        decision = None if self._ruling is None else self._ruling.decision
        return None if decision is None or decision.retry_after == inf else decision.retry_after

    def get_ident(self, request: Any) -> str:
        """Return the client's address: by NUM_PROXIES as in the framework, or by `trusted_proxies` of RATELIMIT."""
        if configured().addresses.trusts_any:
            return client_address(request)
        ident: str = super().get_ident(request)
        return ident


def _show(ruling: Ruling, view: Any) -> None:
    """Add the fields about a limit to the answer of a view; of several limits, those of the one that is nearest.

    The framework adds what is in `view.headers` to every answer, and Retry-After to a refusal.
    """
    headers, decision = getattr(view, "headers", None), ruling.decision
    if headers is None or decision is None:
        return
    shown = getattr(view, SHOWN, None)
    if shown is None or (decision.allowed, decision.remaining) < (shown.allowed, shown.remaining):
        setattr(view, SHOWN, decision)
        fields = dict(configured_for_drop_ins().fields(ruling))
        fields.pop("Retry-After", None)
        headers.update(fields)


class AnonRateThrottle(throttling.AnonRateThrottle, SimpleRateThrottle):
    """Limits requests without a user, by address."""


class UserRateThrottle(throttling.UserRateThrottle, SimpleRateThrottle):
    """Limits requests by user, and without a user by address."""


class ScopedRateThrottle(throttling.ScopedRateThrottle, SimpleRateThrottle):
    """Limits the requests to views with a `throttle_scope`, by user or address."""
