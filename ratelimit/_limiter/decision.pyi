from typing import Final, Literal, final

import numpy as np

from .._core import Limiter
from ..quota import Quota
from .headers import Style

VERDICT: np.dtype[np.void]
SOURCES: Final = ("table", "engine", "remembered", "fallback", "lease")

@final
class Decision:
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

    @property
    def allowed(self) -> bool:
        """Whether the cost was spent (by `peek`: would be)."""
    @property
    def limit(self) -> int:
        """The most that can be spent at one moment."""
    @property
    def spent(self) -> int:
        """The cost that was spent; 0 for a refusal. (By `peek`: that would be.)"""
    @property
    def unlimited(self) -> bool:
        """Whether no limit applies: `limit` and `remaining` are then 2**62."""
    @property
    def remaining(self) -> int:
        """The largest cost that can still be spent now."""
    @property
    def retry_after(self) -> float:
        """The seconds until the same request is allowed if no other comes first; inf if no wait is long enough."""
    @property
    def retry_after_ns(self) -> int | None:
        """`retry_after` in nanoseconds; None if no wait is long enough."""
    @property
    def more_after(self) -> float:
        """The seconds until `remaining` grows if no other request comes first; 0 if nothing was spent."""
    @property
    def more_after_ns(self) -> int | None:
        """`more_after` in nanoseconds; None if no wait is long enough."""
    @property
    def reset_after(self) -> float:
        """The seconds until the key is like one never seen."""
    @property
    def reset_after_ns(self) -> int:
        """`reset_after` in nanoseconds."""
    @property
    def delay(self) -> float:
        """The seconds that an admitted request waits for its turn (leaky bucket)."""
    @property
    def delay_ns(self) -> int:
        """`delay` in nanoseconds."""
    @property
    def limiter(self) -> Limiter:
        """The limiter that decided; of several, the one that refused."""
    @property
    def quota(self) -> Quota:
        """The quota that decided: that of the call, or else of the limiter."""
    def _policy_quotas(self) -> tuple[Quota, ...] | None: ...
    def headers(self, style: Literal["draft", "legacy"] = "draft") -> dict[str, str]:
        """Return the header fields of an answer, by name.

        Args:
            style: `"draft"` for RateLimit-Policy, with all limits of an All, and RateLimit
                (draft-ietf-httpapi-ratelimit-headers-10); `"legacy"` for X-RateLimit-Limit, -Remaining and -Reset, in
                seconds from now.

        A refusal also has Retry-After, unless no wait is long enough. Where no limit applies, there are no fields.
        """
    def __bool__(self) -> bool: ...

def limit_fields(decision: Decision, style: Style) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a decision.

    Args:
        style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy" for
            X-RateLimit-Limit, -Remaining and -Reset (seconds from now), None for no fields.

    A refusal also has Retry-After, unless no wait is long enough. Without a limit there are no fields.
    """

def text_fields(decision: Decision, style: Style) -> list[tuple[str, str]]:
    """Return the same fields as text, their names with capitals."""
