"""Log events to serialised OTLP logs requests; the bytes are what the official encoder makes of the same records.

It never raises for what an event holds: see `bridge.export.fields`. A severity that OTLP does not know is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogRecordFlags, SeverityNumber
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.export.batches import MAX_BYTES, MAX_RECORDS, batches, layout
from bridge.export.fields import fill_attributes, moment, well_formed
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
    made = layout(_encoded, resource, version=version, per_agent=per_agent)
    return tuple(batches(events, made, max_records=max_events, max_bytes=max_bytes))


def _encoded(event: LogEvent) -> bytes:
    record = LogRecord()
    _fill_record(record, event)
    return record.SerializeToString()


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
