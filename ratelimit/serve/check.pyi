from collections.abc import Callable, Mapping
from typing import Any, Final, final

from .._limiter.decision import Decision
from .._limiter.headers import Style
from .answers import Answer
from .head import Head
from .tables import AnyLimiter

PAUSE: Final = 60.0

@final
class Check:
    """A named limit.

    Args:
        name: as in the file.
        limiter: what decides.
        key: a function of a Head that returns the key, or None if the request lacks it.
        address: finds the address of a client, if that is the key; otherwise None.
        cost: a whole number, or a function of a Head that raises a ValueError for an impossible cost.
        absent, refused, failed: the results in these cases; None, if requests without the key share a limit.
        counting: for each result a function that counts it.
    """

    name: str
    limiter: AnyLimiter
    def __init__(
        self,
        name: str,
        limiter: AnyLimiter,
        *,
        key: Callable[[Head], str | None],
        address: Callable[[str, str], str] | None,
        cost: int | Callable[[Head], int],
        absent: str | None,
        refused: str,
        failed: str,
        counting: Mapping[str, Callable[[], Any]],
    ) -> None: ...
    def answer_to(self, head: Head, style: Style, status: int, decision: Decision | None) -> Answer:
        """Return the answer to a request that was decided; None: the limiter failed, and its error is being handled."""

@final
class Checks:
    """Finds the limit that a request asks for.

    Args:
        routes: for each path the Check, and the status of a refusal.
        style: of the fields about limits.
    """

    def __init__(self, routes: dict[bytes, tuple[Check, int]], style: Style) -> None: ...
