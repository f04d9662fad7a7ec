from typing import final

from ..throttling.limiters import Limiters

RESULTS: tuple[str, ...]
CLASSES: range
EDGES: tuple[float, ...]

def stopwatch_ns() -> int:
    """Return the monotonic time in nanoseconds, to measure a duration from."""

@final
class Meter:
    """The counters of one route of one variant of a stage, or of one backend. No label contains text of a client.

    Args:
        limiters: the tables.
        labels: API, stage, variant and route; or "backend" and its name.

    Attributes:
        labels: the names.
        requests: the names of the counters of requests, by result and first digit of the status.
        refused: the names of the counters of refusals, by level.
        shadow: the names of the counters of requests that a level in shadow mode would have refused, by level.
        buckets: the names of the counters of requests by duration: up to each of EDGES, and longer.
        seconds: the name of the counter of the total duration, in nanoseconds.

    Thread-safety: as for a limiter.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of API, stage, variant and route, or of a backend."""
    @property
    def requests(self) -> dict[tuple[str, int], str]:
        """The names of the counters of requests, by result and first digit of the status."""
    @property
    def refused(self) -> dict[str, str]:
        """The names of the counters of refusals, by level."""
    @property
    def shadow(self) -> dict[str, str]:
        """The names of the counters of requests that a level in shadow mode would have refused, by level."""
    @property
    def buckets(self) -> list[str]:
        """The names of the counters of requests by duration: up to each of EDGES, and longer."""
    @property
    def seconds(self) -> str:
        """The name of the counter of the total duration, in nanoseconds."""
    def __new__(cls, limiters: Limiters, *labels: str) -> Meter: ...
    def record(self, result: str, status: int, began_ns: int) -> None:
        """Count one request; `began_ns` is the reading of `stopwatch_ns` at its beginning."""
    def refuse(self, level: str) -> None:
        """Count a refusal by a level."""
    def totals(self) -> dict[str, int]:
        """Return the number of requests by result, and as `shadow` those that shadow levels would have refused."""
    def backend_totals(self) -> dict[str, float]:
        """Return the number of answers by the first digit of the status, of failures, and the mean seconds of both."""
    def would_refuse(self, level: str) -> None:
        """Count a request that a level in shadow mode would have refused."""
