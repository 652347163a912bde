"""The newest value of every metric series, as they arrive over OTLP, and what the page makes of them.

Totals are taken as cumulative, which is how the bridge sends them: a new value replaces the last. At most
`MAX_SERIES` are kept; what comes after those is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

from bridge.demo.traces import plain

MAX_SERIES: Final = 2000

Json = dict[str, Any]
_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a number, or of a histogram the sum and how often it was observed."""

    name: str
    unit: str
    attributes: Mapping[str, Any]
    value: float
    count: int | None = None

    def shown(self) -> Json:
        """The series as the page takes it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "attributes": dict(self.attributes),
            "value": self.value,
            "count": self.count,
        }


class FigureBook:
    """All series by name and attributes.

    Attributes:
        version: grows with every request.
    """

    def __init__(self) -> None:
        self.version = 0
        self._series: dict[_Key, Series] = {}

    def add(self, request: ExportMetricsServiceRequest) -> None:
        """Take all data points of a request."""
        self.version += 1
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._add(metric)

    def shown(self) -> list[Json]:
        """Every series, by name and then by attributes."""
        return [self._series[key].shown() for key in sorted(self._series)]

    def _add(self, metric: Metric) -> None:
        for series in _series(metric):
            key = (series.name, tuple(sorted((name, str(value)) for name, value in series.attributes.items())))
            if key in self._series or len(self._series) < MAX_SERIES:
                self._series[key] = series


def _series(metric: Metric) -> Iterator[Series]:
    kind = metric.WhichOneof("data")
    if kind in {"sum", "gauge"}:
        for point in getattr(metric, kind).data_points:
            yield Series(metric.name, metric.unit, _attributes(point), _number(point))
    elif kind == "histogram":
        for histogram in metric.histogram.data_points:
            yield Series(metric.name, metric.unit, _attributes(histogram), histogram.sum, histogram.count)


def _number(point: NumberDataPoint) -> float:
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def _attributes(point: NumberDataPoint | HistogramDataPoint) -> Json:
    return {pair.key: plain(pair.value) for pair in point.attributes}
