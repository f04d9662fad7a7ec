"""The substitute for an engine that does not answer: the option `unreachable=` of its table."""

from fractions import Fraction
from typing import Any

from .._engine.constants import NS_PER_SECOND
from .._limiter.decision import Decision
from .._limiter.parameters import options_of
from ..errors import TableFull, TableUnreachable
from ..quota import Quota
from .answer import decision_without_engine, relabelled
from .request import Asked

RETRY_NS = NS_PER_SECOND  # the breaker probes the engine at least this often


class Fallback:
    """The answers of one limiter while its engine is away."""

    def __init__(self, limiter: Any) -> None:
        self._limiter = limiter
        options = limiter.table.remote.options
        self._policy: str = options.unreachable
        self._share = Share(limiter, options.hosts) if self._policy == "share" else None

    def decide(self, request: Asked, error: Exception) -> Decision:
        """Return the decision in place of the engine's, or raise the error."""
        limiter = request.limiter
        if isinstance(error, TableFull):
            return self._when_full(limiter, error)
        limiter.table.remote.fallbacks += 1
        if self._policy == "raise":
            raise error
        if self._share is not None:
            return relabelled(self._share.hit(request), limiter)
        return decision_without_engine(limiter, self._policy == "allow", RETRY_NS)

    def _when_full(self, limiter: Any, error: Exception) -> Decision:
        if limiter.on_full == "raise":
            raise error
        return decision_without_engine(limiter, limiter.on_full == "allow", RETRY_NS, "engine")

    def book(self, request: Asked, error: Exception) -> bool:
        """Return whether a turn is given now, or raise the error."""
        return self.decide(request, error).allowed

    def refuses_to_wait(self, error: Exception) -> TableUnreachable | TableFull:
        return error if isinstance(error, (TableFull, TableUnreachable)) else TableUnreachable(str(error))


class Share:
    """A limiter in this process with one host's share of the limit.

    Each key starts with nothing to spend, so that all hosts together admit no more than the limit during an outage.
    """

    MOST = 100_000  # keys

    def __init__(self, limiter: Any, hosts: int) -> None:
        self._limiter = limiter
        self._hosts = hosts
        self._of: Quota | None = None
        self._local: Any = None
        self._outage = -1
        self._seen: set[Any] = set()

    def hit(self, request: Asked) -> Decision:
        limiter, breaker = self._limiter, self._limiter.table.remote.engine.breaker
        if self._of != limiter.quota or breaker.opened_count != self._outage:
            self._of, self._outage = limiter.quota, breaker.opened_count
            self._local = self._made()
            self._seen.clear()
        local = self._local
        if request.key not in self._seen:
            if len(self._seen) >= self.MOST:
                return decision_without_engine(limiter, False, RETRY_NS)
            self._seen.add(request.key)
            local.hit(request.key, local.peek(request.key).limit)
        decision: Decision = local.hit(request.key, request.cost)
        return decision

    def _made(self) -> Any:
        limiter, hosts = self._limiter, self._hosts
        quota, options = limiter.quota, dict(options_of(limiter._parameters(limiter.quota, **limiter._options)))
        for name in "burst", "capacity":
            if name in options:
                options[name] = int(options[name]) // hosts or (name == "burst")
        limit = quota.limit // hosts
        if not limit:
            limit, hosts = 1, hosts // quota.limit + 1
            period = Fraction(quota.period_ns * hosts, NS_PER_SECOND)
        else:
            period = Fraction(quota.period_ns, NS_PER_SECOND)
        return limiter._local_class(Quota(limit, period), max_keys=self.MOST, **options)
