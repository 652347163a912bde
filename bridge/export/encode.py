"""Spans to serialised OTLP trace requests.

The messages are filled in place, field by field: building them by constructor copies at every level and costs three
times as much. The bytes are what the official encoder makes of the same spans.

This is the last guard in front of a batch, and it never raises for what a span holds: text with lone surrogates gets
U+FFFD in their place, an integer past 64 bits becomes its decimal text, a time is held within 63 bits, and an
attribute that still does not fit is left out and counted in `dropped_attributes_count`. Ids are sent as they are: a
wrong length is the backend's to refuse, and then costs that one span alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Status as StatusMessage
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.map.telemetry import Span, SpanKind, StatusCode

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

SCOPE_NAME = "letta-otel-bridge"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"
MAX_SPANS = 512
MAX_BYTES = 3_500_000  # gRPC servers take 4 MiB by default

_KINDS = {SpanKind.INTERNAL: SpanMessage.SPAN_KIND_INTERNAL, SpanKind.CLIENT: SpanMessage.SPAN_KIND_CLIENT}
_CODES = {
    StatusCode.UNSET: StatusMessage.STATUS_CODE_UNSET,
    StatusCode.OK: StatusMessage.STATUS_CODE_OK,
    StatusCode.ERROR: StatusMessage.STATUS_CODE_ERROR,
}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK  # "it is known whether the other span is remote: it is not"
_LAST_MOMENT = 2**63 - 1  # OTLP has 64 bits, many backends store 63
_TAG_AND_LENGTH = 6  # bytes in front of a span or a level, at most


def encode_spans(spans: Iterable[Span], resource: Resource, *, version: str = __version__) -> bytes:
    """One serialised ExportTraceServiceRequest, however large."""
    request = _Request(_empty_request(resource, version))
    for span in spans:
        request.add(span)
    return request.message.SerializeToString()


def encode_batches(
    spans: Iterable[Span],
    resource: Resource,
    *,
    version: str = __version__,
    max_spans: int = MAX_SPANS,
    max_bytes: int = MAX_BYTES,
) -> tuple[bytes, ...]:
    """Serialised ExportTraceServiceRequests in the order of the spans; none where there are no spans.

    None holds more than `max_spans` spans or is longer than `max_bytes`, except that a span which is too long by
    itself goes alone.
    """
    empty = _empty_request(resource, version)
    return tuple(message.SerializeToString() for message in _batches(spans, empty, max_spans, max_bytes))


def _batches(
    spans: Iterable[Span], empty: ExportTraceServiceRequest, max_spans: int, max_bytes: int
) -> Iterator[ExportTraceServiceRequest]:
    request = _Request(empty)
    for span in spans:
        if len(request.spans) >= max_spans:
            yield request.message
            request = _Request(empty)
        request.add(span)
        if request.size > max_bytes and len(request.spans) > 1:
            last = request.take_last()
            yield request.message
            request = _Request(empty)
            request.put(last)
    if request.spans:
        yield request.message


class _Request:
    """A request that knows an upper bound of its own serialised size."""

    def __init__(self, empty: ExportTraceServiceRequest) -> None:
        self.message = ExportTraceServiceRequest()
        self.message.CopyFrom(empty)
        self.spans = self.message.resource_spans[0].scope_spans[0].spans
        self.size = empty.ByteSize() + 2 * _TAG_AND_LENGTH  # both levels' lengths take more room as they fill

    def add(self, span: Span) -> None:
        message = self.spans.add()
        _fill_span(message, span)
        self.size += message.ByteSize() + _TAG_AND_LENGTH

    def put(self, message: SpanMessage) -> None:
        self.spans.append(message)
        self.size += message.ByteSize() + _TAG_AND_LENGTH

    def take_last(self) -> SpanMessage:
        return self.spans.pop()


def _empty_request(resource: Resource, version: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    fill_resource(group.resource, resource)
    group.schema_url = resource.schema_url
    scope = group.scope_spans.add()
    fill_scope(scope.scope, version)
    scope.schema_url = SCHEMA_URL
    return request


def fill_resource(message: ResourceMessage, resource: Resource) -> None:
    """Write the attributes of a resource; the message is there even when it has none."""
    message.SetInParent()
    message.dropped_attributes_count = fill_attributes(message.attributes, resource.attributes)


def fill_scope(message: InstrumentationScope, version: str) -> None:
    """Write who made the telemetry."""
    message.name = SCOPE_NAME
    message.version = version


def _fill_span(message: SpanMessage, span: Span) -> None:
    start_ns = _moment(span.start_ns)
    message.trace_id = span.trace_id
    message.span_id = span.span_id
    message.parent_span_id = span.parent_id
    message.flags = _LOCAL
    message.name = _well_formed(span.name)
    message.kind = _KINDS[span.kind]
    message.start_time_unix_nano = start_ns
    message.end_time_unix_nano = max(start_ns, _moment(span.end_ns))
    message.dropped_attributes_count = fill_attributes(message.attributes, span.attributes)
    message.status.code = _CODES[span.status]
    message.status.message = _well_formed(span.status_message)
    if span.events:
        _fill_events(message, span)
    if span.links:
        _fill_links(message, span)


def _fill_events(message: SpanMessage, span: Span) -> None:
    for event in span.events:
        into = message.events.add()
        into.time_unix_nano = _moment(event.time_ns)
        into.name = _well_formed(event.name)
        into.dropped_attributes_count = fill_attributes(into.attributes, event.attributes)


def _fill_links(message: SpanMessage, span: Span) -> None:
    for link in span.links:
        into = message.links.add()
        into.trace_id = link.trace_id
        into.span_id = link.span_id
        into.flags = _LOCAL
        into.dropped_attributes_count = fill_attributes(into.attributes, link.attributes)


def fill_attributes(into: RepeatedCompositeFieldContainer[KeyValue], attributes: Mapping[str, object]) -> int:
    """Write attributes in their order; return how many had to be left out, repaired as far as possible."""
    dropped = 0
    for name, value in attributes.items():
        pair = into.add()
        try:
            pair.key = name
            _set(pair.value, value)
        except (TypeError, ValueError):
            if not _fill_repaired(pair, name, value):
                del into[-1]
                dropped += 1
    return dropped


def _set(target: AnyValue, value: object) -> None:
    """Write one value; raises TypeError or ValueError for what OTLP cannot hold."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, tuple | list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    else:
        raise TypeError(f"no OTLP value for {type(value).__name__}")


def _fill_repaired(pair: KeyValue, name: str, value: object) -> bool:
    pair.Clear()
    try:
        pair.key = _well_formed(name)
        _set(pair.value, _repaired(value))
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return _well_formed(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, tuple | list):
        return tuple(_repaired(item) for item in value)
    return value


def _well_formed(text: str) -> str:
    """`text` as valid UTF-8 can carry it: surrogate pairs joined, lone ones replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _moment(time_ns: int) -> int:
    return min(max(time_ns, 0), _LAST_MOMENT)
