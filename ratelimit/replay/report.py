"""The results of a replay."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measures import DurationSummary, grown

TOO_FEW = 10  # usual clients, below which a share of them means nothing


@dataclass(frozen=True)
class KeyCount:
    """One key's requests, and how many of them were refused.

    Attributes:
        kind: what it looks like: "crawler", "script", "scan" or "login attack"; "" for a usual client, and where
            this was not looked at.
    """

    key: str
    requests: int
    refused: int
    kind: str = ""


@dataclass(frozen=True)
class Largest:
    """The largest number that one key was admitted in any interval of one period, with the limit and the proved bound.

    Attributes:
        algorithm, quota: those of the limit; `limit` is its number and `period` its seconds.
        admitted: the largest count; `key` had it, in the period that ended at `at_ns`.
        most: the number that the algorithm guarantees never to exceed.
        left_out: requests that were not counted for lack of memory (the count may then be too small); usually 0.
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
        """Whether the quotas of two windows were spent together at a boundary."""
        return self.algorithm == "fixed-window" and self.admitted > self.limit


@dataclass(frozen=True)
class Outcome:
    """The results of one limit.

    Attributes:
        limit: its text.
        admitted, refused: requests.
        keys_refused: keys that were refused at least once; more_keys_refused, whether there are others among the keys
            that share one count.
        keys_by_share: how many keys were refused up to which share of their requests: [(share, keys)].
        fairness: Jain's index of the keys' admitted shares; 1 is the same share for all.
        top: the keys most refused.
        kinds: how many of the refused keys look like a program, by kind; None if this was not looked at.
        waits: how long refused requests would have had to wait.
        delays: how long admitted requests wait for their turn (leaky bucket), otherwise None.
        largest: for each quota of the limit.
        refused_over_time: by the report's bins.
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
    seconds: float
    allowed: NDArray[np.bool_] | None = field(repr=False, default=None)
    kinds: dict[str, int] | None = None
    more_keys_refused: bool = False

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
class Counts:
    """The counts of each key, by id.

    Attributes:
        name: returns the key of an id.
        requests: of each key; beyond `size` ids, one count for all others.
        refused: the same of each limit.
    """

    name: Callable[[int], str]
    size: int
    requests: NDArray[np.int64]
    refused: list[NDArray[np.uint32]]

    def rows(self) -> Iterator[tuple[str, int, list[int]]]:
        """Yield each key with its requests, and those that each limit refused; the most refused by the first first."""
        first = grown(self.refused[0], self.size)[: self.size].astype(np.int64)
        for number in np.lexsort((-self.requests[: self.size], -first)).tolist():
            yield self.name(number), int(self.requests[number]), [_at(counts, number) for counts in self.refused]
        if others := _at(self.requests, self.size):
            yield "(all others)", others, [_at(counts, self.size) for counts in self.refused]


def _at(counts: "NDArray[np.int64] | NDArray[np.uint32]", number: int) -> int:
    return int(counts[number]) if number < len(counts) else 0


@dataclass(frozen=True)
class Source:
    """The logs that were read.

    Attributes:
        names: files, or "-" for standard input.
        formats: their formats.
        fields: of the time and of each field of the key, the names under which the logs have it.
        key: the expression that the limits count by.
        lines: lines read, without blank ones; the broken ones are among them.
        broken: lines that could not be read; the first few as (file, line number, text).
        blank: blank lines.
        nul_bytes: zero bytes that were removed, as copytruncate leaves them.
        damaged: compressed files that could be read in part only, as (file, reason).
        missing: for each field of the key that some requests do not have, how many.
        out_of_order: lines behind a younger one. They were sorted.
        excluded: requests that the conditions left out.
    """

    names: list[str]
    formats: list[str]
    fields: dict[str, list[str]]
    key: str
    lines: int
    broken: int
    broken_lines: list[tuple[str, int, str]]
    blank: int
    nul_bytes: int
    damaged: list[tuple[str, str]]
    missing: dict[str, int]
    out_of_order: int
    excluded: int = 0


@dataclass(frozen=True)
class Report:
    """Requests, and the decisions of each limit.

    Attributes:
        requests, keys: how many. Keys beyond the first `counted_keys` share one count.
        more_keys: whether there are more keys than `keys`, too many to count.
        first_ns, last_ns: moments, nanoseconds since the epoch.
        start_ns, bin_ns: where the bins over time begin, and how wide they are.
        requests_over_time: by bin.
        outcomes: one for each limit.
        source: the logs, if the requests were read from logs.
        complete: False if the replay was interrupted.
        counts: those of every key.
    """

    requests: int
    keys: int
    more_keys: bool
    counted_keys: int
    first_ns: int
    last_ns: int
    start_ns: int
    bin_ns: int
    requests_over_time: list[int] = field(repr=False)
    outcomes: list[Outcome]
    source: Source | None = None
    complete: bool = True
    counts: Counts | None = field(repr=False, compare=False, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as numbers, strings and lists, for JSON."""
        result = asdict(replace(self, counts=None))
        del result["counts"]
        for outcome, known in zip(result["outcomes"], self.outcomes, strict=True):
            outcome["refused_share"] = known.refused_share
            outcome["decisions_per_second"] = known.decisions_per_second
            del outcome["allowed"]
        return result


@dataclass(frozen=True)
class Point:
    """The effect of a limit with another number: the usual clients that it touches, and the refused requests."""

    number: int
    touched: int
    refused: int


@dataclass(frozen=True)
class Suggestion:
    """The smallest limit of one algorithm.

    Attributes:
        limit: its text.
        number: requests in each period of `period` seconds.
        at_once: burst, or one more than the capacity.
        touched: usual clients that it refuses at least once.
        refused, share: the requests that it refuses, of all clients.
        most: the largest number that it can admit for one key in one period; the smallest limit has the smallest of
            these.
        curve: limits of other numbers with the same burst.
    """

    algorithm: str
    limit: str
    number: int
    period: float
    at_once: int
    touched: int
    refused: int
    share: float
    most: int
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Above:
    """A client that the first suggestion would refuse.

    Attributes:
        kind: "crawler", "script", "scan", "login attack", or "" for a usual client; and the reason.
        peak: its most requests in any interval of one period.
        agent, target: its most frequent user agent, and method and path; "" where the log has none.
    """

    key: str
    kind: str
    reason: str
    requests: int
    refused: int
    peak: int
    agent: str
    target: str


@dataclass(frozen=True)
class Peaks:
    """The usual clients' peaks: the most requests of each in any interval of one period."""

    median: int
    p99: int
    p999: int
    largest: int


@dataclass(frozen=True)
class Group:
    """The suggestion for the requests of one group, such as a path."""

    name: str
    requests: int
    suggestion: Suggestion | None


@dataclass(frozen=True)
class Answer:
    """The results of `ratelimit suggest`.

    Attributes:
        clients_at_most: the share of the usual clients that may be touched, and how many that are (`allowed`); None
            when the requests were bounded.
        refuse_at_most: the share of the requests that may be refused; None when the clients were bounded.
        usual: clients that do not look like a program.
        kinds: how many of the others are of each kind.
        none: algorithms by which no limit will do.
        above: the clients that the first suggestion refuses, by their peak.
        groups: the suggestions by group.
        by: the expression that groups.
    """

    requests: int
    keys: int
    more_keys: bool
    source: Source
    clients_at_most: float | None
    refuse_at_most: float | None
    allowed: int
    per: str
    usual: int
    kinds: dict[str, int]
    peaks: Peaks
    suggestions: list[Suggestion]
    none: list[str]
    above: list[Above]
    by: str | None
    groups: list[Group]
    complete: bool
