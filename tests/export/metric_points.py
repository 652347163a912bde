"""What a backend makes of the metrics that it took: every point, and what the differences add up to."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA, Exemplar

Key = tuple[str, tuple[tuple[str, Any], ...]]  # metric, attributes sorted by name


@dataclass(frozen=True)
class Seen:
    """One point of a counter or a histogram; a gauge has neither a beginning nor a temporality."""

    key: Key
    delta: bool
    start_ns: int
    end_ns: int
    sum: float
    count: int
    buckets: tuple[int, ...]
    exemplars: Sequence[Exemplar]

    @property
    def of_the_bridge(self) -> bool:
        return self.key[0].startswith("letta_bridge.")


def points(payload: bytes) -> Iterator[Seen]:
    """The points of one request."""
    request = ExportMetricsServiceRequest.FromString(payload)
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                yield from _points(metric)


def _points(metric: Any) -> Iterator[Seen]:
    data = getattr(metric, metric.WhichOneof("data"))
    delta = getattr(data, "aggregation_temporality", None) == AGGREGATION_TEMPORALITY_DELTA
    for point in data.data_points:
        pairs = ((pair.key, getattr(pair.value, pair.value.WhichOneof("value"))) for pair in point.attributes)
        histogram = metric.HasField("histogram")
        number: float = point.sum if histogram else point.as_double if point.HasField("as_double") else point.as_int
        yield Seen(
            key=(metric.name, tuple(sorted(pairs))),
            delta=delta,
            start_ns=point.start_time_unix_nano,
            end_ns=point.time_unix_nano,
            sum=number,
            count=point.count if histogram else 0,
            buckets=tuple(point.bucket_counts) if histogram else (),
            exemplars=point.exemplars,
        )


def of_letta(payloads: Iterable[bytes]) -> list[Seen]:
    """All points of the differences of Letta's metrics, in the order in which they came."""
    return [one for payload in payloads for one in points(payload) if one.delta and not one.of_the_bridge]


def added_up(seen: Iterable[Seen]) -> dict[Key, tuple[float, int, tuple[int, ...]]]:
    """Sum, count and buckets of each series; its points must join without gap or overlap."""
    by_key: dict[Key, list[Seen]] = defaultdict(list)
    for one in seen:
        by_key[one.key].append(one)
    for key, series in by_key.items():
        for before, after in pairwise(series):
            assert after.start_ns == before.end_ns, f"{key}: a gap or an overlap"
        assert all(one.start_ns < one.end_ns for one in series)
    return {
        key: (
            sum(one.sum for one in series),
            sum(one.count for one in series),
            tuple(map(sum, zip(*(one.buckets for one in series), strict=True))),
        )
        for key, series in by_key.items()
    }
