from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from export_samples import RESOURCE, log_payload, payload, rich_span
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.export.answers import Accepted, Denied, Retryable, Signal
from bridge.export.encode import encode_spans
from bridge.export.file import FileSink
from bridge.export.gauges import gauge_points
from bridge.export.metrics import metrics_request
from bridge.ledger.figures import OpenRuns


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def spans(line: Any) -> Any:
    return line["resourceSpans"][0]["scopeSpans"][0].get("spans", [])


def first_span(line: Any) -> Any:
    return spans(line)[0]


async def test_one_request_a_line_appended(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text('{"resourceSpans":[]}\n')
    sink = FileSink(path)
    assert await sink.send(Signal.TRACES, payload(2)) == Accepted()
    assert await sink.send(Signal.TRACES, payload(1)) == Accepted()
    assert [len(line["resourceSpans"]) for line in lines(path)] == [0, 1, 1]
    assert path.read_bytes().endswith(b"}\n")


async def test_the_form_is_otlp_json(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    await FileSink(path).send(Signal.TRACES, encode_spans([rich_span()], RESOURCE))
    span = first_span(lines(path)[0])
    original = rich_span()
    assert (span["traceId"], span["spanId"]) == (original.trace_id.hex(), original.span_id.hex())
    assert span["parentSpanId"] == original.parent_id.hex()
    assert [(link["traceId"], link["spanId"]) for link in span["links"]] == [
        (link.trace_id.hex(), link.span_id.hex()) for link in original.links
    ]
    assert span["startTimeUnixNano"] == str(original.start_ns)
    assert (span["kind"], span["status"]["code"]) == (3, 2)
    assert span["attributes"][2] == {"key": "count", "value": {"intValue": str(-(2**63))}}


async def test_nothing_is_lost_in_the_form(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    original = encode_spans([rich_span()], RESOURCE)
    await FileSink(path).send(Signal.TRACES, original)
    (line,) = lines(path)
    for carrier in (first_span(line), *first_span(line)["links"]):
        for name in {"traceId", "spanId", "parentSpanId"} & carrier.keys():
            carrier[name] = base64.b64encode(bytes.fromhex(carrier[name])).decode()
    assert json_format.ParseDict(line, ExportTraceServiceRequest()).SerializeToString() == original


async def test_metrics_go_into_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    nothing = OpenRuns(by_status={}, oldest_created_ns=None, awaiting_approval=3)
    await FileSink(path).send(
        Signal.METRICS,
        metrics_request({}, gauge_points(nothing, (), now_ns=2), now_ns=2, resource=RESOURCE).SerializeToString(),
    )
    metrics = lines(path)[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert metrics[-1]["gauge"]["dataPoints"][0]["asInt"] == "3"


async def test_log_events_go_into_the_same_file_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    await FileSink(path).send(Signal.LOGS, log_payload(2))
    (line,) = lines(path)
    records = line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [(record["traceId"], record["spanId"]) for record in records] == [
        (f"{1:032x}", f"{1:016x}"),
        (f"{1:032x}", f"{2:016x}"),
    ]
    assert (records[0]["eventName"], records[0]["severityNumber"]) == ("letta.run.changed", 9)
    for record in records:
        record |= {name: base64.b64encode(bytes.fromhex(record[name])).decode() for name in ("traceId", "spanId")}
    assert json_format.ParseDict(line, ExportLogsServiceRequest()).SerializeToString() == log_payload(2)


async def test_two_sinks_of_one_file_do_not_write_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    sinks = [FileSink(path), FileSink(path)]
    await asyncio.gather(*(sinks[number % 2].send(Signal.TRACES, payload(number)) for number in range(1, 41)))
    assert sorted(len(spans(line)) for line in lines(path)) == list(range(1, 41))


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    await FileSink(path).send(Signal.TRACES, payload(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_half_a_line_left_by_a_crash_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text('{"resourceSpans":[{"sco')
    await FileSink(path).send(Signal.TRACES, payload(1))
    half, whole = path.read_text().splitlines()
    assert half == '{"resourceSpans":[{"sco'
    assert first_span(json.loads(whole))["name"] == "chat 1"


async def test_a_line_is_accepted_only_when_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.jsonl"
    sink = FileSink(path)
    assert await sink.send(Signal.TRACES, payload(1)) == Accepted()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answer = await sink.send(Signal.TRACES, payload(2))
    assert answer == Retryable(f"{path} could not be written: No space left on device")
    assert len(lines(path)) == 1
    assert await sink.send(Signal.TRACES, payload(2)) == Accepted()
    assert len(lines(path)) == 2


async def test_a_full_disk_is_retryable() -> None:
    answer = await FileSink(Path("/dev/full")).send(Signal.TRACES, payload(1))
    assert answer == Retryable("/dev/full could not be written: No space left on device")


async def test_a_path_that_cannot_be_written_is_denied(tmp_path: Path) -> None:
    answer = await FileSink(tmp_path / "missing" / "spans.jsonl").send(Signal.TRACES, payload(1))
    assert answer == Denied(f"{tmp_path}/missing/spans.jsonl cannot be written: No such file or directory")
    assert isinstance(await FileSink(tmp_path).send(Signal.TRACES, payload(1)), Denied)
