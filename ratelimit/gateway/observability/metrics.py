"""The counters in the format of Prometheus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from ..throttling.limiters import Limiters
from .meter import EDGES, Meter

CONTENT_TYPE = exposition.CONTENT_TYPE_LATEST.encode()
PLACE = ["api", "stage", "side", "route"]


def metrics_text(
    meters: Iterable[Meter], backends: Mapping[str, Meter], connections: Mapping[str, int], limiters: Limiters
) -> bytes:
    """Format the counters of routes and backends, the number of WebSockets, and the state of the tables.

    Args:
        meters: of routes.
        backends: the meters of backends by name.
        connections: the number of WebSockets by stage, such as "chat/prod".
        limiters: the tables.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(meters, backends, connections, limiters))
    return exposition.generate_latest(registry)


class _Collector:
    """Gives the counters to prometheus_client."""

    def __init__(
        self,
        meters: Iterable[Meter],
        backends: Mapping[str, Meter],
        connections: Mapping[str, int],
        limiters: Limiters,
    ) -> None:
        self._meters = meters
        self._backends = backends
        self._connections = connections
        self._limiters = limiters

    def collect(self) -> Iterator[Any]:
        read = self._limiters.meters.read
        requests = CounterMetricFamily("ratelimit_gateway_requests", "Requests", labels=[*PLACE, "result", "code"])
        refused = CounterMetricFamily("ratelimit_gateway_refused", "Refused by a level", labels=[*PLACE, "level"])
        shadow = CounterMetricFamily(
            "ratelimit_gateway_shadow", "Would be refused by a level", labels=[*PLACE, "level"]
        )
        seconds = HistogramMetricFamily(
            "ratelimit_gateway_request_seconds", "Time to the end of the answer", labels=PLACE
        )
        for meter in self._meters:
            for (result, code), label in meter.requests.items():
                if number := read(label):
                    requests.add_metric([*meter.labels, result, f"{code}xx"], number)
            for family, labels in ((refused, meter.refused), (shadow, meter.shadow)):
                for level, label in labels.items():
                    if number := read(label):
                        family.add_metric([*meter.labels, level], number)
            self._add_histogram(seconds, meter, meter.labels)
        keys = GaugeMetricFamily("ratelimit_gateway_keys", "Keys in the table of a level", labels=["level"])
        full = CounterMetricFamily("ratelimit_gateway_table_full", "Decisions without a slot", labels=["level"])
        for level, limiter in (*self._limiters.of.items(), ("counts", self._limiters.meters.limiter)):
            if limiter.table.remote is None:
                keys.add_metric([level], len(limiter))
                full.add_metric([level], limiter.full_count)
        yield from (requests, refused, shadow, seconds, keys, full)
        yield from (*self._of_backends(), *self._of_websockets(), *self._traffic())

    def _of_backends(self) -> Iterator[Any]:
        read = self._limiters.meters.read
        answers = CounterMetricFamily("ratelimit_gateway_backend_answers", "Answers", labels=["backend", "code"])
        errors = CounterMetricFamily(
            "ratelimit_gateway_backend_errors", "Requests without an answer", labels=["backend"]
        )
        seconds = HistogramMetricFamily(
            "ratelimit_gateway_backend_seconds", "Time until the answer began, or failed", labels=["backend"]
        )
        for name, meter in self._backends.items():
            for (result, code), label in meter.requests.items():
                number = read(label)
                if number and result == "failed":
                    errors.add_metric([name], number)
                elif number:
                    answers.add_metric([name, f"{code}xx"], number)
            self._add_histogram(seconds, meter, [name])
        yield from (answers, errors, seconds)

    def _of_websockets(self) -> Iterator[Any]:
        gauge = GaugeMetricFamily("ratelimit_gateway_websockets", "Clients that are connected", labels=["api", "stage"])
        for place, number in self._connections.items():
            gauge.add_metric(place.split("/"), number)
        yield gauge

    def _add_histogram(self, family: Any, meter: Meter, labels: Sequence[str]) -> None:
        read = self._limiters.meters.read
        total, buckets = 0, []
        for edge, label in zip((*map(str, EDGES), "+Inf"), meter.buckets, strict=True):
            total += read(label)
            buckets.append((edge, total))
        if total:
            family.add_metric(labels, buckets, read(meter.seconds) / 1e9)

    def _traffic(self) -> Iterator[Any]:
        """Give what this worker asked of an engine; nothing if the tables are on this host."""
        remotes = {
            level: limiter.table.remote
            for level, limiter in (*self._limiters.of.items(), ("counts", self._limiters.counters.limiter))
            if limiter.table.remote is not None
        }
        for field in next(iter(remotes.values())).traffic()._fields if remotes else ():
            kind = GaugeMetricFamily if field == "is_open" else CounterMetricFamily
            family = kind(f"ratelimit_gateway_engine_{field}", f"Traffic.{field} of this worker", labels=["level"])
            for level, remote in remotes.items():
                family.add_metric([level], float(getattr(remote.traffic(), field)))
            yield family
