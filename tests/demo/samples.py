"""OTLP requests for the receiver, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

START = 1_795_302_004_472_932_000
PROTOBUF = {"content-type": "application/x-protobuf"}

TRACE = bytes.fromhex("0fbc63cc78314558a24500c81475b014")
ROOT, STEP, CHAT, TOOL = (bytes([number] * 8) for number in (1, 2, 3, 4))


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as the protocol has them."""
    return [KeyValue(key=name, value=_value(value)) for name, value in attributes.items()]


def span(
    name: str,
    span_id: bytes,
    *,
    trace: bytes = TRACE,
    parent: bytes = b"",
    at: tuple[float, float] = (0, 1),
    error: str | None = None,
    **attributes: Any,
) -> Span:
    """A span from and to so many seconds after START; dots in the names of attributes are written as `__`."""
    return Span(
        trace_id=trace,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=START + round(at[0] * 1e9),
        end_time_unix_nano=START + round(at[1] * 1e9),
        status=Status(code=Status.STATUS_CODE_ERROR, message=error) if error else None,
        attributes=pairs({key.replace("__", "."): value for key, value in attributes.items()}),
    )


def run_span(**given: Any) -> Span:
    """The run's own span."""
    about = {"gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "clerk", "at": (0, 4)}
    return span("invoke_agent clerk", ROOT, **{**about, **given})


def step_spans() -> list[Span]:
    """A step with its chat and a tool that failed."""
    agent: dict[str, Any] = {"gen_ai__agent__name": "clerk"}
    tokens: dict[str, Any] = {"gen_ai__usage__input_tokens": 1200, "gen_ai__usage__output_tokens": 34}
    return [
        span("agent_step", STEP, parent=ROOT, at=(0.5, 3), letta__step__id="step-1", **agent),
        span("chat small", CHAT, parent=STEP, at=(0.5, 2), gen_ai__request__model="small", **tokens, **agent),
        span(
            "execute_tool charge_card",
            TOOL,
            parent=STEP,
            at=(2, 3),
            error="tool_error",
            error__type="tool_error",
            gen_ai__tool__name="charge_card",
        ),
    ]


def traces(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """A request with these spans."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request


def metrics(**totals: int) -> ExportMetricsServiceRequest:
    """A request with a sum for each name, by `letta.run.status`: `letta__runs=3` is 3 completed."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    for name, value in totals.items():
        metric = scope.metrics.add(name=name.replace("__", "."), unit="{run}")
        metric.sum.data_points.add(as_int=value, attributes=pairs({"letta.run.status": "completed"}))
    return request


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
    return AnyValue(string_value=value)
