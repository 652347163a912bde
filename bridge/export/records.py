"""The records within a serialised request of spans or of log events, and requests with fewer of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.export.answers import Signal
from bridge.export.wire import count_records

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

Request = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
Record = Span | LogRecord

_REQUESTS: dict[Signal, type[Request]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


def parsed(signal: Signal, payload: bytes) -> Request:
    """The request that `payload` is; raises DecodeError where it is none."""
    return _REQUESTS[signal].FromString(payload)


def records(signal: Signal, payload: bytes) -> Sequence[Record]:
    """The spans or log records of a request, in their order."""
    return [record for scope in _scopes(parsed(signal, payload)) for record in scope]


def count(signal: Signal, payload: bytes) -> int:
    """How many there are; raises DecodeError where the request is none."""
    try:
        return count_records(payload)
    except ValueError:
        return len(records(signal, payload))


def part(signal: Signal, payload: bytes, start: int, stop: int) -> bytes:
    """The same request with only the records from `start` up to `stop`, each as it was."""
    request = parsed(signal, payload)
    first = 0
    for scope in _scopes(request):
        count = len(scope)
        del scope[max(0, stop - first) :]
        del scope[: max(0, start - first)]
        first += count
    return request.SerializeToString()


def empty(signal: Signal, payload: bytes) -> bytes:
    """The same request, its resource and scope included, without a record."""
    return part(signal, payload, 0, 0)


def _scopes(request: Request) -> Iterator[RepeatedCompositeFieldContainer[Any]]:
    if isinstance(request, ExportTraceServiceRequest):
        return (scope.spans for group in request.resource_spans for scope in group.scope_spans)
    assert isinstance(request, ExportLogsServiceRequest), "metric points are not told apart"
    return (scope.log_records for group in request.resource_logs for scope in group.scope_logs)
