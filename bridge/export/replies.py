"""Pure reading of what OTLP backends put into the bodies of their answers.

Success bodies vary: the protobuf that the specification asks for, the same as JSON under any content type, `{}`,
`{"ok":1}`, nothing at all. All of these are a yes. A body that is none of them (a page, a plain word) came from
something that is no OTLP endpoint, and then nothing was delivered whatever the status said.
"""

from __future__ import annotations

import re

from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Signal
from bridge.plain import one_line

# Tells protobuf from text, whose content types are often wrong: every field of an answer has such a byte in it, while
# a word such as "hi" would pass for protobuf with a field yet unknown.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def success(signal: Signal, body: bytes, *, address: str) -> Answer:
    """What a body under a success status says: Accepted, PartlyRejected, or Denied where it is no OTLP answer."""
    try:
        rejected, message = _partial_success(signal, body)
    except ValueError:
        said = "a web page" if body.lstrip().startswith(b"<") else repr(one_line(body.decode(errors="replace")))
        return Denied(f"{address} is no OTLP endpoint, it answered success with {said}: check the URL")
    if rejected > 0:
        return PartlyRejected(rejected, one_line(message) or "no reason given")
    return Accepted(one_line(message))


def refusal(body: bytes) -> str:
    """The reason in the body of a failure: the message of its google.rpc.Status, else its text; empty for a page."""
    try:
        message = Status.FromString(body).message
    except DecodeError:
        message = ""
    text = message or body.decode(errors="replace").strip()
    return "" if text.startswith("<") else one_line(text)


def _partial_success(signal: Signal, body: bytes) -> tuple[int, str]:
    """(how many were rejected, the message); raises ValueError where the body is neither protobuf nor JSON."""
    if signal is Signal.METRICS:
        metrics = ExportMetricsServiceResponse()
        _parse(body, metrics)
        return metrics.partial_success.rejected_data_points, metrics.partial_success.error_message
    if signal is Signal.LOGS:
        logs = ExportLogsServiceResponse()
        _parse(body, logs)
        return logs.partial_success.rejected_log_records, logs.partial_success.error_message
    traces = ExportTraceServiceResponse()
    _parse(body, traces)
    return traces.partial_success.rejected_spans, traces.partial_success.error_message


def _parse(body: bytes, into: Message) -> None:
    if _CONTROL.search(body):
        _parse_protobuf(body, into)
    elif body.strip():
        _parse_json(body, into)


def _parse_protobuf(body: bytes, into: Message) -> None:
    try:
        into.ParseFromString(body)
    except DecodeError as error:
        raise ValueError("not an OTLP answer") from error


def _parse_json(body: bytes, into: Message) -> None:
    from google.protobuf import json_format  # noqa: PLC0415 - a tenth of a MB: most backends answer in protobuf

    try:
        json_format.Parse(body, into, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not an OTLP answer") from error
