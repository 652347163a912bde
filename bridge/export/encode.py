"""Spans to serialised OTLP trace requests; the bytes are what the official encoder makes of the same spans.

It never raises for what a span holds: see `bridge.export.fields`. Ids are sent as they are: a wrong length is the
backend's to refuse, and then costs that one span alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Status as StatusMessage
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.export.batches import MAX_BYTES, MAX_RECORDS, batches, layout
from bridge.export.fields import fill_attributes, moment, well_formed
from bridge.export.wire import plain_span
from bridge.map.telemetry import Span, SpanKind, StatusCode

_KINDS = {SpanKind.INTERNAL: SpanMessage.SPAN_KIND_INTERNAL, SpanKind.CLIENT: SpanMessage.SPAN_KIND_CLIENT}
_CODES = {
    StatusCode.UNSET: StatusMessage.STATUS_CODE_UNSET,
    StatusCode.OK: StatusMessage.STATUS_CODE_OK,
    StatusCode.ERROR: StatusMessage.STATUS_CODE_ERROR,
}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK  # "it is known whether the other span is remote: it is not"


def encode_spans(
    spans: Iterable[Span], resource: Resource, *, version: str = __version__, per_agent: bool = False
) -> bytes:
    """One serialised ExportTraceServiceRequest, however large."""
    made = layout(encoded, resource, version=version, per_agent=per_agent)
    return b"".join(batches(spans, made, max_records=sys.maxsize, max_bytes=sys.maxsize))


def encode_batches(
    spans: Iterable[Span],
    resource: Resource,
    *,
    version: str = __version__,
    max_spans: int = MAX_RECORDS,
    max_bytes: int = MAX_BYTES,
    per_agent: bool = False,
) -> tuple[bytes, ...]:
    """Serialised ExportTraceServiceRequests in the order of the spans; none where there are no spans.

    None holds more than `max_spans` spans or is longer than `max_bytes`, except that a span which is too long by
    itself goes alone. With `per_agent` each is sent under its agent's service.
    """
    made = layout(encoded, resource, version=version, per_agent=per_agent)
    return tuple(batches(spans, made, max_records=max_spans, max_bytes=max_bytes))


def encoded(span: Span) -> bytes:
    """One span's message."""
    plain = plain_span(span)
    return plain if plain is not None else encoded_by_messages(span)


def encoded_by_messages(span: Span) -> bytes:
    """The same, whatever the span holds; repaired as far as possible."""
    message = SpanMessage()
    _fill_span(message, span)
    return message.SerializeToString()


def _fill_span(message: SpanMessage, span: Span) -> None:
    start_ns = moment(span.start_ns)
    message.trace_id = span.trace_id
    message.span_id = span.span_id
    message.parent_span_id = span.parent_id
    message.flags = _LOCAL
    message.name = well_formed(span.name)
    message.kind = _KINDS[span.kind]
    message.start_time_unix_nano = start_ns
    message.end_time_unix_nano = max(start_ns, moment(span.end_ns))
    message.dropped_attributes_count = fill_attributes(message.attributes, span.attributes)
    message.status.code = _CODES[span.status]
    message.status.message = well_formed(span.status_message)
    if span.events:
        _fill_events(message, span)
    if span.links:
        _fill_links(message, span)


def _fill_events(message: SpanMessage, span: Span) -> None:
    for event in span.events:
        into = message.events.add()
        into.time_unix_nano = moment(event.time_ns)
        into.name = well_formed(event.name)
        into.dropped_attributes_count = fill_attributes(into.attributes, event.attributes)


def _fill_links(message: SpanMessage, span: Span) -> None:
    for link in span.links:
        into = message.links.add()
        into.trace_id = link.trace_id
        into.span_id = link.span_id
        into.flags = _LOCAL
        into.dropped_attributes_count = fill_attributes(into.attributes, link.attributes)
