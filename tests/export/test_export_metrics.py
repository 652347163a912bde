from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as official_encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as MetricMessage
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from bridge import __version__
from bridge.export.fields import SCHEMA_URL
from bridge.export.metrics import totals_message, totals_request
from bridge.ledger.ledger import OpenRuns
from bridge.map.instruments import CATALOGUE
from bridge.map.totals import SeriesKey, Total

START = 1_760_000_000_000_000_000
NOW = START + 60_000_000_000
RESOURCE = Resource({"service.name": "letta"})
NOTHING_OPEN = OpenRuns(by_status={}, oldest_created_ns=None, awaiting_approval=0)
STEPS: SeriesKey = ("letta.steps", (("letta.model.handle", "openai/gpt-4o"), ("letta.step.status", "success")))
DURATION: SeriesKey = ("letta.step.duration", (("letta.step.status", "success"),))
CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def metrics(totals: dict[SeriesKey, Total], gauges: OpenRuns = NOTHING_OPEN) -> dict[str, MetricMessage]:
    message = totals_message(totals, start_ns=START, now_ns=NOW, resource=RESOURCE, gauges=gauges)
    return {metric.name: metric for metric in message.scope_metrics[0].metrics}


def histogram(observed: int) -> Total:
    buckets = [0] * (len(CATALOGUE["letta.step.duration"].bounds) + 1)
    buckets[2] = observed
    return Total(sum=1.5 * observed, count=observed, buckets=tuple(buckets))


def official(points: dict[SeriesKey, Total]) -> bytes:
    scope = InstrumentationScope("letta-otel-bridge", __version__, SCHEMA_URL)
    of_scope = sdk.ScopeMetrics(scope, [as_sdk(key, total) for key, total in points.items()], SCHEMA_URL)
    data = sdk.MetricsData([sdk.ResourceMetrics(RESOURCE, [of_scope], RESOURCE.schema_url)])
    return official_encode_metrics(data).SerializeToString()


def as_sdk(key: SeriesKey, total: Total) -> sdk.Metric:
    instrument = CATALOGUE[key[0]]
    data: sdk.Sum | sdk.Histogram
    if instrument.bounds:
        point = sdk.HistogramDataPoint(
            dict(key[1]), START, NOW, total.count, total.sum, list(total.buckets), list(instrument.bounds), 0, 0
        )
        data = sdk.Histogram([point], CUMULATIVE)
    else:
        data = sdk.Sum([sdk.NumberDataPoint(dict(key[1]), START, NOW, total.sum)], CUMULATIVE, is_monotonic=True)
    return sdk.Metric(instrument.name, instrument.description, instrument.unit, data)


def test_the_totals_are_what_the_official_encoder_makes_of_them() -> None:
    totals = {STEPS: Total(sum=42, count=42), DURATION: histogram(3)}
    ours = ExportMetricsServiceRequest.FromString(
        totals_request(totals, start_ns=START, now_ns=NOW, resource=RESOURCE, gauges=NOTHING_OPEN).SerializeToString()
    )
    del ours.resource_metrics[0].scope_metrics[0].metrics[2:]  # the gauges
    theirs = ExportMetricsServiceRequest.FromString(official(totals))
    for metric in theirs.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.histogram.data_points:
            point.ClearField("min")  # the ledger keeps no extremes: they cannot be added up
            point.ClearField("max")
    assert ours == theirs


def test_series_of_one_instrument_share_one_metric() -> None:
    other: SeriesKey = ("letta.steps", (("letta.step.status", "failed"),))
    points = metrics({STEPS: Total(sum=2), DURATION: histogram(1), other: Total(sum=1)})[
        "letta.steps"
    ].sum.data_points
    assert [(point.as_int, point.attributes[-1].value.string_value) for point in points] == [
        (2, "success"),
        (1, "failed"),
    ]


def test_a_histogram_that_observed_nothing_has_its_buckets_at_zero() -> None:
    (point,) = metrics({DURATION: Total()})["letta.step.duration"].histogram.data_points
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1 == len(histogram(1).buckets)
    assert sum(point.bucket_counts) == point.count == point.sum == 0
    assert point.HasField("sum")


def test_buckets_of_other_bounds_are_left_out_beside_sum_and_count() -> None:
    (point,) = metrics({DURATION: Total(sum=3.0, count=2, buckets=(1, 1))})[
        "letta.step.duration"
    ].histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds), point.count, point.sum) == ([], [], 2, 3.0)


def test_a_series_of_an_unknown_instrument_is_left_out() -> None:
    assert "letta.old" not in metrics({("letta.old", ()): Total(sum=1), STEPS: Total(sum=1)})


def test_a_total_past_64_bits_goes_out_as_a_floating_one() -> None:
    (point,) = metrics({STEPS: Total(sum=2**63)})["letta.steps"].sum.data_points
    assert point.as_double == 2.0**63


def test_the_gauges_of_the_open_runs() -> None:
    open_runs = OpenRuns(
        by_status={"running": 3, "odd": 1}, oldest_created_ns=NOW - 1_500_000_000, awaiting_approval=2
    )
    found = metrics({}, open_runs)
    assert {attribute(point.attributes[0]): point.as_int for point in found["letta.runs.open"].gauge.data_points} == {
        ("letta.run.status", "created"): 0,
        ("letta.run.status", "running"): 3,
        ("letta.run.status", "odd"): 1,
    }
    assert found["letta.run.oldest_open_age"].gauge.data_points[0].as_double == 1.5
    assert found["letta.approvals.waiting"].gauge.data_points[0].as_int == 2


def test_the_gauges_are_there_when_nothing_is_open() -> None:
    found = metrics({})
    assert [point.as_int for point in found["letta.runs.open"].gauge.data_points] == [0, 0]
    assert found["letta.run.oldest_open_age"].gauge.data_points[0].as_double == 0
    assert found["letta.approvals.waiting"].gauge.data_points[0].as_int == 0


def test_a_run_of_the_future_has_no_age() -> None:
    open_runs = OpenRuns(by_status={}, oldest_created_ns=NOW + 10**9, awaiting_approval=0)
    assert metrics({}, open_runs)["letta.run.oldest_open_age"].gauge.data_points[0].as_double == 0


def attribute(pair: KeyValue) -> tuple[str, str]:
    return pair.key, pair.value.string_value
