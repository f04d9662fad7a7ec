"""The counts for Prometheus."""

from collections.abc import Iterator
from typing import Any

from ..observability.meter import EDGES
from ..throttling.levels import Limiters, read


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
        keys = GaugeMetricFamily("ratelimit_gateway_keys", "Keys in the table of a level", labels=["level"])
        full = CounterMetricFamily("ratelimit_gateway_table_full", "Decisions without a slot", labels=["level"])
        for level, limiter in (*self._limiters.of.items(), ("counts", counts)):
            keys.add_metric([level], len(limiter))
            full.add_metric([level], limiter.full_count)
        yield from (requests, refused, shadow, seconds, keys, full)
