from __future__ import annotations

from collections.abc import Sequence

import pytest
from export_samples import RESOURCE, START, log_event
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as official_encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from receivers import log_records_of

from bridge.export.fields import SCHEMA_URL
from bridge.export.logs import encode_log_batches
from bridge.map.telemetry import LogEvent

RICH = log_event(
    7,
    name="gen_ai.evaluation.result",
    time_ns=START,
    observed_ns=START + 5,
    trace_id=b"trace-id-16bytes",
    span_id=b"span-id8",
    severity=13,
    body="naïve ☃ 😀",
    attributes={"yes": True, "count": -(2**63), "ratio": 0.25, "list": ("stop", ""), "nothing": (), "empty": ""},
)


def official(events: Sequence[LogEvent], resource: Resource) -> bytes:
    scope = InstrumentationScope("letta-otel-bridge", "1.2.3", SCHEMA_URL)
    return official_encode_logs([as_sdk(event, resource, scope) for event in events]).SerializeToString()


def as_sdk(event: LogEvent, resource: Resource, scope: InstrumentationScope) -> ReadableLogRecord:
    trace_id, span_id = (int.from_bytes(id_, "big") for id_ in (event.trace_id, event.span_id))
    context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    record = LogRecord(
        timestamp=event.time_ns,
        observed_timestamp=event.observed_ns,
        context=set_span_in_context(NonRecordingSpan(context)),
        severity_text=SeverityNumber(event.severity).name,
        severity_number=SeverityNumber(event.severity),
        body=event.body,
        attributes=event.attributes,
        event_name=event.name,
    )
    return ReadableLogRecord(record, resource, scope)


@pytest.mark.parametrize("severity", [9, 10, 13, 17, 24])
def test_the_bytes_are_those_of_the_official_encoder(severity: int) -> None:
    events = [RICH, log_event(8, severity=severity), log_event(9, attributes={})]
    assert encode_log_batches(events, RESOURCE, version="1.2.3") == (official(events, RESOURCE),)


def test_nothing_to_send_is_no_batch() -> None:
    assert encode_log_batches([], RESOURCE) == ()


def test_batches_are_capped_by_count_and_keep_the_order() -> None:
    batches = encode_log_batches((log_event(number) for number in range(1, 8)), RESOURCE, max_events=3)
    assert [[record.body.string_value for record in log_records_of(batch)] for batch in batches] == [
        ["run 1 changed", "run 2 changed", "run 3 changed"],
        ["run 4 changed", "run 5 changed", "run 6 changed"],
        ["run 7 changed"],
    ]


@pytest.mark.parametrize("max_bytes", [500, 1_000, 20_000])
def test_batches_are_capped_by_bytes_and_lose_nothing(max_bytes: int) -> None:
    events = [log_event(number, body=f"{number} " + "x" * (number * 37 % 150)) for number in range(1, 60)]
    batches = encode_log_batches(events, RESOURCE, max_bytes=max_bytes)
    assert max(len(batch) for batch in batches) <= max_bytes
    bodies = [record.body.string_value for batch in batches for record in log_records_of(batch)]
    assert bodies == [event.body for event in events]


def test_an_event_too_long_by_itself_goes_alone() -> None:
    events = [log_event(1), log_event(2, body="x" * 5_000), log_event(3)]
    batches = encode_log_batches(events, RESOURCE, max_bytes=1_000)
    assert [len(log_records_of(batch)) for batch in batches] == [1, 1, 1]


def test_each_batch_carries_the_resource_and_the_scope() -> None:
    for batch in encode_log_batches([log_event(1), log_event(2)], RESOURCE, max_events=1):
        group = ExportLogsServiceRequest.FromString(batch).resource_logs[0]
        assert [pair.key for pair in group.resource.attributes] == ["service.name", "host.cpus", "tags"]
        assert group.schema_url == "https://example.test/schema"
        assert group.scope_logs[0].scope.name == "letta-otel-bridge"
        assert group.scope_logs[0].schema_url == "https://opentelemetry.io/schemas/1.41.1"


def test_an_event_without_a_time_of_its_own_has_the_time_it_was_seen() -> None:
    (record,) = log_records_of(encode_log_batches([log_event(1, time_ns=0)], RESOURCE)[0])
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (0, START + 1)


def test_nothing_in_an_event_makes_it_raise() -> None:
    bad = "a\ud800b"
    attributes = {"big": 2**70, "no": None, bad: bad}
    odd = log_event(name=bad, body=bad, severity=99, time_ns=2**70, observed_ns=-1, attributes=attributes)
    (record,) = log_records_of(encode_log_batches([odd], RESOURCE)[0])
    assert record.event_name == record.body.string_value == "a�b"
    assert (record.severity_number, record.severity_text) == (0, "")
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (2**63 - 1, 0)
    kept = [(pair.key, pair.value.string_value) for pair in record.attributes]
    assert kept == [("big", str(2**70)), ("a�b", "a�b")]
    assert record.dropped_attributes_count == 1
