"""The Prometheus page, read back by the official parser."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    Exemplar,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from bridge.exposition import render
from bridge.observe import SelfMetrics

CUMULATIVE = AGGREGATION_TEMPORALITY_CUMULATIVE


def value(plain: Any) -> AnyValue:
    match plain:
        case bool():
            return AnyValue(bool_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
        case str():
            return AnyValue(string_value=plain)
        case _:
            return AnyValue(array_value=ArrayValue(values=map(value, plain)))


def attributes(plain: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(one)) for key, one in plain.items()]


def number(of: float, **labels: Any) -> NumberDataPoint:
    point = NumberDataPoint(attributes=attributes(labels))
    if isinstance(of, int):
        point.as_int = of
    else:
        point.as_double = of
    return point


def counter(name: str, *points: NumberDataPoint, unit: str = "", temporality: Any = CUMULATIVE) -> Metric:
    total = Sum(data_points=points, aggregation_temporality=temporality, is_monotonic=True)
    return Metric(name=name, unit=unit, description="counted", sum=total)


def gauge(name: str, *points: NumberDataPoint, unit: str = "") -> Metric:
    return Metric(name=name, unit=unit, gauge=Gauge(data_points=points))


def histogram(name: str, *points: HistogramDataPoint, unit: str = "", temporality: Any = CUMULATIVE) -> Metric:
    return Metric(name=name, unit=unit, histogram=Histogram(data_points=points, aggregation_temporality=temporality))


def message(*metrics: Metric, resource: Mapping[str, Any] | None = None) -> ExportMetricsServiceRequest:
    part = ResourceMetrics(
        resource=Resource(attributes=attributes(resource or {})), scope_metrics=[ScopeMetrics(metrics=metrics)]
    )
    return ExportMetricsServiceRequest(resource_metrics=[part])


def parsed(*messages: ExportMetricsServiceRequest) -> dict[str, Family]:
    page = render(messages)[0].decode()
    families = list(text_string_to_metric_families(page))
    assert page.count("# TYPE") == len(families)  # of each family one block, as the format demands
    return {family.name: family for family in families}


def samples(family: Family) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample; an empty label is an absent one, to Prometheus."""
    return [(one.name, {k: v for k, v in one.labels.items() if v}, one.value) for one in family.samples]


def names(*metrics: Metric) -> set[str]:
    return {sample.name for family in parsed(message(*metrics)).values() for sample in family.samples}


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("letta.steps", "{step}", "letta_steps_total"),
        ("letta.tokens", "{token}", "letta_tokens_total"),
        ("letta.cost", "USD", "letta_cost_USD_total"),
        ("letta.wait", "s", "letta_wait_seconds_total"),
        ("letta.calls", "1", "letta_calls_total"),
        ("letta.calls.total", "", "letta_calls_total"),
        ("letta.bytes.sent", "By", "letta_bytes_sent_total"),
        ("letta.calls", "{call}/s", "letta_calls_s_total"),
        ("odd..name/of it", "", "odd_name_of_it_total"),
        ("2xx", "", "_2xx_total"),
    ],
)
def test_the_name_of_a_counter(name: str, unit: str, expected: str) -> None:
    assert names(counter(name, number(1), unit=unit)) == {expected}


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("letta.runs.open", "{run}", "letta_runs_open"),
        ("letta.run.oldest_open_age", "s", "letta_run_oldest_open_age_seconds"),
        ("letta_bridge.ledger.size", "By", "letta_bridge_ledger_size_bytes"),
        ("letta_bridge.ledger.bytes", "By", "letta_bridge_ledger_bytes"),
        ("letta.share", "1", "letta_share_ratio"),
        ("letta.context_window.used_ratio", "1", "letta_context_window_used_ratio"),
    ],
)
def test_the_name_of_a_gauge(name: str, unit: str, expected: str) -> None:
    assert names(gauge(name, number(1), unit=unit)) == {expected}


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("gen_ai.client.token.usage", "{token}", "gen_ai_client_token_usage"),
        ("letta.run.duration", "s", "letta_run_duration_seconds"),
        ("letta.context_window.used_ratio", "1", "letta_context_window_used_ratio"),
        ("letta.share", "1", "letta_share"),
    ],
)
def test_the_name_of_a_histogram(name: str, unit: str, expected: str) -> None:
    assert names(histogram(name, HistogramDataPoint(), unit=unit)) == {
        f"{expected}_bucket",
        f"{expected}_count",
        f"{expected}_sum",
    }


def test_a_counter_has_a_sample_for_each_set_of_attributes() -> None:
    steps = counter("letta.steps", number(3, status="success"), number(2**53, status="failed"), unit="{step}")
    family = parsed(message(steps))["letta_steps"]
    assert (family.type, family.documentation) == ("counter", "counted")
    assert samples(family) == [
        ("letta_steps_total", {"status": "success"}, 3),
        ("letta_steps_total", {"status": "failed"}, 2**53),
    ]


def test_a_gauge_may_be_of_either_kind_of_number() -> None:
    family = parsed(message(gauge("g", number(-3, a="int"), number(0.25, a="float"), number(0, a="zero"))))["g"]
    assert family.type == "gauge"
    assert [one for _, _, one in samples(family)] == [-3, 0.25, 0]


def test_a_sum_that_can_fall_is_a_gauge() -> None:
    level = Metric(name="level", sum=Sum(data_points=[number(2)], aggregation_temporality=CUMULATIVE))
    assert parsed(message(level))["level"].type == "gauge"


def test_a_histogram_adds_up_its_buckets() -> None:
    point = HistogramDataPoint(
        attributes=attributes({"model": "m"}),
        explicit_bounds=[0.01, 1, 10],
        bucket_counts=[1, 2, 0, 4],
        count=7,
        sum=55.5,
    )
    family = parsed(message(histogram("letta.step.duration", point, unit="s")))["letta_step_duration_seconds"]
    assert family.type == "histogram"
    name = "letta_step_duration_seconds"
    assert samples(family) == [
        (f"{name}_bucket", {"model": "m", "le": "0.01"}, 1),
        (f"{name}_bucket", {"model": "m", "le": "1.0"}, 3),
        (f"{name}_bucket", {"model": "m", "le": "10.0"}, 3),
        (f"{name}_bucket", {"model": "m", "le": "+Inf"}, 7),
        (f"{name}_count", {"model": "m"}, 7),
        (f"{name}_sum", {"model": "m"}, 55.5),
    ]


def test_points_may_have_different_attributes() -> None:
    overflow = {"otel.metric.overflow": True}
    steps = counter("letta.steps", number(1, status="success"), number(2, **overflow), number(3))
    assert [labels for _, labels, _ in samples(parsed(message(steps))["letta_steps"])] == [
        {"status": "success"},
        {"otel_metric_overflow": "true"},
        {},
    ]


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        (("a", "b"), '["a", "b"]'),
        ('quote " back\\slash\nnew line', 'quote " back\\slash\nnew line'),
        ("Zürich 東京 😀", "Zürich 東京 😀"),
    ],
)
def test_a_label_says_what_the_attribute_said(plain: Any, text: str) -> None:
    ((_, labels, _),) = samples(parsed(message(gauge("g", number(1, key=plain))))["g"])
    assert labels.get("key", "") == text


@pytest.mark.parametrize(
    ("key", "label"),
    [("gen_ai.request.model", "gen_ai_request_model"), ("a..b", "a_b"), ("__name", "_name"), ("9lives", "_9lives")],
)
def test_a_label_has_a_name_that_prometheus_takes(key: str, label: str) -> None:
    ((_, labels, _),) = samples(parsed(message(gauge("g", number(1, **{key: "x"}))))["g"])
    assert labels == {label: "x"}


def test_attributes_that_become_one_label_share_it() -> None:
    point = number(1, **{"a_b": "second", "a.b": "first"})
    ((_, labels, _),) = samples(parsed(message(gauge("g", point)))["g"])
    assert labels == {"a_b": "first;second"}


def test_delta_totals_and_unknown_kinds_are_left_out() -> None:
    left_out = message(
        counter("delta", number(1), temporality=AGGREGATION_TEMPORALITY_DELTA),
        histogram("delta", HistogramDataPoint(), temporality=AGGREGATION_TEMPORALITY_DELTA),
        Metric(name="nothing"),
        gauge("no.points"),
    )
    assert render([left_out])[0] == b""


def test_one_metric_of_two_messages_is_one_family() -> None:
    family = parsed(message(counter("c", number(1, a="x"))), message(counter("c", number(2, b="y"))))["c"]
    assert [(labels, one) for _, labels, one in samples(family)] == [({"a": "x"}, 1), ({"b": "y"}, 2)]


def test_the_first_resource_is_the_target() -> None:
    letta = {"service.name": "letta", "deployment.environment.name": "test", "process.pid": 7}
    page = parsed(message(gauge("a", number(1))), message(resource=letta), message(resource={"service.name": "x"}))
    assert samples(page["target_info"]) == [
        ("target_info", {"service_name": "letta", "deployment_environment_name": "test", "process_pid": "7"}, 1)
    ]


def test_nothing_to_show_is_an_empty_page() -> None:
    assert render([])[0] == b""
    assert render([message()])[0] == b""


# As Prometheus 3 asks.
SCRAPE = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        (SCRAPE, "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=new", "text/plain; version=0.0.4"),
    ],
)
def test_who_takes_openmetrics_gets_it(accept: str, kind: str) -> None:
    page, content_type = render([message(*totals())], accept)
    assert content_type.startswith(kind)
    assert page.endswith(b"# EOF\n") == kind.startswith("application/")


def test_both_formats_have_the_same_series(own: SelfMetrics) -> None:
    messages = [
        message(*totals(), gauge("g", number(1), unit="s"), resource={"service.name": "letta"}),
        own.message(),
    ]
    classic = text_string_to_metric_families(render(messages)[0].decode())
    openmetrics = in_openmetrics(messages)
    assert series_of(openmetrics) == series_of(classic)


def in_openmetrics(messages: Iterable[ExportMetricsServiceRequest]) -> list[Family]:
    return list(openmetrics_families(render(messages, SCRAPE)[0].decode()))  # type: ignore[no-untyped-call]


def series_of(families: Iterable[Family]) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    return {(one.name, tuple(sorted(one.labels.items())), one.value) for family in families for one in family.samples}


def test_an_exemplar_stands_at_its_bucket() -> None:
    exemplars = [
        Exemplar(
            trace_id=bytes(range(16)),
            span_id=bytes(range(8)),
            as_double=0.5,
            time_unix_nano=1_700_000_000_250_000_000,
        ),
        Exemplar(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, as_int=40, time_unix_nano=1),
    ]
    point = HistogramDataPoint(
        explicit_bounds=[0.5, 1, 10], bucket_counts=[1, 0, 0, 1], count=2, sum=40.5, exemplars=exemplars
    )
    page = message(histogram("letta.step.duration", point, unit="s"))
    (family,) = in_openmetrics([page])
    found = {one.labels["le"]: one.exemplar for one in family.samples if one.exemplar}
    assert {le: (exemplar.labels, exemplar.value) for le, exemplar in found.items()} == {
        "0.5": ({"trace_id": bytes(range(16)).hex(), "span_id": bytes(range(8)).hex()}, 0.5),
        "+Inf": ({"trace_id": "01" * 16, "span_id": "02" * 8}, 40),
    }
    assert float(found["0.5"].timestamp or 0) == pytest.approx(1_700_000_000.25, abs=1e-6)
    assert b"trace_id" not in render([page])[0]


@pytest.fixture
def own() -> SelfMetrics:
    own = SelfMetrics()
    own.request("/v1/runs/", "200")
    own.spans("accepted", 3)
    own.sweep(0.3)
    own.lag(1.5)
    own.dead_letters(0)
    own.ledger_size(4096)
    own.unknown_fields(["Step.new"])
    return own


def test_the_bridges_own_metrics_as_prometheus_names_them(own: SelfMetrics) -> None:
    families = parsed(own.message())
    assert {name: family.type for name, family in families.items()} == {
        "target_info": "gauge",
        "letta_bridge_requests": "counter",
        "letta_bridge_spans": "counter",
        "letta_bridge_log_events": "counter",
        "letta_bridge_metric_exports": "counter",
        "letta_bridge_sweep_duration_seconds": "histogram",
        "letta_bridge_lag_seconds": "gauge",
        "letta_bridge_dead_letters": "gauge",
        "letta_bridge_ledger_size_bytes": "gauge",
        "letta_bridge_schema_unknown_fields": "counter",
        "letta_bridge_cursor_restarts": "counter",
        "letta_bridge_wakeups": "counter",
    }
    assert ("letta_bridge_requests_total", {"endpoint": "/v1/runs/", "answer": "200"}, 1) in samples(
        families["letta_bridge_requests"]
    )


def totals() -> Sequence[Metric]:
    point = HistogramDataPoint(explicit_bounds=[1, 4], bucket_counts=[1, 0, 1], count=2, sum=9)
    return [
        Metric(
            name="gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens",
            histogram=Histogram(data_points=[point], aggregation_temporality=CUMULATIVE),
        ),
        counter("letta.steps", number(1, **{"error.type": 'a "b"\n'}), number(2, status="ok"), unit="{step}"),
    ]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_nothing_to_say(own: SelfMetrics) -> None:
    page, _ = render([message(*totals(), resource={"service.name": "letta"}), own.message()])
    said = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, b"")
