"""The numbers of decisions, counted over all workers, in the format of Prometheus."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial

from .._core import Limiter
from ..quota import Quota

# A counter is a key of a limiter whose only window lasts from 1970 to 2116: what is spent of it is the count.
FOREVER = Quota(2**62, Fraction(2**62, 10**9))
RESULTS = ("allowed", "refused", "shadow", "failed_open", "failed_closed", "absent_allowed", "absent_refused")
# The requests of a worker to an engine, see Traffic: the fields, their types and descriptions.
TRAFFIC = (
    ("round_trips_total", "counter", "Requests of this worker to the engine of a table"),
    ("unanswered_total", "counter", "Requests of this worker that the engine did not answer in time"),
    ("remembered_total", "counter", "Refusals that this worker remembered, without a request"),
    ("fallbacks_total", "counter", "Decisions of this worker without the engine"),
    ("granted_total", "counter", "Costs that this worker took in advance for leases"),
    ("returned_total", "counter", "Costs of leases that this worker gave back"),
    ("outages_total", "counter", "Times that this worker stopped asking the engine"),
    ("is_open", "gauge", "Whether this worker does not ask the engine, because it is away"),
)
MAX_DETAILS = 1_000  # values of descriptors that have metrics of their own, so that clients cannot make any number
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Counter:
    """The results of one limit.

    Attributes:
        adding: for each result a function that counts a decision with it.
    """

    def __init__(self, counts: Limiter, kind: str, labels: Labels) -> None:
        self.kind = kind
        self.labels = labels
        self._counts = counts
        prefix = "\t".join([kind, *(value for _, value in labels)])
        self._keys = {result: f"{prefix}\t{result}" for result in RESULTS}
        self.adding = {result: partial(counts.allow, key) for result, key in self._keys.items()}

    def add(self, result: str) -> None:
        """Count a decision."""
        self.adding[result]()

    def read(self, result: str) -> int:
        """Return how many decisions had this result."""
        decision = self._counts.peek(self._keys[result])
        count = decision.limit - decision.remaining
        return count if count < decision.limit else 0  # a full table answers that nothing remains


class Counters:
    """The counters of a service, each made once."""

    def __init__(self, counts: Limiter) -> None:
        self._counts = counts
        self._by_name: dict[tuple[str, Labels], Counter] = {}
        self._details = 0

    def of(self, kind: str, labels: Labels) -> Counter:
        """Return the counter of a limit."""
        found = self._by_name.get((kind, labels))
        if found is None:
            found = self._by_name[kind, labels] = Counter(self._counts, kind, labels)
        return found

    def detail(self, kind: str, labels: Labels) -> Counter | None:
        """Return a counter that a request asks for; None if there are too many of them."""
        if (kind, labels) not in self._by_name:
            if self._details >= MAX_DETAILS:
                return None
            self._details += 1
        return self.of(kind, labels)

    def text(self, limiters: Iterable[tuple[str, Limiter]]) -> bytes:
        """Format all counters, and the state of the tables of limiters by name."""
        return ("\n".join(self._lines(list(limiters))) + "\n").encode()

    def _lines(self, limiters: list[tuple[str, Limiter]]) -> Iterator[str]:
        for kind in ("limit", "descriptor"):
            counters = [counter for counter in list(self._by_name.values()) if counter.kind == kind]
            if counters:
                name = f"ratelimit_serve_{kind}_requests_total"
                yield from (f"# HELP {name} Questions about a {kind}, by result", f"# TYPE {name} counter")
            for counter in counters:
                for result in RESULTS:
                    if number := counter.read(result):
                        yield f"{name}{_labels((*counter.labels, ('result', result)))} {number}"
        here = [(table, limiter) for table, limiter in limiters if limiter.table.remote is None]
        yield from ("# HELP ratelimit_serve_keys Live keys in a table", "# TYPE ratelimit_serve_keys gauge")
        for table, limiter in here:
            yield f"ratelimit_serve_keys{_labels((('table', table),))} {len(limiter)}"
        name = "ratelimit_serve_table_full_total"
        yield from (f"# HELP {name} Decisions without a slot in the table", f"# TYPE {name} counter")
        for table, limiter in here:
            yield f"{name}{_labels((('table', table),))} {limiter.full_count}"
        for field, kind, text in TRAFFIC:
            found = [
                f"ratelimit_serve_engine_{field}{_labels((('table', table),))} {int(value)}"
                for table, limiter in limiters
                if (remote := limiter.table.remote) is not None
                and (value := remote.traffic()._asdict().get(field.removesuffix("_total"))) is not None
            ]
            if found:
                name = f"ratelimit_serve_engine_{field}"
                yield from (f"# HELP {name} {text}", f"# TYPE {name} {kind}", *found)


def _labels(pairs: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
