from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as official_encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as MetricMessage
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from bridge import __version__
from bridge.export.fields import SCHEMA_URL
from bridge.export.gauges import gauge_points
from bridge.export.metrics import Counted, metrics_request
from bridge.ledger.figures import OpenRuns
from bridge.map.failures import Failure
from bridge.map.instruments import CATALOGUE
from bridge.map.series import SeriesKey
from bridge.map.telemetry import Example, Measurement
from bridge.map.totals import Total

START = 1_760_000_000_000_000_000
NOW = START + 60_000_000_000
RESOURCE = Resource({"service.name": "letta"})
NOTHING_OPEN = OpenRuns(by_status={}, oldest_created_ns=None, awaiting_approval=0)
STEPS: SeriesKey = ("letta.steps", (("letta.model.handle", "openai/gpt-4o"), ("letta.step.status", "success")))
DURATION: SeriesKey = ("letta.step.duration", (("letta.step.status", "success"),))
CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def metrics(totals: dict[SeriesKey, Total], gauges: OpenRuns = NOTHING_OPEN) -> dict[str, MetricMessage]:
    return in_request(request(totals, gauges))


def request(totals: dict[SeriesKey, Total], gauges: OpenRuns = NOTHING_OPEN) -> ExportMetricsServiceRequest:
    counted = {key: Counted(total, START) for key, total in totals.items()}
    return metrics_request(counted, gauge_points(gauges, (), now_ns=NOW), now_ns=NOW, resource=RESOURCE)


def in_request(message: ExportMetricsServiceRequest) -> dict[str, MetricMessage]:
    return {metric.name: metric for metric in message.resource_metrics[0].scope_metrics[0].metrics}


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
    ours = ExportMetricsServiceRequest.FromString(request(totals).SerializeToString())
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


EXAMPLE = Example(b"\x01" * 16, b"\x02" * 8, NOW - 5)


def test_examples_go_out_as_exemplars() -> None:
    seconds = Measurement(*DURATION, 0.03, EXAMPLE)
    tokens = Measurement("gen_ai.client.token.usage", (), 7, EXAMPLE)
    counted = {
        DURATION: Counted(histogram(1), START, [seconds]),
        ("gen_ai.client.token.usage", ()): Counted(Total(sum=7, count=1), START, [tokens]),
    }
    found = in_request(metrics_request(counted, {}, now_ns=NOW, resource=RESOURCE))
    (one,) = found["letta.step.duration"].histogram.data_points[0].exemplars
    assert (one.trace_id, one.span_id, one.time_unix_nano, one.as_double) == (
        b"\x01" * 16,
        b"\x02" * 8,
        NOW - 5,
        0.03,
    )
    assert not one.filtered_attributes
    (one,) = found["gen_ai.client.token.usage"].histogram.data_points[0].exemplars
    assert (one.WhichOneof("value"), one.as_int) == ("as_int", 7)


def test_differences_say_that_they_are() -> None:
    counted = {STEPS: Counted(Total(sum=2), START), DURATION: Counted(histogram(1), START + 1)}
    found = in_request(metrics_request(counted, {}, now_ns=NOW, resource=RESOURCE, delta=True))
    assert found["letta.steps"].sum.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
    assert found["letta.steps"].sum.is_monotonic
    assert found["letta.step.duration"].histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
    (point,) = found["letta.step.duration"].histogram.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano) == (START + 1, NOW)


def failure(**fields: object) -> Failure:
    known = {"kind": "step", "seen_at": 1.5, "status": "failed", "trace_id": "ab" * 16, "span_id": "cd" * 8}
    return Failure.model_validate(known | fields)


def last(*failures: Failure, trace_url: str | None = None) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Metric → labels and value of each point."""
    points = gauge_points(NOTHING_OPEN, failures, now_ns=NOW, trace_url=trace_url)
    found = in_request(metrics_request({}, points, now_ns=NOW, resource=RESOURCE))
    return {
        name: [(dict(map(attribute, point.attributes)), point.as_double) for point in found[name].gauge.data_points]
        for name in found
        if "last_failure" in name
    }


def test_the_last_failure_names_its_run_and_its_trace() -> None:
    whole = failure(
        error_type="llm_error",
        run_id="run-1",
        step_id="step-1",
        agent_id="agent-1",
        agent_name="Ada",
        model_handle="m",
    )
    assert last(whole, trace_url="http://jaeger/trace/{trace_id}?x={trace_id}") == {
        "letta.step.last_failure.timestamp": [
            (
                {
                    "error.type": "llm_error",
                    "gen_ai.agent.id": "agent-1",
                    "gen_ai.agent.name": "Ada",
                    "letta.model.handle": "m",
                    "letta.run.id": "run-1",
                    "letta.step.status": "failed",
                    "letta.step.id": "step-1",
                    "letta.trace.url": f"http://jaeger/trace/{'ab' * 16}?x={'ab' * 16}",
                    "trace_id": "ab" * 16,
                },
                1.5,
            )
        ]
    }


def test_a_run_has_a_gauge_of_its_own_and_what_is_not_known_is_left_out() -> None:
    assert last(failure(kind="run", status="cancelled", run_id="run-1")) == {
        "letta.run.last_failure.timestamp": [
            ({"letta.run.id": "run-1", "letta.run.status": "cancelled", "trace_id": "ab" * 16}, 1.5)
        ]
    }


def test_of_each_set_of_labels_the_newest_is_shown() -> None:
    newest_first = [
        failure(seen_at=9.0, run_id="c", agent_id="a"),
        failure(seen_at=8.0, run_id="b", agent_id="a"),
        failure(seen_at=7.0, run_id="a", agent_id="a", error_type="x"),
        failure(seen_at=6.0, run_id="d", agent_id="b"),
        failure(seen_at=5.0, run_id="e", agent_id="a", status="cancelled"),
        failure(seen_at=4.0, run_id="f", agent_id="a", model_handle="m"),
    ]
    points = last(*newest_first)["letta.step.last_failure.timestamp"]
    assert [labels["letta.run.id"] for labels, _ in points] == ["c", "a", "d", "e", "f"]


def attribute(pair: KeyValue) -> tuple[str, str]:
    return pair.key, pair.value.string_value
