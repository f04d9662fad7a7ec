"""Code that a type checker must accept, with the types that it must infer. Checked, not run."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal, assert_type

import numpy as np
import numpy.typing as npt

from ratelimit import (
    All,
    Decision,
    FixedWindow,
    LeakyBucket,
    Limiter,
    Quota,
    Reservation,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
    WaitTimeout,
    parse,
)
from ratelimit.language import LimitSpec, make_limiter, parse_limits
from ratelimit.testing import ManualClock


class Clock:
    def now_ns(self) -> int:
        return 0


class Named(TokenBucket):
    """A subclass keeps its type."""


bucket = TokenBucket("100/minute", burst=20)
assert_type(bucket, TokenBucket)
assert_type(TokenBucket(Quota.per_second(5), 20, max_keys=10, on_full="raise", clock=ManualClock()), TokenBucket)
assert_type(LeakyBucket("100/minute", capacity=0, clock=Clock()), LeakyBucket)
assert_type(FixedWindow("100/minute", anchor="first"), FixedWindow)
assert_type(SlidingWindow("100/minute", on_full="allow"), SlidingWindow)
assert_type(SlidingLog("100/minute"), SlidingLog)
assert_type(Named("100/minute"), Named)
limiters: list[Limiter] = [bucket, Named("1/s"), SlidingLog("1/s")]

assert_type(bucket.allow("key"), bool)
decision = bucket.hit(b"key", 3, quota="5/minute", now=0)
assert_type(decision, Decision)
assert_type(decision.allowed, bool)
assert_type(decision.remaining, int)
assert_type(decision.retry_after, float)
assert_type(decision.retry_after_ns, int | None)
assert_type(decision.delay_ns, int)
assert_type(decision.limiter, Limiter)
assert_type(bool(decision), bool)
assert_type(bucket.peek(7, quota=Quota(5, timedelta(minutes=1))), Decision)

place = bucket.reserve("key", max_delay=1.5)
assert_type(place, Reservation)
assert_type(place.delay_ns, int | None)
assert_type(place.cancel(), None)
assert_type(place.settle(3), None)
for seconds in (1, 1.5, Fraction(1, 2), Decimal(1), timedelta(seconds=1)):
    bucket.reserve("key", max_delay=seconds)
    bucket.wait("key", timeout=seconds)


async def waits() -> None:
    assert_type(await bucket.wait_async("key", timeout=1), None)
    await asyncio.create_task(bucket.wait_async("key"))


assert_type(bucket.allow_many(["a", "b"]), npt.NDArray[np.bool_])
assert_type(bucket.allow_many([1, 2], [1, 2], now=5), npt.NDArray[np.bool_])
assert_type(bucket.allow_many(np.arange(3), np.ones(3, np.int64), now=np.arange(3)), npt.NDArray[np.bool_])
assert_type(bucket.allow_many(np.array(["a", "b"])), npt.NDArray[np.bool_])
assert_type(bucket.allow_many(np.array(["a", 1], dtype=object)), npt.NDArray[np.bool_])
mixed: list[str | bytes | int] = ["a", b"a", 1]
assert_type(bucket.hit_many(mixed), npt.NDArray[np.void])
assert_type(bucket.hit_many(("a", b"a", 1)), npt.NDArray[np.void])
assert_type(bucket.hit_many(np.array([b"a"])), npt.NDArray[np.void])
assert_type(bucket.slots(), npt.NDArray[np.void])
assert_type(len(bucket), int)
assert_type(bucket.on_full, Literal["deny", "allow", "raise"])

both = bucket & FixedWindow("5/day")
assert_type(both, All)
assert_type(both & bucket, All)
assert_type(bucket & both, All)
assert_type(All(both, bucket).limiters, tuple[Limiter, ...])
assert_type(both.hit("key", 2, now=5), Decision)
assert_type(both.reserve("key"), Reservation)
assert_type(both.allow_many(["a"]), npt.NDArray[np.bool_])

limit = parse("60/minute burst 40; fixed-window 5/day", max_keys=10, on_full="raise", clock=Clock())
assert_type(limit, Limiter | All)
assert_type(limit.allow("key"), bool)
assert_type(limit.hit("key", 2, now=5), Decision)
assert_type(limit & bucket, All)
assert_type(str(limit), str)
assert_type(parse_limits("60/minute"), tuple[LimitSpec, ...])
assert_type(LimitSpec.parse("60/minute").quota, Quota)
assert_type(LimitSpec("token-bucket", Quota(5, 60), {"burst": 3}).make(max_keys=10), Limiter)
assert_type(make_limiter(parse_limits("60/minute")), Limiter | All)

assert_type(Quota.parse("5/minute"), Quota)
assert_type(Quota(5, 60).period, float)
try:
    bucket.wait("key", timeout=0)
except WaitTimeout as error:
    assert_type(error.delay, float)
