"""What a caller is told: the answer to one request, and the same as a row of an array."""

import numpy as np

cimport cython

from .._engine.rule cimport NEVER, Rule
from .._engine.table cimport Outcome, Request
from .._engine.verdict cimport more_after, pronounce, seconds

VERDICT = np.dtype([("allowed", "?"), ("limit", "u8"), ("remaining", "u8"), ("retry_after_ns", "u8"),
                    ("reset_after_ns", "u8"), ("delay_ns", "u8")], align=True)


@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Decision:
    """The answer to one request; true when it is allowed. Times are in seconds, and exact in nanoseconds.

    Attributes:
        allowed: whether the cost was spent (by `peek`: would be).
        limit: the most that can be spent at one moment.
        remaining: what may still be spent now.
        retry_after: wait after which the same request is allowed if nothing else happens; 0 when it was
            allowed, inf (and None in nanoseconds) when no wait will do.
        more_after: wait after which `remaining` grows, if nothing else happens: what RateLimit's `t` tells. 0
            when nothing was spent.
        reset_after: wait after which the key is like one never seen.
        delay: how long an admitted request has to wait for its turn (leaky bucket).
        limiter: the one that decided; of several, the one that refused.
    """

    @property
    def allowed(self) -> bool:
        return self.verdict.allowed != 0

    @property
    def limit(self) -> int:
        return self.verdict.limit

    @property
    def remaining(self) -> int:
        return self.verdict.remaining

    @property
    def retry_after_ns(self) -> int | None:
        return self.verdict.retry_after_ns if self.verdict.retry_after_ns < NEVER else None

    @property
    def more_after_ns(self) -> int | None:
        return self.more_after_ if self.more_after_ < NEVER else None

    @property
    def reset_after_ns(self) -> int:
        return self.verdict.reset_after_ns

    @property
    def delay_ns(self) -> int:
        return self.verdict.delay_ns

    @property
    def retry_after(self) -> float:
        return seconds(self.verdict.retry_after_ns)

    @property
    def more_after(self) -> float:
        return seconds(self.more_after_)

    @property
    def reset_after(self) -> float:
        return seconds(self.verdict.reset_after_ns)

    @property
    def delay(self) -> float:
        return seconds(self.verdict.delay_ns)

    def __bool__(self):
        return self.verdict.allowed != 0

    def __reduce__(self):
        raise TypeError("a Decision cannot be pickled or copied: it belongs to its limiter; take the fields you need")

    def __repr__(self):
        wait = f"delay={self.delay}" if self.allowed else f"retry_after={self.retry_after}"
        return (
            f"Decision(allowed={self.allowed}, limit={self.limit}, remaining={self.remaining}, {wait}, "
            f"reset_after={self.reset_after})"
        )


cdef Decision decision_of(
    object limiter, const Rule* rule, const Request* request, const Outcome* out, bint allow_when_full
):
    # Here, because Cython is quick to make an object of a class only in the class's own module.
    cdef Decision decision = Decision.__new__(Decision)
    decision.limiter = limiter
    pronounce(rule, request, out, allow_when_full, &decision.verdict)
    decision.more_after_ = more_after(rule, out, decision.verdict.remaining)
    return decision
