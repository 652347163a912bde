"""Spans and log events to send."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource

from bridge.export.encode import encode_spans
from bridge.export.logs import encode_log_batches
from bridge.map.telemetry import Attributes, Event, Link, LogEvent, Span, SpanKind, StatusCode

START = 1_760_000_000_000_000_000
RESOURCE = Resource({"service.name": "letta", "host.cpus": 2, "tags": ("a", "b")}, "https://example.test/schema")


def span(number: int = 1, **changes: Any) -> Span:
    """A plain span whose ids follow from its number."""
    fields: dict[str, Any] = {
        "trace_id": (number // 10 + 1).to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_id": b"",
        "name": f"chat {number}",
        "kind": SpanKind.CLIENT,
        "start_ns": START,
        "end_ns": START + number * 1_000_000,
        "attributes": {"letta.step.id": f"step-{number}"},
        **changes,
    }
    return Span(layers=(fields.pop("attributes"),), **fields)


def rich_span() -> Span:
    """A span that uses every field."""
    attributes: Attributes = {
        "text": "naïve ☃ 😀",
        "yes": True,
        "count": -(2**63),
        "ratio": 0.25,
        "list": ("stop", ""),
        "nothing": (),
        "empty": "",
    }
    return span(
        7,
        parent_id=b"parent##",
        name="chat gpt-4o",
        attributes=attributes,
        status=StatusCode.ERROR,
        status_message="overloaded",
        events=(Event("exception", START + 5, {"exception.type": "LLMServerError"}), Event("bare", START + 6)),
        links=(Link(b"t" * 16, b"s" * 8, {"why": "approval"}), Link(b"u" * 16, b"v" * 8)),
    )


def payload(count: int) -> bytes:
    """A request of spans 1 to `count`."""
    return encode_spans([span(number) for number in range(1, count + 1)], RESOURCE)


def log_event(number: int = 1, **changes: Any) -> LogEvent:
    """A plain log event about span `number`."""
    fields: dict[str, Any] = {
        "name": "letta.run.changed",
        "time_ns": 0,
        "observed_ns": START + number,
        "trace_id": (number // 10 + 1).to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "severity": 9,
        "body": f"run {number} changed",
        "attributes": {"letta.run.id": f"run-{number}"},
        **changes,
    }
    return LogEvent(**fields)


def log_payload(count: int) -> bytes:
    """A request of log events 1 to `count`."""
    events = [log_event(number) for number in range(1, count + 1)]
    (request,) = encode_log_batches(events, RESOURCE, max_events=count)
    return request
