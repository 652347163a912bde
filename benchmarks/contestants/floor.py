"""What cannot be left out: fetch each page once, parse it, and POST ready-made bytes, with the bridge's own clients.

No span is made, nothing is decided, remembered or counted. The requests are the fewest that show everything: the run
list in pages of 1,000, one page of steps and one of messages a run, and with durations one request a step.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.contestants.measure import arguments, measured
from benchmarks.contestants.ours import settings_of
from bridge.app import access, endpoint
from bridge.clock import SystemClock
from bridge.export.answers import Accepted, Signal
from bridge.export.http import HttpSender
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource

if TYPE_CHECKING:
    import httpx

_CONCURRENCY = 4


async def run(task: argparse.Namespace, payload: bytes, transport: httpx.AsyncBaseTransport | None) -> None:
    """Fetch and parse it all, by the bridge's own HTTP client or another, and POST as often as was asked for."""
    clock = SystemClock()
    settings = settings_of(task.letta, task.otlp, durations=task.durations)
    client = LettaClient(access(settings), clock, transport=transport)
    source = LettaSource(client, clock)
    to = endpoint(settings, Signal.TRACES)
    assert to
    sender = HttpSender(Signal.TRACES, to, clock)
    cursor = None
    while page := await source.runs_before(cursor, 1000):
        queue = iter([run.id for run in page])
        await asyncio.gather(*(_read(source, queue, durations=task.durations) for _ in range(_CONCURRENCY)))
        cursor = page[-1] if len(page) == 1000 else None
        if cursor is None:
            break
    for _ in range(task.posts):
        assert await sender.send(payload) == Accepted()
    await sender.close()
    await client.close()


async def _read(source: LettaSource, queue: Iterator[str], *, durations: bool) -> None:
    for run_id in queue:
        after, more = None, True
        while more:
            page, more = await source.steps(run_id, after)
            after = page.last
            if durations:
                for step in page.items:
                    await source.step_metrics(step.id)
        after, more = None, True
        while more:
            messages = await source.messages(run_id, after)
            after, more = (messages[-1].id, True) if len(messages) == 1000 else (None, False)


def ready(spans: int, length: int) -> bytes:
    """A request of so many spans and so many bytes."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(name="ready", trace_id=bytes(16), span_id=number.to_bytes(8, "big"))
        span.attributes.add(key="letta.step.id").value.string_value = "x" * 50
    rest = max(0, length - request.ByteSize())
    if spans:
        scope.spans[0].attributes.add(key="rest").value.string_value = "x" * rest
    return request.SerializeToString()


def main(transport: httpx.AsyncBaseTransport | None = None) -> None:
    """Do it, and tell what it took."""
    task = arguments()
    payload = ready(task.post_spans, task.post_bytes)
    with measured(task):
        asyncio.run(run(task, payload, transport))


if __name__ == "__main__":
    main()
