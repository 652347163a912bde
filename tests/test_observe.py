"""The bridge's own metrics, as they leave."""

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import metrics as otel_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    Metric,
    NumberDataPoint,
)

from bridge import __version__
from bridge.observe import SelfMetrics


@pytest.fixture
def own() -> SelfMetrics:
    return SelfMetrics()


def metrics(own: SelfMetrics) -> dict[str, Metric]:
    return {
        metric.name: metric
        for part in own.message().resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
    }


def points(metric: Metric) -> Sequence[Any]:
    data = metric.gauge if metric.HasField("gauge") else metric.sum
    return data.data_points


def values(own: SelfMetrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Attributes → value."""
    return {
        tuple((attribute.key, attribute.value.string_value) for attribute in point.attributes): (
            point.as_double if point.HasField("as_double") else point.as_int
        )
        for point in points(metrics(own)[name])
    }


def test_requests_count_by_endpoint_and_answer(own: SelfMetrics) -> None:
    for answer in ("200", "200", "timeout"):
        own.request("/v1/runs/", answer)
    asked = {attributes: count for attributes, count in values(own, "letta_bridge.requests").items() if count}
    assert asked == {
        (("endpoint", "/v1/runs/"), ("answer", "200")): 2,
        (("endpoint", "/v1/runs/"), ("answer", "timeout")): 1,
    }


def test_what_is_past_the_most_series_is_counted_together(own: SelfMetrics) -> None:
    for number in range(2003):
        own.request(f"/v1/{number}", "200")
    counts = values(own, "letta_bridge.requests")
    assert len(counts) == 2001
    assert sum(counts.values()) == 2003


def test_spans_count_by_outcome(own: SelfMetrics) -> None:
    own.spans("accepted", 40)
    own.spans("accepted", 2)
    own.spans("rejected", 3)
    assert values(own, "letta_bridge.spans") == {
        (("outcome", "accepted"),): 42,
        (("outcome", "rejected"),): 3,
        (("outcome", "dead"),): 0,
    }


def test_log_events_count_by_outcome(own: SelfMetrics) -> None:
    own.log_events("accepted", 2)
    own.log_events("unsupported", 3)
    assert values(own, "letta_bridge.log_events") == {
        (("outcome", "accepted"),): 2,
        (("outcome", "rejected"),): 0,
        (("outcome", "dead"),): 0,
        (("outcome", "unsupported"),): 3,
    }


def test_sweeps_are_a_histogram_of_seconds(own: SelfMetrics) -> None:
    own.sweep(0.2)
    own.sweep(1000)
    metric = metrics(own)["letta_bridge.sweep.duration"]
    (point,) = metric.histogram.data_points
    assert (point.count, point.sum, metric.unit) == (2, 1000.2, "s")
    assert list(point.bucket_counts) == [0, 0, 1, *[0] * 9, 1]
    assert list(point.explicit_bounds)[:3] == [0.05, 0.1, 0.25]


@pytest.mark.parametrize(
    ("event", "name", "unit"),
    [
        ("lag", "letta_bridge.lag", "s"),
        ("dead_letters", "letta_bridge.dead_letters", "{letter}"),
        ("ledger_size", "letta_bridge.ledger.size", "By"),
    ],
)
def test_gauges_keep_their_last_value_however_often_they_are_read(
    own: SelfMetrics, event: str, name: str, unit: str
) -> None:
    assert name not in metrics(own)  # nothing is claimed before it is known
    getattr(own, event)(7)
    getattr(own, event)(5)
    for _ in range(2):
        assert values(own, name) == {(): 5}
    assert metrics(own)[name].unit == unit
    assert metrics(own)[name].HasField("gauge")


def test_an_unknown_field_counts_once_and_is_told_once(own: SelfMetrics) -> None:
    assert own.unknown_fields({"Step.new", "Run.new"}) == ["Run.new", "Step.new"]
    assert own.unknown_fields({"Step.new", "Run.newer"}) == ["Run.newer"]
    assert values(own, "letta_bridge.schema.unknown_fields") == {
        (("field", "Run.new"),): 1,
        (("field", "Step.new"),): 1,
        (("field", "Run.newer"),): 1,
    }


def test_cursor_restarts_count(own: SelfMetrics) -> None:
    own.cursor_restarted()
    assert values(own, "letta_bridge.cursor.restarts") == {(): 1}


def test_what_an_alert_rests_on_is_there_before_it_happens(own: SelfMetrics) -> None:
    zeros = {name: values(own, name) for name in metrics(own)}
    assert {name: len(series) for name, series in zeros.items()} == {
        "letta_bridge.requests": 10,
        "letta_bridge.spans": 3,
        "letta_bridge.log_events": 4,
        "letta_bridge.metric_exports": 3,
        "letta_bridge.cursor.restarts": 1,
        "letta_bridge.wakeups": 5,
    }
    assert not any(value for series in zeros.values() for value in series.values())
    answers = {dict(attributes)["answer"] for attributes in zeros["letta_bridge.requests"]}
    assert answers > {"401", "403", "429", "500", "502", "503", "504", "timeout", "unreachable"}


def test_counters_are_totals_since_the_start(own: SelfMetrics) -> None:
    own.cursor_restarted()
    before = metrics(own)["letta_bridge.cursor.restarts"]
    own.cursor_restarted()
    after = metrics(own)["letta_bridge.cursor.restarts"]
    assert after.sum.is_monotonic
    assert after.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert [points(metric)[0].as_int for metric in (before, after)] == [1, 2]
    assert points(before)[0].start_time_unix_nano == points(after)[0].start_time_unix_nano


def resource(own: SelfMetrics) -> dict[str, str]:
    (part,) = own.message().resource_metrics
    return {attribute.key: attribute.value.string_value for attribute in part.resource.attributes}


def test_the_resource_is_the_bridges_own(own: SelfMetrics) -> None:
    assert resource(own)["service.name"] == "letta-otel-bridge"
    assert resource(own)["service.version"] == __version__


def test_the_users_resource_adds_to_it_and_does_not_rename_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "letta")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=letta")
    attributes = resource(SelfMetrics())
    assert attributes["service.name"] == "letta-otel-bridge"
    assert attributes["deployment.environment.name"] == "test"


def test_nothing_global_is_set(own: SelfMetrics) -> None:
    assert own not in vars(otel_metrics).values()
    assert otel_metrics.get_meter_provider().__class__.__name__ == "_ProxyMeterProvider"


def test_two_of_them_do_not_share_anything(own: SelfMetrics) -> None:
    SelfMetrics().cursor_restarted()
    assert values(own, "letta_bridge.cursor.restarts") == {(): 0}


def test_a_disabled_sdk_leaves_the_message_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    own = SelfMetrics()
    own.request("/v1/runs/", "200")
    own.lag(1)
    assert not own.message().resource_metrics


def test_differences_begin_where_the_last_ones_ended(own: SelfMetrics) -> None:
    seen = []
    for restarts in (2, 0, 3):
        for _ in range(restarts):
            own.cursor_restarted()
        own.message()  # the page is read meanwhile, and takes nothing away
        seen.append(point_of(own.difference(), "letta_bridge.cursor.restarts"))
    first, nothing, second = seen
    assert first
    assert second
    assert nothing is None
    assert (first.as_int, second.as_int) == (2, 3)
    assert second.start_time_unix_nano >= first.time_unix_nano
    assert values(own, "letta_bridge.cursor.restarts") == {(): 5}


def test_histograms_are_told_in_differences_and_gauges_as_they_are(own: SelfMetrics) -> None:
    own.sweep(1)
    own.lag(7)
    own.difference()
    own.sweep(2)
    own.lag(7)
    data = {metric.name: metric for metric in metrics_in(own.difference())}
    assert data["letta_bridge.sweep.duration"].histogram.data_points[0].sum == 2
    assert data["letta_bridge.sweep.duration"].histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
    assert data["letta_bridge.lag"].gauge.data_points[0].as_double == 7


def metrics_in(message: ExportMetricsServiceRequest) -> list[Metric]:
    return [metric for part in message.resource_metrics for scope in part.scope_metrics for metric in scope.metrics]


def point_of(message: ExportMetricsServiceRequest, name: str) -> NumberDataPoint | None:
    found = [point for metric in metrics_in(message) if metric.name == name for point in metric.sum.data_points]
    return found[0] if found else None
