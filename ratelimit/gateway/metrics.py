"""Counts for Prometheus and the status page. They are counters in the gateway's tables, shared by all workers."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from .throttle import LEVELS, Limiters, read

RESULTS = ("admitted", "throttled", "quota_exceeded", "denied", "failed")
CLASSES = range(1, 6)  # of status codes, by their first digit
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_EDGES_NS = [int(edge * 1e9) for edge in EDGES]


class Meter:
    """The counters of one route at one side of a stage. No label is ever a caller's to choose."""

    def __init__(self, limiters: Limiters, api: str, stage: str, side: str, route: str) -> None:
        self.labels = (api, stage, side, route)
        self._counts = limiters.counts
        self._count = limiters.counts.allow
        name = "\t".join(self.labels)
        self.requests = {(result, code): f"n\t{name}\t{result}\t{code}xx" for result in RESULTS for code in CLASSES}
        self.refused = {level: f"refused\t{name}\t{level}" for level in LEVELS}
        self.shadow = {level: f"shadow\t{name}\t{level}" for level in LEVELS}
        self.buckets = [f"le\t{name}\t{i}" for i in range(len(EDGES) + 1)]
        self.seconds = f"ns\t{name}"

    def record(self, result: str, status: int, duration_ns: int) -> None:
        """Count one request."""
        self._count(self.requests[result, status // 100])
        self._count(self.buckets[bisect_left(_EDGES_NS, duration_ns)])
        self._counts.hit(self.seconds, duration_ns or 1)

    def totals(self) -> dict[str, int]:
        """Requests by result, and what shadowed levels would have refused."""
        totals = dict.fromkeys(RESULTS, 0)
        for (result, _), label in self.requests.items():
            totals[result] += read(self._counts, label)
        totals["shadow"] = sum(read(self._counts, label) for label in self.shadow.values())
        return totals


class Collector:
    """Gives the counts to prometheus_client.

    Args:
        meters: called for those of the present configuration.
        limiters: the tables.
    """

    def __init__(self, meters: Any, limiters: Limiters) -> None:
        self._meters = meters
        self._limiters = limiters

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        counts = self._limiters.counts
        place = ["api", "stage", "side", "route"]
        requests = CounterMetricFamily("ratelimit_gateway_requests", "Requests", labels=[*place, "result", "code"])
        refused = CounterMetricFamily("ratelimit_gateway_refused", "Refused by a level", labels=[*place, "level"])
        shadow = CounterMetricFamily(
            "ratelimit_gateway_shadow", "Would be refused by a level", labels=[*place, "level"]
        )
        seconds = HistogramMetricFamily(
            "ratelimit_gateway_request_seconds", "Time to the end of the answer", labels=place
        )
        for meter in self._meters():
            for (result, code), label in meter.requests.items():
                if number := read(counts, label):
                    requests.add_metric([*meter.labels, result, f"{code}xx"], number)
            for family, labels in ((refused, meter.refused), (shadow, meter.shadow)):
                for level, label in labels.items():
                    if number := read(counts, label):
                        family.add_metric([*meter.labels, level], number)
            total, buckets = 0, []
            for edge, label in zip((*map(str, EDGES), "+Inf"), meter.buckets, strict=True):
                total += read(counts, label)
                buckets.append((edge, total))
            if total:
                seconds.add_metric(meter.labels, buckets, read(counts, meter.seconds) / 1e9)
        keys = GaugeMetricFamily("ratelimit_gateway_keys", "Keys that count at a level", labels=["level"])
        full = CounterMetricFamily("ratelimit_gateway_table_full", "Decisions without a slot", labels=["level"])
        for level, limiter in self._limiters.of.items():
            keys.add_metric([level], len(limiter))
            full.add_metric([level], limiter.full_count)
        yield from (requests, refused, shadow, seconds, keys, full)
