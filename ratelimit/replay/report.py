"""What is known when a replay ends."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measures import DurationSummary


@dataclass(frozen=True)
class KeyCount:
    """One key's requests, and how many of them were refused."""

    key: str
    requests: int
    refused: int


@dataclass(frozen=True)
class Largest:
    """The most that one key was admitted in any interval of one period, beside what was meant and what is proved.

    Attributes:
        algorithm, quota: of which which `limit` is the number and `period` the seconds.
        admitted: the largest count; `key` had it, in the period that ended at `at_ns`.
        most: what the algorithm guarantees never to exceed.
        left_out: requests that found no room in this measure (the count may then be too small); usually 0.
    """

    algorithm: str
    quota: str
    limit: int
    period: float
    admitted: int
    most: int
    key: str
    at_ns: int
    left_out: int

    @property
    def boundary_burst(self) -> bool:
        """Whether it is two windows' quotas that came together at a boundary."""
        return self.algorithm == "fixed-window" and self.admitted > self.limit


@dataclass(frozen=True)
class Outcome:
    """What one limit did.

    Attributes:
        limit: as it is written.
        admitted, refused: requests.
        keys_refused: keys that were refused at least once.
        keys_by_share: how many keys were refused up to which share of their requests: [(share, keys)].
        fairness: Jain's index of the keys' admitted shares; 1 is the same share for all.
        top: the keys most refused.
        waits: how long refused requests would have had to wait.
        delays: how long admitted requests wait for their turn (leaky bucket), otherwise None.
        largest: for each quota of the limit.
        refused_over_time: by the report's bins.
        full: decisions that found no room for their key in the limiter's table, and so are wrong; usually 0.
        seconds: of processor time that it took to decide and to count.
        allowed: each decision, in the order of the requests, when they were asked to be kept.
    """

    limit: str
    admitted: int
    refused: int
    keys_refused: int
    keys_by_share: list[tuple[float, int]]
    fairness: float
    top: list[KeyCount]
    waits: DurationSummary
    delays: DurationSummary | None
    largest: list[Largest]
    refused_over_time: list[int] = field(repr=False)
    full: int
    seconds: float
    allowed: NDArray[np.bool_] | None = field(repr=False, default=None)

    @property
    def requests(self) -> int:
        return self.admitted + self.refused

    @property
    def refused_share(self) -> float:
        return self.refused / self.requests if self.requests else 0.0

    @property
    def decisions_per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Source:
    """What was read.

    Attributes:
        names: files, or "-" for standard input.
        key: the expression that the limits count by.
        lines: lines read, the broken ones among them.
        broken: lines that could not be read; the first few as (file, line number, text).
        damaged: compressed files that could be read in part only, as (file, why).
        absent: fields of the key that not one line had, where each line names its own.
        out_of_order: lines that stood behind a younger one, and were sorted.
        late: those that came after the sorting window, and count as young as the line before them.
        window: seconds of that window.
    """

    names: list[str]
    key: str
    lines: int
    broken: int
    broken_lines: list[tuple[str, int, str]]
    damaged: list[tuple[str, str]]
    absent: list[str]
    out_of_order: int
    late: int
    window: float


@dataclass(frozen=True)
class Report:
    """Requests, and what each limit did to them.

    Attributes:
        requests, keys: how many; keys beyond the first `counted_keys` share one count, when there are more.
        first_ns, last_ns: moments, nanoseconds since the epoch.
        start_ns, bin_ns: where the bins over time begin, and how wide they are.
        requests_over_time: by bin.
        outcomes: one for each limit.
        source: of a log, what was read.
        complete: False when it was interrupted.
    """

    requests: int
    keys: int
    counted_keys: int
    first_ns: int
    last_ns: int
    start_ns: int
    bin_ns: int
    requests_over_time: list[int] = field(repr=False)
    outcomes: list[Outcome]
    source: Source | None = None
    complete: bool = True

    def as_dict(self) -> dict[str, Any]:
        """KeyIds, texts and lists alone, as for JSON."""
        result = asdict(self)
        for outcome, known in zip(result["outcomes"], self.outcomes, strict=True):
            outcome["refused_share"] = known.refused_share
            outcome["decisions_per_second"] = known.decisions_per_second
            del outcome["allowed"]
        return result


@dataclass(frozen=True)
class Suggestion:
    """The smallest limit of one algorithm.

    Attributes:
        limit: as it is written.
        number: requests in each period; at_once: burst, or one more than the capacity; both None if none will do.
        refused, share: what it refuses of these requests.
        most: the most it can ever admit one key in one period, which is what "smallest" means where a rate can be
            traded for a burst.
        curve: (number, share refused) with the same burst.
    """

    algorithm: str
    limit: str
    number: int
    at_once: int
    refused: int
    share: float
    most: int
    curve: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What `ratelimit suggest` found, and by which algorithms there is none."""

    requests: int
    keys: int
    source: Source
    refuse_at_most: float
    per: str
    suggestions: list[Suggestion]
    none: list[str]
    complete: bool
