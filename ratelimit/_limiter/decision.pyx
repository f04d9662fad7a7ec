"""The result of one request, as an object and as a row of an array."""

import numpy as np

cimport cython

from .._engine.constants cimport NEVER
from .._engine.request cimport Outcome, Request
from .._engine.rule cimport Rule
from .._engine.verdict cimport fill_verdict, more_after, seconds

from .headers cimport fields_of, policy_of, texts_of

from .headers import check_style

VERDICT = np.dtype([("allowed", "?"), ("limit", "u8"), ("remaining", "u8"), ("retry_after_ns", "u8"),
                    ("reset_after_ns", "u8"), ("delay_ns", "u8")], align=True)

SOURCES = "table", "engine", "remembered", "fallback", "lease"  # in the order of Source


@cython.final
@cython.freelist(64)
cdef class Decision:
    """The result of one request; true if it is allowed.

    Each time is in seconds as a float, and exact in nanoseconds under its name with `_ns`.

    Attributes:
        allowed: whether the cost was spent (by `peek`: would be).
        limit: the most that can be spent at one moment.
        spent: the cost that was spent, 0 for a refusal.
        unlimited: whether no limit applies; `limit` and `remaining` are then 2**62.
        remaining: the largest cost that can still be spent now.
        retry_after: the wait after which the same request is allowed if no other comes first: 0 if it was allowed,
            inf (in nanoseconds None) if no wait is long enough.
        more_after: the wait after which `remaining` grows if no other request comes first, as in the `t` of the
            RateLimit header; 0 if nothing was spent.
        reset_after: the wait after which the key is like one never seen.
        delay: the wait of an admitted request until its turn (leaky bucket).
        limiter: the limiter that decided; of several, the one that refused.
        quota: the quota that decided: that of the call, or else of the limiter.
        source: the place of the decision: `"table"` on this host; of a table on an engine `"engine"`, `"lease"` (spent
            from what this host took in advance), `"remembered"` (the key was refused before, and is still) or
            `"fallback"` (the engine did not answer).
    """

    @property
    def source(self) -> str:
        """The place of the decision: "table", "engine", "lease", "remembered" or "fallback"."""
        return SOURCES[self.source_]

    @property
    def allowed(self) -> bool:
        """Whether the cost was spent (by `peek`: would be)."""
        return self.verdict.allowed != 0

    @property
    def limit(self) -> int:
        """The most that can be spent at one moment."""
        return self.verdict.limit

    @property
    def spent(self) -> int:
        """The cost that was spent; 0 for a refusal. (By `peek`: that would be.)"""
        return self.spent_

    @property
    def unlimited(self) -> bool:
        """Whether no limit applies: `limit` and `remaining` are then 2**62."""
        return self.verdict.limit == NEVER

    @property
    def remaining(self) -> int:
        """The largest cost that can still be spent now."""
        return self.verdict.remaining

    @property
    def retry_after_ns(self) -> int | None:
        """`retry_after` in nanoseconds; None if no wait is long enough."""
        return self.verdict.retry_after_ns if self.verdict.retry_after_ns < NEVER else None

    @property
    def more_after_ns(self) -> int | None:
        """`more_after` in nanoseconds; None if no wait is long enough."""
        return self.more_after_ if self.more_after_ < NEVER else None

    @property
    def reset_after_ns(self) -> int:
        """`reset_after` in nanoseconds."""
        return self.verdict.reset_after_ns

    @property
    def delay_ns(self) -> int:
        """`delay` in nanoseconds."""
        return self.verdict.delay_ns

    @property
    def retry_after(self) -> float:
        """The seconds until the same request is allowed if no other comes first; inf if no wait is long enough."""
        return seconds(self.verdict.retry_after_ns)

    @property
    def more_after(self) -> float:
        """The seconds until `remaining` grows if no other request comes first; 0 if nothing was spent."""
        return seconds(self.more_after_)

    @property
    def reset_after(self) -> float:
        """The seconds until the key is like one never seen."""
        return seconds(self.verdict.reset_after_ns)

    @property
    def delay(self) -> float:
        """The seconds that an admitted request waits for its turn (leaky bucket)."""
        return seconds(self.verdict.delay_ns)

    @property
    def quota(self):
        """The quota that decided: that of the call, or else of the limiter."""
        if self.own_quotas is not None:
            limiters = (self.limiter,) if self.limits is None else self.limits.limiters
            for limiter, quota in zip(limiters, self.own_quotas):
                if limiter is self.limiter and quota is not None:
                    return quota
        return self.limiter.quota

    def _policy_quotas(self):
        """Return the quotas of all limits that apply, if there are several."""
        if self.limits is None:
            return None
        quotas = self.own_quotas or (None,) * len(self.limits.limiters)
        all_quotas = [own or limiter.quota for own, limiter in zip(quotas, self.limits.limiters)]
        return tuple([quota for quota in all_quotas if not quota.is_unlimited])

    def headers(self, style="draft"):
        """Return the header fields of an answer, by name.

        Args:
            style: `"draft"` for RateLimit-Policy, with all limits of an All, and RateLimit
                (draft-ietf-httpapi-ratelimit-headers-10); `"legacy"` for X-RateLimit-Limit, -Remaining and -Reset, in
                seconds from now.

        A refusal also has Retry-After, unless no wait is long enough. Where no limit applies, there are no fields.
        """
        if style not in ("draft", "legacy"):
            raise ValueError(f"style: expected 'draft' or 'legacy', got {style!r}")
        return dict(text_fields(self, style))

    def __bool__(self):
        return self.verdict.allowed != 0

    def __reduce__(self):
        raise TypeError("a Decision cannot be pickled or copied, since it belongs to its limiter; copy its fields")

    def __repr__(self):
        wait = f"delay={self.delay}" if self.allowed else f"retry_after={self.retry_after}"
        return (
            f"Decision(allowed={self.allowed}, limit={self.limit}, remaining={self.remaining}, {wait}, "
            f"reset_after={self.reset_after})"
        )


cdef Decision decision_of(
    object limiter, const Rule* rule, const Request* request, const Outcome* out, bint allow_when_full, object quota
):
    # in this module, because Cython creates an object quickly only in the module of its class
    cdef Decision decision = Decision.__new__(Decision)
    decision.limiter = limiter
    if quota is not None:
        decision.own_quotas = (quota,)
    fill_verdict(rule, request, out, allow_when_full, &decision.verdict)
    decision.spent_ = request.cost if decision.verdict.allowed else 0
    decision.more_after_ = more_after(rule, out, decision.verdict.remaining)
    return decision


cdef list fields_about(Decision decision, style):
    """Return what `limit_fields` returns."""
    cdef bint draft = style == "draft"
    cdef bytes policies = b""
    cdef tuple own
    if not draft:
        check_style(style)
    if style is None or decision.verdict.limit == NEVER:
        return []
    quota = decision.limiter.quota if decision.own_quotas is None else decision.quota
    if draft:
        own = None if decision.limits is None else decision._policy_quotas()
        policies = policy_of(quota) if own is None else b", ".join([policy_of(one) for one in own])
    return fields_of(
        draft,
        not draft,
        policies,
        texts_of(quota)[1],
        decision.verdict.allowed,
        decision.verdict.limit,
        decision.verdict.remaining,
        decision.more_after_,
        decision.verdict.retry_after_ns,
    )


def limit_fields(Decision decision not None, style):
    """Return the header fields of a decision.

    Args:
        style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy" for
            X-RateLimit-Limit, -Remaining and -Reset (seconds from now), None for no fields.

    A refusal also has Retry-After, unless no wait is long enough. Without a limit there are no fields.
    """
    return fields_about(decision, style)


def text_fields(Decision decision not None, style):
    """Return the same fields as text, their names with capitals."""
    fields = []
    for name, value in fields_about(decision, style):
        shown = name.decode().title().replace("Ratelimit", "RateLimit")
        fields.append((shown, value.decode()))
    return fields
