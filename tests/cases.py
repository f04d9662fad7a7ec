"""Every algorithm beside its oracle, and how to compare their answers."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import oracle

import ratelimit

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Algorithm:
    """One algorithm and its oracle."""

    name: str
    limiter: type
    oracle: type
    options: dict[str, Any] = field(default_factory=dict)  # that make the limiter so

    def make(self, quota, clock=None, **options):
        return self.limiter(quota, clock=clock, **self.options, **options)

    def __repr__(self):
        return self.name


ALGORITHMS = [
    Algorithm("token bucket", ratelimit.TokenBucket, oracle.TokenBucket),
    Algorithm("leaky bucket", ratelimit.LeakyBucket, oracle.LeakyBucket),
    Algorithm("fixed window", ratelimit.FixedWindow, oracle.FixedWindow),
    Algorithm("first window", ratelimit.FixedWindow, oracle.FirstWindow, options={"anchor": "first"}),
    Algorithm("sliding window", ratelimit.SlidingWindow, oracle.SlidingWindow),
    Algorithm("sliding log", ratelimit.SlidingLog, oracle.SlidingLog),
]


def quota_of(limit, period_ns, burst=None):
    return ratelimit.Quota(limit, Fraction(period_ns, SECOND), burst)


def answer_of(decision):
    return oracle.Answer(
        decision.allowed,
        decision.limit,
        decision.remaining,
        decision.retry_after_ns,
        decision.reset_after_ns,
        decision.delay_ns,
    )
