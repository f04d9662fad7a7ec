"""The counters of each route. They are in the gateway's tables, so that all workers share them."""

cimport cython
from libc.stdint cimport uint64_t

from ..._engine.clock cimport monotonic_ns
from ..._core cimport Limiter

from ..throttling.levels import LEVELS

RESULTS = ("admitted", "throttled", "quota_exceeded", "denied", "failed")
CLASSES = range(1, 6)  # of status codes, by their first digit
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

cdef list EDGES_NS = [int(edge * 1e9) for edge in EDGES]


def stopwatch_ns():
    """Return the monotonic time in nanoseconds, to measure a duration from."""
    return monotonic_ns()


@cython.final
cdef class Meter:
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

    cdef readonly tuple labels
    cdef readonly dict requests, refused, shadow
    cdef readonly list buckets
    cdef readonly str seconds
    cdef object counters
    cdef Limiter counts
    # The same as hashes, so that a request is counted without its names.
    cdef dict requests_of, refused_at, shadow_at
    cdef list bucket
    cdef uint64_t duration

    def __cinit__(self, limiters, *labels):
        self.labels = labels
        self.counters = limiters.meters
        self.counts = limiters.meters.limiter
        name = "\t".join(labels)
        self.requests = {(result, code): f"n\t{name}\t{result}\t{code}xx" for result in RESULTS for code in CLASSES}
        self.refused = {level: f"refused\t{name}\t{level}" for level in LEVELS}
        self.shadow = {level: f"shadow\t{name}\t{level}" for level in LEVELS}
        self.buckets = [f"le\t{name}\t{i}" for i in range(len(EDGES) + 1)]
        self.seconds = f"ns\t{name}"
        self.requests_of = {
            result: [self.hash_of(self.requests[result, code]) for code in CLASSES] for result in RESULTS
        }
        self.refused_at = {level: self.hash_of(label) for level, label in self.refused.items()}
        self.shadow_at = {level: self.hash_of(label) for level, label in self.shadow.items()}
        self.bucket = [self.hash_of(label) for label in self.buckets]
        self.duration = self.hash_of(self.seconds)

    def record(self, str result, int status, uint64_t began_ns):
        """Count one request; `began_ns` is the reading of `stopwatch_ns` at its beginning."""
        cdef uint64_t took_ns = monotonic_ns() - began_ns, now = self.counts.read_clock()
        cdef int i = 0, digit = min(max(status // 100, 1), 5)
        while i < len(EDGES_NS) and took_ns > <uint64_t>EDGES_NS[i]:
            i += 1
        self.counts.spend(self.requests_of[result][digit - 1], 1, now)
        self.counts.spend(self.bucket[i], 1, now)
        self.counts.spend(self.duration, max(took_ns, <uint64_t>1), now)

    def refuse(self, str level):
        """Count a refusal by a level."""
        self.counts.spend(self.refused_at[level], 1, self.counts.read_clock())

    def would_refuse(self, str level):
        """Count a request that a level in shadow mode would have refused."""
        self.counts.spend(self.shadow_at[level], 1, self.counts.read_clock())

    def totals(self):
        """Return the number of requests by result, and as `shadow` those that shadow levels would have refused."""
        totals = dict.fromkeys(RESULTS, 0)
        for (result, _), label in self.requests.items():
            totals[result] += self.counters.read(label)
        totals["shadow"] = sum([self.counters.read(label) for label in self.shadow.values()])
        return totals

    def backend_totals(self):
        """Return the number of answers by the first digit of the status, of failures, and the mean seconds of both."""
        cdef dict totals = {f"{code}xx": self.counters.read(self.requests["admitted", code]) for code in CLASSES}
        totals["failed"] = self.counters.read(self.requests["failed", 5])
        number = sum(totals.values())
        totals["seconds"] = self.counters.read(self.seconds) / 1e9 / number if number else 0.0
        return totals

    cdef object hash_of(self, str name):
        return self.counts.hash_of(name)
