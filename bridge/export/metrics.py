"""Metric totals and gauges to an OTLP metrics request.

Totals are exported as they stand in the ledger: cumulative since the stream's start, so that a resend, or an export
that never arrived, changes nothing. A series of an instrument that this version does not know is left out, and stays
in the ledger. Nothing in a series makes encoding raise: a whole number past 64 bits goes out as a floating one, and
buckets that do not fit the instrument's bounds are left out beside their sum and count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.export.fields import SCHEMA_URL, fill_attributes, fill_resource, fill_scope
from bridge.ledger.ledger import OpenRuns
from bridge.map import instruments, letta
from bridge.map.instruments import CATALOGUE, Instrument, Kind
from bridge.map.telemetry import AttributeValue
from bridge.map.totals import SeriesKey, Total

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_ACTIVE = ("created", "running")  # shown at zero too: else a graph stays where it was when the last such run ends

_Attributes = tuple[tuple[str, AttributeValue], ...]
_Add = Callable[[Metric, Instrument, Total], NumberDataPoint | HistogramDataPoint]


def totals_request(
    totals: Mapping[SeriesKey, Total], *, start_ns: int, now_ns: int, resource: Resource, gauges: OpenRuns
) -> ExportMetricsServiceRequest:
    """The request that holds the `totals_message` alone."""
    message = totals_message(totals, start_ns=start_ns, now_ns=now_ns, resource=resource, gauges=gauges)
    return ExportMetricsServiceRequest(resource_metrics=[message])


def totals_message(
    totals: Mapping[SeriesKey, Total], *, start_ns: int, now_ns: int, resource: Resource, gauges: OpenRuns
) -> ResourceMetrics:
    """Every series and every gauge, one metric an instrument, in the catalogue's order.

    Args:
        totals: by series.
        start_ns: since when they count, nanoseconds since the epoch.
        now_ns: the moment they are of, nanoseconds since the epoch.
        resource: whose they are.
        gauges: the runs that are open at that moment.
    """
    message = ResourceMetrics(schema_url=resource.schema_url)
    fill_resource(message.resource, resource)
    scope = message.scope_metrics.add(schema_url=SCHEMA_URL)
    fill_scope(scope.scope, __version__)
    gauge_points = _gauge_points(gauges, now_ns)
    for name, instrument in CATALOGUE.items():
        series = {attributes: total for (of, attributes), total in totals.items() if of == name}
        if series:
            _fill_totals(_described(scope.metrics.add(), instrument), instrument, series, start_ns, now_ns)
        if name in gauge_points:
            _fill_gauge(_described(scope.metrics.add(), instrument), instrument, gauge_points[name], now_ns)
    return message


def _gauge_points(gauges: OpenRuns, now_ns: int) -> Mapping[str, Mapping[_Attributes, float]]:
    by_status = {**dict.fromkeys(_ACTIVE, 0), **gauges.by_status}
    oldest_ns = now_ns if gauges.oldest_created_ns is None else gauges.oldest_created_ns
    return {
        instruments.RUNS_OPEN: {((letta.RUN_STATUS, status),): count for status, count in by_status.items()},
        instruments.RUN_OLDEST_OPEN_AGE: {(): max(0, now_ns - oldest_ns) / 1e9},
        instruments.APPROVALS_WAITING: {(): gauges.awaiting_approval},
    }


def _described(metric: Metric, instrument: Instrument) -> Metric:
    metric.name = instrument.name
    metric.unit = instrument.unit
    metric.description = instrument.description
    return metric


def _fill_totals(
    metric: Metric, instrument: Instrument, series: Mapping[_Attributes, Total], start_ns: int, now_ns: int
) -> None:
    add: _Add = _add_histogram if instrument.kind is Kind.HISTOGRAM else _add_sum
    for attributes, total in series.items():
        point = add(metric, instrument, total)
        point.start_time_unix_nano = start_ns
        point.time_unix_nano = now_ns
        fill_attributes(point.attributes, dict(attributes))


def _add_sum(metric: Metric, instrument: Instrument, total: Total) -> NumberDataPoint:
    metric.sum.aggregation_temporality = _CUMULATIVE
    metric.sum.is_monotonic = True
    point = metric.sum.data_points.add()
    _set_number(point, total.sum, integer=instrument.integer)
    return point


def _add_histogram(metric: Metric, instrument: Instrument, total: Total) -> HistogramDataPoint:
    metric.histogram.aggregation_temporality = _CUMULATIVE
    point = metric.histogram.data_points.add()
    point.count = total.count
    point.sum = total.sum
    buckets = total.buckets if total.count else (0,) * (len(instrument.bounds) + 1)
    if len(buckets) == len(instrument.bounds) + 1:
        point.bucket_counts.extend(buckets)
        point.explicit_bounds.extend(instrument.bounds)
    return point


def _fill_gauge(metric: Metric, instrument: Instrument, points: Mapping[_Attributes, float], now_ns: int) -> None:
    for attributes, value in points.items():
        point = metric.gauge.data_points.add()
        point.time_unix_nano = now_ns
        _set_number(point, value, integer=instrument.integer)
        fill_attributes(point.attributes, dict(attributes))


def _set_number(point: NumberDataPoint, value: float, *, integer: bool) -> None:
    if integer and -(2**63) <= value < 2**63:
        point.as_int = int(value)
    else:
        point.as_double = value
