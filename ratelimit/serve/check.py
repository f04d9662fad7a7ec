"""The decision about one named limit."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from .._limiter.decision import Decision
from .config import Limit
from .counts import Counter
from .head import Head
from .sources import Addresses, Source, cost_of, key_of, read_places, wanted_fields
from .tables import AnyLimiter

log = logging.getLogger("ratelimit.serve")
PAUSE = 60.0  # seconds between two reports of a limiter that fails
Result = Literal["allowed", "refused", "shadow", "failed_open", "failed_closed", "absent_allowed", "absent_refused"]


Ruling = tuple[Result, Decision | None]
ABSENT: dict[str, Result | None] = {"share": None, "allow": "absent_allowed", "refuse": "absent_refused"}
ADMITTED = frozenset(("allowed", "shadow", "failed_open", "absent_allowed"))


class Check:
    """A named limit.

    Attributes:
        name: as in the file.
        limiter: what decides.
        wanted: the header fields that it needs, in lower case.
    """

    def __init__(self, name: str, limit: Limit, limiter: AnyLimiter, addresses: Addresses, counter: Counter) -> None:
        self.name = name
        self.limiter = limiter
        places = limit.places()
        self.wanted = {field for part in places for field in wanted_fields(part)}
        self._key: Source = key_of(places, addresses)
        self._cost_of: Callable[[Head], int] | None = None
        self._cost = 1
        if limit.cost.isdigit():
            self._cost = int(limit.cost)
        else:
            cost = read_places(limit.cost)
            self.wanted |= wanted_fields(cost)
            self._cost_of = cost_of(cost)
        self._absent: Result | None = ABSENT[limit.absent]
        self._refused: Result = "shadow" if limit.shadow else "refused"
        self._failed: Result = "failed_open" if limit.fail_open else "failed_closed"
        self._count = counter.add
        self._logged = float("-inf")

    def decide(self, head: Head) -> Ruling:
        """Spend from the limit.

        Raises:
            ValueError: the cost of the request is not possible.
        """
        decision = None
        key = self._key(head)
        if key is None and self._absent is not None:
            result = self._absent
        else:
            cost = self._cost if self._cost_of is None else self._cost_of(head)
            try:
                decision = self.limiter.hit(key or "", cost)
                result = "allowed" if decision.allowed else self._refused
                if result == "refused" and decision.source == "fallback":
                    result = "failed_closed"
            except Exception:
                self._report()
                result = self._failed
        self._count(result)
        return result, decision

    def _report(self) -> None:
        if time.monotonic() - self._logged >= PAUSE:
            self._logged = time.monotonic()
            log.exception("limit %s failed; result: %s", self.name, self._failed)
