"""Each receiver's own answer → spans and points in one form.

ddapm-test-agent shows OTLP as protobuf's JSON with the original field names: ids in base64, 64-bit numbers as text,
zero values left out. Phoenix shows its own REST form, times to the microsecond.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from real.seen import Point, SeenEvent, SeenSpan

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def otlp_span(span: Mapping[str, Any]) -> SeenSpan:
    """One span of an ExportTraceServiceRequest as ddapm shows it."""
    status = span.get("status") or {}
    return SeenSpan(
        trace_id=_hex(span["trace_id"]),
        span_id=_hex(span["span_id"]),
        parent_id=_hex(span.get("parent_span_id", "")),
        name=span["name"],
        kind=span.get("kind", "").removeprefix("SPAN_KIND_").lower(),
        start_ns=int(span["start_time_unix_nano"]),
        end_ns=int(span["end_time_unix_nano"]),
        status=status.get("code", "STATUS_CODE_UNSET").removeprefix("STATUS_CODE_").lower(),
        status_message=status.get("message", ""),
        attributes=otlp_attributes(span.get("attributes", ())),
    )


def otlp_event(record: Mapping[str, Any]) -> SeenEvent:
    """One log record of an ExportLogsServiceRequest as ddapm shows it; its severity is the name of OTLP's number."""
    return SeenEvent(
        name=record.get("event_name", ""),
        trace_id=_hex(record["trace_id"]),
        span_id=_hex(record["span_id"]),
        severity=record.get("severity_number", ""),
        attributes=otlp_attributes(record.get("attributes", ())),
    )


def otlp_points(metric: Mapping[str, Any]) -> Iterator[Point]:
    """The points of one metric of an ExportMetricsServiceRequest as ddapm shows it; of a histogram its sum."""
    for shape in ("sum", "gauge", "histogram"):
        for point in metric.get(shape, {}).get("data_points", ()):
            attributes = otlp_attributes(point.get("attributes", ()))
            yield Point(
                metric=metric["name"],
                attributes=tuple(sorted((name, str(value)) for name, value in attributes.items())),
                start_ns=int(point.get("start_time_unix_nano", 0)),
                time_ns=int(point["time_unix_nano"]),
                value=float(point.get("as_int") or point.get("as_double") or point.get("sum") or 0),
                cumulative=metric[shape].get("aggregation_temporality") == "AGGREGATION_TEMPORALITY_CUMULATIVE",
            )


def otlp_attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """OTLP's key-value list as a dictionary."""
    return {pair["key"]: _value(pair.get("value") or {}) for pair in pairs}


def phoenix_span(span: Mapping[str, Any]) -> SeenSpan:
    """One span of GET /v1/projects/{project}/spans; its `span_kind` is not OTLP's and is left out."""
    return SeenSpan(
        trace_id=span["context"]["trace_id"],
        span_id=span["context"]["span_id"],
        parent_id=span["parent_id"] or "",
        name=span["name"],
        kind="",
        start_ns=_nanoseconds(span["start_time"]),
        end_ns=_nanoseconds(span["end_time"]),
        status=span["status_code"].lower(),
        status_message=span["status_message"],
        attributes=span["attributes"],
    )


def _hex(base64_text: str) -> str:
    return base64.b64decode(base64_text).hex()


def _value(value: Mapping[str, Any]) -> Any:
    if "int_value" in value:
        return int(value["int_value"])
    if "array_value" in value:
        return tuple(_value(item) for item in value["array_value"].get("values", ()))
    return next(iter(value.values()), None)


def _nanoseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1) * 1000
