from collections.abc import Callable, Iterable
from typing import final

from ..templates.template import Scope
from .levels import Level
from .limiters import Limiters

@final
class Chain:
    """The levels of a request, decided all or nothing; usable alone.

        chain = Chain(Limiters(), [Level.of("method", "GET /pets", Throttle(5, 10))])
        chain.hit().allowed

    Args:
        limiters: see Limiters.
        levels: from plan to account.
        used: a counter of the requests that are admitted.

    A request that one level refuses costs nothing at the others. Levels in shadow mode are decided separately, all or
    nothing among themselves, for requests that the others admit. Thread-safety: as for All.
    """

    def __new__(cls, limiters: Limiters, levels: Iterable[Level], used: str = "") -> Chain: ...
    def hit(
        self,
        report: Callable[[str, Exception], None] | None = None,
        fails_open: bool = False,
        scope: Scope | None = None,
    ) -> Ruling:
        """Spend one request at every level, or at none.

        Args:
            report: called with the name and the exception of a level that fails, such as one whose table is full.
            fails_open: skip such a level, and it alone; else its exception is raised. One in shadow mode is always
                skipped where there is a `report`.
            scope: the request, in which a level by client looks its client up.

        Returns: a Ruling.
        """
    def give_back(self, spent: Ruling, scope: Scope | None = None) -> None:
        """Take back what a `hit` spent that returned this ruling, for a request that is refused elsewhere."""

@final
class Ruling:
    """The decision about one request.

    Attributes:
        allowed: whether it is admitted.
        level: the level that refused, or else the one with the least remaining; empty without levels.
        remaining: the remaining requests of that level.
        limit: the limit of that level.
        more_after_ns: the time until that level has more remaining: 0 if it is full, None if it never has.
        retry_after_ns: the time until a refused request is admitted at all levels; None if it never is.
        shadow: a level in shadow mode that would have refused, or empty.
        fallback: whether the level's engine did not answer, and its table's `unreachable` decided.
    """

    def __new__(cls, allowed: bool) -> Ruling: ...
    @property
    def allowed(self) -> bool:
        """Whether the request is admitted."""
    @property
    def fallback(self) -> bool:
        """Whether the level's engine did not answer, and its table's `unreachable` decided."""
    @property
    def level(self) -> str:
        """The level that refused, or else the one with the least remaining; empty without levels."""
    @property
    def remaining(self) -> int:
        """The remaining requests of that level."""
    @property
    def limit(self) -> int:
        """The limit of that level."""
    def joined(self, earlier: Ruling) -> Ruling:
        """Return this ruling as one that is also about other levels, which have admitted the request before."""
    @property
    def more_after_ns(self) -> int | None:
        """The time until that level has more remaining: 0 if it is full, None if it never has."""
    @property
    def retry_after_ns(self) -> int | None:
        """The time until a refused request is admitted at all levels; None if it never is."""
    @property
    def shadow(self) -> str:
        """A level in shadow mode that would have refused, or empty."""
    def fields(self, style: str) -> list[tuple[bytes, bytes]]:
        """Return the headers about the limit.

        Args:
            style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy"
                for `X-RateLimit-*`, "both" or "none". A refusal also has Retry-After, except for "none".
        """
    def with_limit_headers(self, headers: list[tuple[bytes, bytes]], style: str) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer with `fields`, which replace those of a backend with the same names."""
