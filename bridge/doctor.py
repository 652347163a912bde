"""`bridge doctor`: try each thing the bridge depends on, and say in one line each what is, or what to do.

Asks Letta a handful of small requests, sends the backend one probe span (`bridge.doctor`, a root of its own), and
opens the ledger without changing what it holds. Every check is made, also after one has failed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TextIO

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bridge import app
from bridge.clock import SystemClock
from bridge.errors import BridgeError, LedgerInUse
from bridge.export.answers import (
    Accepted,
    Answer,
    Denied,
    PartlyRejected,
    Refused,
    Retryable,
    Signal,
    TooLarge,
    Unsupported,
)
from bridge.export.encode import encode_spans
from bridge.export.sink import open_sink
from bridge.map.ids import span_id
from bridge.map.telemetry import Span, SpanKind
from bridge.resource import resource
from bridge.settings import Settings
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource
from bridge.source.probe import probe

_WITHOUT_LOGS: Final = "Set OTEL_LOGS_EXPORTER=none, or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT to one that takes them."

Check = Callable[[Settings], Awaitable[str]]


class _Wrong(Exception):
    """What is wrong and what to do, in one line."""


async def examine(settings: Settings, out: TextIO) -> int:
    """Print a line for each check; returns 0 when all is well, else 1."""
    good = True
    for name, check in _CHECKS.items():
        try:
            finding, mark = await check(settings), "ok"
        except (_Wrong, BridgeError) as wrong:
            finding, mark, good = str(wrong), "FAIL", False
        print(f"{mark:4} {name}: {finding}", file=out)
    return 0 if good else 1


async def _letta(settings: Settings) -> str:
    client = LettaClient(app.access(settings), SystemClock())
    try:
        found = await probe(LettaSource(client, SystemClock()))
    finally:
        await client.close()
    return f"{settings.letta.base_url} answers; {found}"


async def _traces(settings: Settings) -> str:
    return await _try(settings, Signal.TRACES, encode_spans([_probe_span()], resource(settings)), "a probe span")


async def _metrics(settings: Settings) -> str:
    return await _try(settings, Signal.METRICS, ExportMetricsServiceRequest().SerializeToString(), "an empty export")


async def _logs(settings: Settings) -> str:
    return await _try(settings, Signal.LOGS, ExportLogsServiceRequest().SerializeToString(), "an empty export")


async def _try(settings: Settings, signal: Signal, payload: bytes, what: str) -> str:
    target = app.endpoint(settings, signal)
    if target is None:
        return f"not sent over OTLP (OTEL_{signal.upper()}_EXPORTER): nothing to try"
    sink = open_sink(*(target if signal is each else None for each in Signal))
    try:
        answer = await sink.send(signal, payload)
    finally:
        await sink.close()
    if signal is Signal.LOGS and isinstance(answer, Unsupported):
        return f"the backend takes none, so they are dropped ({answer.reason}). {_WITHOUT_LOGS}"
    return _verdict(answer, target.address, what)


async def _ledger(settings: Settings) -> str:
    location, by_whom = settings.ledger.location, ""
    try:
        ledger = await app.stream_ledger(settings, location, now=time.time())
    except LedgerInUse:
        ledger, by_whom = await app.ledger_beside(settings, now=time.time()), " by the bridge that is running"
    try:
        size = await ledger.size_bytes()
        dead = await ledger.dead_letter_count()
    finally:
        await ledger.close()
    return f"{location} can be written{by_whom}; {size} bytes, {dead} dead letters"


def _probe_span() -> Span:
    now = time.time_ns()
    trace_id = now.to_bytes(16, "big")
    return Span(
        trace_id=trace_id,
        span_id=span_id(trace_id, b"doctor\0", str(now)),
        parent_id=b"",
        name="bridge.doctor",
        kind=SpanKind.INTERNAL,
        start_ns=now,
        end_ns=now + 1_000_000,
        layers=(),
    )


def _verdict(answer: Answer, address: str, what: str) -> str:
    """What the answer means for whoever set it up; the reasons name the address themselves."""
    match answer:
        case Accepted(warning):
            return f"{address} took {what}" + (f", and says: {warning}" if warning else "")
        case PartlyRejected(_, reason):
            raise _Wrong(f"{address} answered, but rejected {what}: {reason}")
        case Retryable(reason):
            raise _Wrong(f"{reason}. Is the backend running, and is OTEL_EXPORTER_OTLP_ENDPOINT right?")
        case Denied(reason) | Unsupported(reason):
            raise _Wrong(f"{reason}. Check OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL and its headers.")
        case Refused(reason) | TooLarge(reason):
            raise _Wrong(f"the backend refused {what}: {reason}")


_CHECKS: Final[dict[str, Check]] = {
    "Letta": _letta,
    "traces": _traces,
    "metrics": _metrics,
    "logs": _logs,
    "ledger": _ledger,
}
