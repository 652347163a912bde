"""OTLP metrics as a Prometheus page, by OpenTelemetry's compatibility rules.

`letta.run.duration` in `s` becomes `letta_run_duration_seconds`, a counter ends in `_total`, a unit in braces is
dropped, `1` is `_ratio` on gauges. Left out, as Prometheus's own OTLP receiver does: labels for the scope (its
version would begin new series at each upgrade) and `_created` series. What the page cannot show is left out too:
delta totals and the kinds of points the bridge never makes.

A page is one target: `target_info` has the resource of the first message that has any.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar as OtlpExemplar
from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "ns": "nanoseconds", "By": "bytes", "%": "percent"}
_BRACES: Final = re.compile(r"\{[^}]*\}")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9]+")

Point = NumberDataPoint | HistogramDataPoint
_Bucket = tuple[str, float] | tuple[str, float, Exemplar]


def render(messages: Iterable[ExportMetricsServiceRequest], accept: str = "") -> tuple[bytes, str]:
    """The page and its content type; a metric that several messages have is one family of it.

    Args:
        messages: the metrics.
        accept: the client's Accept header: one that takes OpenMetrics gets it, which alone has room for exemplars.
    """
    page = _Page()
    for message in messages:
        for part in message.resource_metrics:
            page.describe(part.resource.attributes)
            for scope in part.scope_metrics:
                for metric in scope.metrics:
                    page.add(metric)
    try:
        encode, content_type = choose_encoder(accept)
    except TypeError:  # prometheus_client's, of a version that is no number
        encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    return encode(page), content_type


@dataclass(slots=True)
class _Gathered:
    """One family in the making: its first metric, and all points."""

    metric: Metric
    points: list[Point] = field(default_factory=list)


class _Page(Collector):
    """All families of one page; prometheus_client writes them out."""

    def __init__(self) -> None:
        self._target: dict[str, str] = {}
        self._gathered: dict[str, _Gathered] = {}

    def describe(self, resource: Sequence[KeyValue]) -> None:
        self._target = self._target or _labels(resource)

    def add(self, metric: Metric) -> None:
        if points := _points(metric):
            self._gathered.setdefault(metric.name, _Gathered(metric)).points.extend(points)

    def collect(self) -> Iterator[Family]:
        if self._target:
            yield InfoMetricFamily("target", "What the metrics are of", value=self._target)
        for gathered in self._gathered.values():
            yield _family(gathered)


def _points(metric: Metric) -> Sequence[Point]:
    """The points that a page can show: those of gauges, and of totals since the beginning."""
    match metric.WhichOneof("data"):
        case "gauge":
            return metric.gauge.data_points
        case "sum" if metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE:
            return metric.sum.data_points
        case "histogram" if metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE:
            return metric.histogram.data_points
        case _:
            return ()


def _family(gathered: _Gathered) -> Family:
    """A family has the labels of all its points; where a point lacks one it is empty, which means absent."""
    labelled = [(_labels(point.attributes), point) for point in gathered.points]
    names = sorted({name for labels, _ in labelled for name in labels})
    family = _empty_family(gathered.metric, names)
    for labels, point in labelled:
        values = [labels.get(name, "") for name in names]
        if isinstance(point, HistogramDataPoint):
            assert isinstance(family, HistogramMetricFamily)
            family.add_metric(values, _buckets(point), point.sum)
        else:
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            family.add_metric(values, _number(point))
    return family


def _empty_family(metric: Metric, labels: Sequence[str]) -> Family:
    kind = _kind(metric)
    name = _safe(metric.name)
    return kind(name, metric.description, labels=labels, unit=_unit_suffix(metric, name))


def _kind(metric: Metric) -> type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
    if metric.HasField("histogram"):
        return HistogramMetricFamily
    return CounterMetricFamily if metric.HasField("sum") and metric.sum.is_monotonic else GaugeMetricFamily


def _unit_suffix(metric: Metric, name: str) -> str:
    """The unit in Prometheus's words; empty for none, and where the name has it already."""
    unit = _BRACES.sub("", metric.unit)
    if unit == "1":
        suffix = "ratio" if _kind(metric) is GaugeMetricFamily else ""
    else:
        suffix = _UNITS.get(unit, _safe(unit).strip("_"))
    return "" if suffix in name.split("_") else suffix


def _buckets(point: HistogramDataPoint) -> list[_Bucket]:
    """Upper bound, observations up to it, and where there is one its exemplar; OTLP counts each bucket by itself."""
    bounds = map(floatToGoString, point.explicit_bounds)
    buckets: list[_Bucket] = [*zip(bounds, accumulate(point.bucket_counts), strict=False), ("+Inf", point.count)]
    for exemplar in point.exemplars:
        at = bisect_left(point.explicit_bounds, _number(exemplar))
        buckets[at] = (*buckets[at][:2], _exemplar(exemplar))
    return buckets


def _exemplar(exemplar: OtlpExemplar) -> Exemplar:
    ids = {"trace_id": exemplar.trace_id.hex(), "span_id": exemplar.span_id.hex()}
    return Exemplar(ids, _number(exemplar), exemplar.time_unix_nano / 1e9)


def _number(point: NumberDataPoint | OtlpExemplar) -> float:
    return point.as_double if point.HasField("as_double") else point.as_int


def _labels(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Names that become the same share a label, their values joined by a semicolon in the order of the names."""
    labels: dict[str, str] = {}
    for attribute in sorted(attributes, key=lambda attribute: attribute.key):
        name, value = _safe(attribute.key), _text(attribute.value)
        labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


def _safe(name: str) -> str:
    """Letters, digits and single underscores, with no digit in front."""
    safe = _NOT_IN_A_NAME.sub("_", name)
    return f"_{safe}" if safe[:1].isdigit() else safe


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return value.string_value if kind == "string_value" else json.dumps(_plain(value))


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
