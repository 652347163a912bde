"""The bridge with the official exporter: its spans as ReadableSpan, encoded and POSTed by the exporter's own parts.

All else is the bridge's, the ledger included, so what differs from `ours` is the way out alone. The exporter's answer
is a yes or a no, without what a backend really said; the bytes are made by the exporter's encoder.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from benchmarks.contestants.measure import arguments, measured
from benchmarks.contestants.ours import follow, settings_of
from bridge import __version__
from bridge.app import service as wiring
from bridge.app.parts import backend, sender
from bridge.clock import Clock
from bridge.export.answers import Accepted, Answer, Retryable, Signal, Sink
from bridge.log import configure
from bridge.map.telemetry import Span
from bridge.resource import resource
from bridge.settings import Settings
from bridge.sweep.sender import Sender

_MOST = 512  # spans in one request, as BatchSpanProcessor sends them
_SCOPE = InstrumentationScope("letta-otel-bridge", __version__)
_KINDS = {1: SpanKind.INTERNAL, 3: SpanKind.CLIENT}


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """The bridge's span as the SDK's."""
    parent = _context(span.trace_id, span.parent_id) if span.parent_id else None
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(event.name, event.attributes, event.time_ns) for event in span.events],
        links=[Link(_context(link.trace_id, link.span_id), link.attributes) for link in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode(span.status), span.status_message or None),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), is_remote=False)


def encoded(spans: Iterable[Span], *, resource: Resource) -> tuple[bytes, ...]:
    """Requests of at most as many spans as the SDK's processor would send at once."""
    all_ = [readable(span, resource) for span in spans]
    parts = (all_[first : first + _MOST] for first in range(0, len(all_), _MOST))
    return tuple(encode_spans(part).SerializePartialToString() for part in parts)


class OfficialSink:
    """The official exporter's HTTP side for spans; the bridge's for all else."""

    def __init__(self, url: str, rest: Sink) -> None:
        self._exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
        self._rest = rest

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Hand over one request."""
        if signal is not Signal.TRACES:
            return await self._rest.send(signal, payload)
        result = await asyncio.to_thread(self._exporter._client.export, payload)  # noqa: SLF001 - the encoded half
        return Accepted() if result.success else Retryable(str(result.error))

    async def close(self) -> None:
        """Close both."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        await self._rest.close()


@contextmanager
def official_way_out(url: str) -> Iterator[None]:
    """Wire the service with the official exporter while this lasts."""

    def with_sink(settings: Settings, clock: Clock) -> OfficialSink:
        return OfficialSink(url, backend(settings, clock))

    def with_encoder(settings: Settings, *parts: Any, **more: Any) -> Sender:
        made = sender(settings, *parts, **more)
        made._encode = partial(encoded, resource=resource(settings))  # noqa: SLF001 - all else stays as it is
        return made

    with patch.multiple(wiring, backend=with_sink, sender=with_encoder):
        yield


def main() -> None:
    """Send everything, and tell what it took."""
    task = arguments()
    configure(level="error")
    with tempfile.TemporaryDirectory() as folder, official_way_out(task.otlp):
        settings = settings_of(task.letta, task.otlp, Path(folder) / "ledger", durations=task.durations)
        with measured(task):
            asyncio.run(follow(settings, task.runs))


if __name__ == "__main__":
    main()
