"""The answer of `ratelimit suggest`: limits, what they do, and the clients above them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..language import ALGORITHMS, LimitSpec
from ..quota import Quota
from .batch import UNKNOWN
from .clients import CLASSES, Clients, most_frequent
from .limits import Limit, at_most, at_once
from .logs import paths, recorded
from .report import TOO_FEW, Above, Answer, Group, Peaks, Point, Suggestion
from .search import Replays, grid, is_possible, spec_of, suggest
from .trace import Trace

if TYPE_CHECKING:
    from .reading.reader import Reader

SHOWN = 10  # clients above the limit
GROUPS = 20


class Inquiry:
    """A question to a trace: which limits touch, or refuse, at most so many?

    Args:
        reader: with `profile`; it has read the trace.
        clients_at_most: the share of the usual clients that may be touched.
        refuse_at_most: the share of requests that may be refused, instead.
        per: the period as text.
        by: how to group requests, such as "path/1" or "method"; see group_of.
        replayed: called with the number of decisions made.
    """

    def __init__(
        self,
        reader: "Reader",
        trace: Trace,
        algorithms: list[str],
        period_ns: int,
        *,
        clients_at_most: float | None,
        refuse_at_most: float | None = None,
        per: str = "minute",
        by: str | None = None,
        replayed: Callable[[int], object] = lambda size: None,
    ) -> None:
        self.reader, self.trace, self.algorithms, self.period_ns = reader, trace, algorithms, period_ns
        self.clients_at_most, self.refuse_at_most, self.per, self.by = clients_at_most, refuse_at_most, per, by
        self.replayed = replayed
        self.agents, self.targets = reader.agents.texts(), reader.targets.texts()
        self.size = reader.distinct
        self.clients = Clients(trace, self.size, self.agents, self.targets, period_ns)
        self.usual = self.clients.usual()
        self.replays = Replays(trace, replayed)
        if clients_at_most is None:
            self.allowed = int((refuse_at_most or 0) * len(trace))
        else:
            self.allowed = max(int(clients_at_most * np.count_nonzero(self.usual)), 1)

    def answer(self, complete: bool = True) -> Answer:
        """Search, and describe what was found. Interrupted (KeyboardInterrupt), it has what is known by then."""
        found: list[Suggestion] = []
        specs: list[LimitSpec] = []
        none: list[str] = []
        above: list[Above] = []
        groups: list[Group] = []
        try:
            searched = self.search(self.algorithms, self.trace, self.clients, self.allowed)
            for algorithm, spec in zip(self.algorithms, searched, strict=True):
                if spec is None:
                    none.append(algorithm)
                else:
                    specs.append(spec)
                    found.append(self.described(spec, self.replays))
            numbers = grid([one.number for one in found]) if found else []
            for i, spec in enumerate(specs):
                found[i] = replace(found[i], curve=self.curve(spec, self.replays, numbers))
            above = self.above(specs[0]) if specs else []
            if self.by is not None:
                groups = self.grouped()
        except KeyboardInterrupt:
            complete = False
        peaks = np.sort(self.clients.peaks[self.usual])
        return Answer(
            requests=len(self.trace),
            keys=self.size,
            more_keys=self.reader.more_keys,
            source=self.reader.source(),
            clients_at_most=self.clients_at_most,
            refuse_at_most=self.refuse_at_most,
            allowed=self.allowed,
            per=self.per,
            usual=len(peaks),
            kinds=self.clients.count(),
            peaks=Peaks(*(_quantile(peaks, share) for share in (0.5, 0.99, 0.999, 1.0))),
            suggestions=found,
            none=none,
            above=above,
            by=self.by,
            groups=groups,
            complete=complete,
        )

    def rows(self) -> Iterator[tuple[str, int, int, str]]:
        """Yield each client with its requests, its peak and its kind; the largest peaks first."""
        clients = self.clients
        for number in np.lexsort((-clients.requests, -clients.peaks)).tolist():
            kind = CLASSES[int(clients.classes[number])].name or "usual"
            yield self.reader.name(number), int(clients.requests[number]), int(clients.peaks[number]), kind

    def search(
        self, algorithms: list[str], trace: Trace, clients: Clients, allowed: int
    ) -> "Iterator[LimitSpec | None]":
        """Yield the smallest limit of each algorithm, or None if no limit fits or there are too few clients."""
        if self.clients_at_most is None:
            replays = Replays(trace, self.replayed)
            measure, below = cache(replays.refused), len(trace) + 1
        else:
            usual = clients.usual() & self.usual
            peaks = np.sort(clients.peaks[usual])[::-1]
            if len(peaks) < TOO_FEW:
                yield from [None] * len(algorithms)
                return
            # Limits are about as large as the largest peak that may not be touched. In no algorithm is a limit less
            # than half of it, or does it touch a client whose peak is less than a half of the limit.
            peak = int(peaks[min(allowed, len(peaks) - 1)])
            part_of = _part_of(trace, usual & (clients.peaks > peak // 4))
            replays = Replays(part_of, self.replayed)
            measure, below = cache(lambda limit: replays.touched(limit, self.size, allowed)), 2 * peak + 2
        for algorithm in algorithms:
            yield suggest(measure, algorithm, allowed, self.period_ns, below)

    def described(self, spec: LimitSpec, replays: Replays) -> Suggestion:
        """Return the effect of a limit."""
        touched, total = self._effect(replays.refused_by_client(Limit((spec,)), self.size))
        share = total / max(len(replays), 1)
        return Suggestion(
            spec.algorithm, str(spec), spec.quota.limit, spec.quota.period, at_once(spec), touched, total, share,
            at_most(spec),
        )  # fmt: skip

    def curve(self, spec: LimitSpec, replays: Replays, numbers: list[int]) -> list[Point]:
        """Return the effect of limits with other numbers."""
        burst = at_once(spec) if spec.algorithm in ("token-bucket", "leaky-bucket") else None
        return [
            Point(number, *self._effect(replays.refused_by_client(Limit((other,)), self.size)))
            for number in numbers
            if is_possible(spec.algorithm, number, self.period_ns, burst)
            and (other := spec_of(spec.algorithm, number, self.period_ns, burst))
        ]

    def _effect(self, refused: NDArray[np.int64]) -> tuple[int, int]:
        return int(np.count_nonzero(refused[: self.size][self.usual])), int(refused.sum())

    def above(self, spec: LimitSpec) -> list[Above]:
        """Return the clients that a limit refuses, by their peak."""
        refused = self.replays.refused_by_client(Limit((spec,)), self.size)[: self.size]
        order = np.lexsort((-refused, -self.clients.peaks))
        chosen = [int(client) for client in order if refused[client]][:SHOWN]
        frequent = most_frequent(self.trace, chosen)
        rows = []
        for client in chosen:
            agent, target = (
                "" if number == UNKNOWN else texts[number]
                for number, texts in zip(frequent[client], (self.agents, self.targets), strict=True)
            )
            rows.append(
                Above(
                    key=self.reader.name(client),
                    kind=CLASSES[int(self.clients.classes[client])].name,
                    reason=self.clients.reason(client, agent),
                    requests=int(self.clients.requests[client]),
                    refused=int(refused[client]),
                    peak=int(self.clients.peaks[client]),
                    agent=agent,
                    target=target,
                )
            )
        return rows

    def grouped(self) -> list[Group]:
        """Return a suggestion for each of the groups with the most requests, by the first algorithm."""
        assert self.by is not None
        names: dict[str, int] = {}
        numbers = np.array(
            [names.setdefault(group_of(target, self.by), len(names)) for target in self.targets] + [UNKNOWN], np.int32
        )
        sizes = np.zeros(len(names), np.int64)
        for batch in self.trace.batches():
            groups = numbers[batch.targets]
            sizes += np.bincount(groups[groups >= 0], minlength=len(names))
        texts = list(names)
        result = []
        for number in np.argsort(-sizes, kind="stable")[:GROUPS].tolist():
            trace = Trace()
            for batch in self.trace.batches():
                trace.add(batch.at(numbers[batch.targets] == number))
            clients = Clients(trace, self.size, self.agents, self.targets, self.period_ns)
            usual = int(np.count_nonzero(clients.usual() & self.usual))
            allowed = self.allowed
            if self.clients_at_most is None:
                allowed = int((self.refuse_at_most or 0) * len(trace))
            else:
                allowed = max(int(self.clients_at_most * usual), 1)
            [spec] = self.search(self.algorithms[:1], trace, clients, allowed)
            replays = Replays(trace, self.replayed)
            result.append(Group(texts[number], len(trace), None if spec is None else self.described(spec, replays)))
        return result


def suggest_log(
    logs: "str | PathLike[str] | Iterable[str | PathLike[str]]",
    *,
    algorithms: Iterable[str] = ALGORITHMS,
    clients_at_most: float = 0.001,
    per: str = "minute",
    by: str | None = None,
    **how: Any,
) -> Answer:
    """Find the smallest limits that touch at most a share of the clients that do not look like programs.

    Args:
        logs: as for `replay_log`, and so are `key`, `format` and all further options.
        algorithms: for each of them a limit is searched.
        clients_at_most: the share of the usual clients that may be refused anything; at least one may.
        per: the period of the limits.
        by: how to group requests, for a limit for each group, such as "path/1".

    Raises: as `replay_log`.
    """
    from .reading.reader import Reader

    reader = Reader(paths(logs), profile=True, **how)
    trace, complete = recorded(reader)
    period_ns = Quota.parse(f"1/{per}").period_ns
    inquiry = Inquiry(reader, trace, [*algorithms], period_ns, clients_at_most=clients_at_most, per=per, by=by)
    return inquiry.answer(complete)


def group_of(target: str, by: str) -> str:
    """Return the group of a target ("GET /api/v1/items"): by "method", "path", "path/N", or several joined with +."""
    method, _, path = target.partition(" ")
    parts = []
    for term in by.replace(" ", "").split("+"):
        name, _, segments = term.partition("/")
        parts.append(
            method if name == "method" else "/".join(path.split("/")[: int(segments) + 1]) if segments else path
        )
    return " ".join(parts)


def _part_of(trace: Trace, chosen: NDArray[np.bool_]) -> Trace:
    """Return the requests of some clients."""
    result = Trace()
    kept = np.append(chosen, False)
    for batch in trace.batches():
        result.add(batch.at(kept[np.minimum(batch.ids, len(chosen))]))
    return result


def _quantile(peaks: NDArray[np.int32], share: float) -> int:
    """Of sorted numbers the one that so large a share of them does not exceed."""
    return int(peaks[max(int(np.ceil(share * len(peaks))) - 1, 0)]) if len(peaks) else 0
