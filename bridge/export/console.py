"""Spans, log events and metrics as text for a person, as `--dry-run` prints them: a line each, attributes below.

It shows what is in the payload that a backend would get. Whatever could move a terminal's cursor is escaped. A closed
pipe or a full disk is answered as Denied, since nobody reads on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bridge.export.answers import Accepted, Answer, Denied, Signal

_KINDS = {Span.SPAN_KIND_INTERNAL: "internal", Span.SPAN_KIND_CLIENT: "client"}


class ConsoleSink:
    """Writes to a text stream, usually standard output."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Print one request."""
        text = "".join(f"{line}\n" for line in lines(signal, payload))
        encoding = self._stream.encoding or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except OSError as error:
            return Denied(f"the output cannot be written: {error.strerror}")
        return Accepted()

    async def close(self) -> None:
        """The stream belongs to whoever opened it."""


def lines(signal: Signal, payload: bytes) -> Iterator[str]:
    """The lines of a serialised request of any signal."""
    return {Signal.TRACES: span_lines, Signal.METRICS: metric_lines, Signal.LOGS: log_lines}[signal](payload)


def span_lines(payload: bytes) -> Iterator[str]:
    """The lines of a serialised ExportTraceServiceRequest."""
    for group in ExportTraceServiceRequest.FromString(payload).resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                yield from _span(span)


def metric_lines(payload: bytes) -> Iterator[str]:
    """The lines of a serialised ExportMetricsServiceRequest."""
    for group in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                yield from _metric(metric)


def log_lines(payload: bytes) -> Iterator[str]:
    """The lines of a serialised ExportLogsServiceRequest."""
    for group in ExportLogsServiceRequest.FromString(payload).resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield from _record(record)


def _span(span: Span) -> Iterator[str]:
    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    kind = _KINDS.get(span.kind, str(span.kind))
    ids = f"trace={span.trace_id.hex()} span={span.span_id.hex()} parent={span.parent_span_id.hex() or '-'}"
    yield f"{_time(span.start_time_unix_nano)} {_plain(span.name)} {seconds:.3f}s {kind} {_status(span.status)} {ids}"
    yield from _attributes(span.attributes, "    ")
    for event in span.events:
        yield f"    event {_plain(event.name)} at {_time(event.time_unix_nano)}"
        yield from _attributes(event.attributes, "        ")
    for link in span.links:
        yield f"    link trace={link.trace_id.hex()} span={link.span_id.hex()}"
        yield from _attributes(link.attributes, "        ")


def _record(record: LogRecord) -> Iterator[str]:
    """An event without a time of its own shows when it was seen."""
    moment = _time(record.time_unix_nano or record.observed_time_unix_nano)
    ids = f"trace={record.trace_id.hex()} span={record.span_id.hex()}"
    name, severity = _plain(record.event_name), _plain(record.severity_text or "-")
    yield f"{moment} event {name} {severity} {_value(record.body)} {ids}"
    yield from _attributes(record.attributes, "    ")


def _metric(metric: Metric) -> Iterator[str]:
    for number in (*metric.sum.data_points, *metric.gauge.data_points):
        value = number.as_int if number.WhichOneof("value") == "as_int" else number.as_double
        yield f"{metric.name}{_set(number.attributes)} {value} {metric.unit}"
    for point in metric.histogram.data_points:
        yield f"{metric.name}{_set(point.attributes)} count={point.count} sum={point.sum:g} {metric.unit}"


def _status(status: Status) -> str:
    name = Status.StatusCode.Name(status.code).removeprefix("STATUS_CODE_").lower()
    return f"{name} {status.message!r}" if status.message else name


def _attributes(pairs: Iterable[KeyValue], indent: str) -> Iterator[str]:
    return (f"{indent}{_plain(pair.key)} = {_value(pair.value)}" for pair in pairs)


def _set(pairs: Iterable[KeyValue]) -> str:
    return "{" + ", ".join(f"{_plain(pair.key)}={_value(pair.value)}" for pair in pairs) + "}"


def _value(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return "[" + ", ".join(_value(item) for item in value.array_value.values) + "]"
    return repr(getattr(value, kind)) if kind else "-"


def _plain(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _time(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"
