"""Series of metrics and gauges to an OTLP metrics request.

A series of an instrument that this version does not know is left out, and stays in the ledger. Nothing in a series
makes encoding raise: a whole number past 64 bits goes out as a floating one, and buckets that do not fit the
instrument's bounds are left out beside their sum and count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.export.fields import SCHEMA_URL, fill_attributes, fill_resource, fill_scope, moment
from bridge.map.instruments import CATALOGUE, Instrument, Kind
from bridge.map.series import AttributeValue, SeriesKey
from bridge.map.telemetry import Measurement
from bridge.map.totals import Total

Attributes = tuple[tuple[str, AttributeValue], ...]
GaugePoints = Mapping[str, Mapping[Attributes, float]]  # by instrument and attributes

_Point = NumberDataPoint | HistogramDataPoint
_Add = Callable[[Metric, Instrument, "Counted"], _Point]


@dataclass(frozen=True, slots=True)
class Counted:
    """What one series counted in a time.

    Attributes:
        total: what it counted.
        since_ns: from when on, nanoseconds since the epoch.
        examples: measurements in it that name their span.
    """

    total: Total
    since_ns: int
    examples: Sequence[Measurement] = ()


def metrics_request(
    counted: Mapping[SeriesKey, Counted],
    gauges: GaugePoints,
    *,
    now_ns: int,
    resource: Resource,
    delta: bool = False,
    instruments: Mapping[str, Instrument] = CATALOGUE,
) -> ExportMetricsServiceRequest:
    """Every series and every gauge, one metric an instrument, in the order of `instruments`.

    Args:
        counted: by series.
        gauges: their values at the moment.
        now_ns: the moment, nanoseconds since the epoch.
        resource: whose they are.
        delta: whether the series are differences instead of totals.
        instruments: by name; those of Letta's records by default.
    """
    request = ExportMetricsServiceRequest()
    message = request.resource_metrics.add(schema_url=resource.schema_url)
    fill_resource(message.resource, resource)
    scope = message.scope_metrics.add(schema_url=SCHEMA_URL)
    fill_scope(scope.scope, __version__)
    by_name = _by_name(counted)
    for name, instrument in instruments.items():
        if name in by_name:
            _fill_series(_described(scope.metrics.add(), instrument), instrument, by_name[name], now_ns, delta=delta)
        if name in gauges:
            _fill_gauge(_described(scope.metrics.add(), instrument), instrument, gauges[name], now_ns)
    return request


def _by_name(counted: Mapping[SeriesKey, Counted]) -> Mapping[str, Mapping[Attributes, Counted]]:
    by_name: dict[str, dict[Attributes, Counted]] = {}
    for (name, attributes), series in counted.items():
        by_name.setdefault(name, {})[attributes] = series
    return by_name


def _described(metric: Metric, instrument: Instrument) -> Metric:
    metric.name = instrument.name
    metric.unit = instrument.unit
    metric.description = instrument.description
    return metric


def _fill_series(
    metric: Metric, instrument: Instrument, series: Mapping[Attributes, Counted], now_ns: int, *, delta: bool
) -> None:
    temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    if delta:
        temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    add: _Add = _add_sum
    if instrument.kind is Kind.HISTOGRAM:
        add = _add_histogram
        metric.histogram.aggregation_temporality = temporality
    else:
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = True
    for attributes, counted in series.items():
        point = add(metric, instrument, counted)
        point.start_time_unix_nano = counted.since_ns
        point.time_unix_nano = now_ns
        fill_attributes(point.attributes, dict(attributes))


def _add_sum(metric: Metric, instrument: Instrument, counted: Counted) -> NumberDataPoint:
    point = metric.sum.data_points.add()
    _set_number(point, counted.total.sum, integer=instrument.integer)
    return point


def _add_histogram(metric: Metric, instrument: Instrument, counted: Counted) -> HistogramDataPoint:
    total = counted.total
    point = metric.histogram.data_points.add()
    point.count = total.count
    point.sum = total.sum
    buckets = total.buckets if total.count else (0,) * (len(instrument.bounds) + 1)
    if len(buckets) == len(instrument.bounds) + 1:
        point.bucket_counts.extend(buckets)
        point.explicit_bounds.extend(instrument.bounds)
    for measurement in counted.examples:
        _fill_exemplar(point.exemplars.add(), measurement, integer=instrument.integer)
    return point


def _fill_exemplar(exemplar: Exemplar, measurement: Measurement, *, integer: bool) -> None:
    example = measurement.example
    assert example
    exemplar.trace_id = example.trace_id
    exemplar.span_id = example.span_id
    exemplar.time_unix_nano = moment(example.time_ns)
    _set_number(exemplar, measurement.value, integer=integer)


def _fill_gauge(metric: Metric, instrument: Instrument, points: Mapping[Attributes, float], now_ns: int) -> None:
    for attributes, value in points.items():
        point = metric.gauge.data_points.add()
        point.time_unix_nano = now_ns
        _set_number(point, value, integer=instrument.integer)
        fill_attributes(point.attributes, dict(attributes))


def _set_number(point: NumberDataPoint | Exemplar, value: float, *, integer: bool) -> None:
    if integer and -(2**63) <= value < 2**63:
        point.as_int = int(value)
    else:
        point.as_double = value
