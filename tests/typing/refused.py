"""Code that a type checker must reject: an ignore comment that is not needed is an error."""

from ratelimit import All, Decision, FixedWindow, LeakyBucket, Limiter, Quota, SlidingLog, Table, TokenBucket, parse
from ratelimit.language import LimitSpec

Limiter("100/minute")  # type: ignore[call-arg]
TokenBucket()  # type: ignore[call-arg]
TokenBucket(100)  # type: ignore[arg-type]
TokenBucket("100/minute", burst=1.5)  # type: ignore[arg-type]
TokenBucket("100/minute", capacity=5)  # type: ignore[call-arg]
TokenBucket("100/minute", on_full="drop")  # type: ignore[arg-type]
TokenBucket("100/minute", clock=5)  # type: ignore[arg-type]
TokenBucket("100/minute", 20, 5)  # type: ignore[call-arg]
LeakyBucket("100/minute", burst=5)  # type: ignore[call-arg]
FixedWindow("100/minute", anchor="last")  # type: ignore[arg-type]
SlidingLog("100/minute", burst=5)  # type: ignore[call-arg]

bucket = TokenBucket("100/minute")
bucket.allow(1.5)  # type: ignore[arg-type]
bucket.allow(("a", "b"))  # type: ignore[arg-type]
bucket.allow(key="a")  # type: ignore[call-arg]
bucket.allow("a", 2)  # type: ignore[call-arg]
bucket.hit(None)  # type: ignore[arg-type]
bucket.hit("a", 1.5)  # type: ignore[arg-type]
bucket.hit("a", now=1.5)  # type: ignore[arg-type]
bucket.hit("a", 1, "5/minute")  # type: ignore[call-arg]
bucket.hit("a", quota=5)  # type: ignore[arg-type]
bucket.reserve("a", max_delay="1")  # type: ignore[arg-type]
bucket.allow_many("abc")  # type: ignore[arg-type]
bucket.allow_many({"a"})  # type: ignore[arg-type]
bucket.allow_many(["a"], [1.5])  # type: ignore[list-item]
bucket.quota = Quota(5, 60)  # type: ignore[misc]
bucket.hit("a").allowed = True  # type: ignore[misc]
bucket.hit("a").retry_after_ns + 1  # type: ignore[operator]
bucket & 5  # type: ignore[operator]
(bucket & bucket).hit("a", quota="5/minute")  # type: ignore[call-arg]
parse(5)  # type: ignore[arg-type]
parse("5/s", on_full="drop")  # type: ignore[arg-type]
parse("5/s", clock=5)  # type: ignore[arg-type]
parse("5/s", table="api")  # type: ignore[arg-type]
parse("5/s", burst=5)  # type: ignore[call-arg]
parse("5/s").hit("a", quota="5/minute")  # type: ignore[call-arg]
LimitSpec("token-bucket", "5/s")  # type: ignore[arg-type]
LimitSpec.parse("5/s").algorithm = "sliding-log"  # type: ignore[misc]
All(5)  # type: ignore[arg-type]
Quota(5, "60")  # type: ignore[arg-type]
Table.shared("a", if_changed="ignore")  # type: ignore[arg-type]
Table.open("a", if_changed="")  # type: ignore[arg-type]


class Answer(Decision):  # type: ignore[misc]
    """A Decision is final."""
