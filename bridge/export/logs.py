"""Log events to serialised OTLP logs requests; the bytes are what the official encoder makes of the same records.

It never raises for what an event holds: see `bridge.export.fields`. A severity that OTLP does not know is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from operator import attrgetter

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogRecordFlags, ResourceLogs, SeverityNumber
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.export.batches import MAX_BYTES, MAX_RECORDS, Layout, batches
from bridge.export.fields import SCHEMA_URL, fill_attributes, fill_resource, fill_scope, moment, well_formed
from bridge.export.services import of_agent, of_deployment, resource_of
from bridge.map.telemetry import LogEvent

# The eight trace flags of W3C: the span that the event is about is recorded.
_SAMPLED = 1 & LogRecordFlags.LOG_RECORD_FLAGS_TRACE_FLAGS_MASK


def encode_log_batches(
    events: Iterable[LogEvent],
    resource: Resource,
    *,
    version: str = __version__,
    max_events: int = MAX_RECORDS,
    max_bytes: int = MAX_BYTES,
    per_agent: bool = False,
) -> tuple[bytes, ...]:
    """Serialised ExportLogsServiceRequests in the order of the events; none where there are no events.

    None holds more than `max_events` events or is longer than `max_bytes`, except that an event which is too long by
    itself goes alone. With `per_agent` each is sent under its agent's service.
    """
    layout = _layout(resource, version, per_agent=per_agent)
    return tuple(batches(events, layout, max_records=max_events, max_bytes=max_bytes))


def _layout(resource: Resource, version: str, *, per_agent: bool) -> Layout[LogEvent]:
    return Layout(
        request=ExportLogsServiceRequest,
        groups=attrgetter("resource_logs"),
        records=lambda group: group.scope_logs[0].log_records,
        service=of_agent if per_agent else of_deployment,
        header=cache(lambda service: _header(resource_of(service, resource), version)),
        fill=_fill_record,
    )


def _header(resource: Resource, version: str) -> ResourceLogs:
    group = ResourceLogs()
    fill_resource(group.resource, resource)
    group.schema_url = resource.schema_url
    scope = group.scope_logs.add()
    fill_scope(scope.scope, version)
    scope.schema_url = SCHEMA_URL
    return group


def _fill_record(record: LogRecord, event: LogEvent) -> None:
    record.time_unix_nano = moment(event.time_ns)
    record.observed_time_unix_nano = moment(event.observed_ns)
    record.event_name = well_formed(event.name)
    if event.severity in SeverityNumber.values():
        record.severity_number = SeverityNumber.ValueType(event.severity)
        record.severity_text = SeverityNumber.Name(record.severity_number).removeprefix("SEVERITY_NUMBER_")
    record.body.string_value = well_formed(event.body)
    record.dropped_attributes_count = fill_attributes(record.attributes, event.attributes)
    record.trace_id = event.trace_id
    record.span_id = event.span_id
    record.flags = _SAMPLED
