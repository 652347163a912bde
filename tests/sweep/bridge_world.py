"""A whole bridge against the stand-in, with a clock that stands still until a test turns it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge import app
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.export.answers import Accepted, Answer, Signal
from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_ledger
from bridge.observe import SelfMetrics
from bridge.service import Service
from bridge.settings import load
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource

START = 1_800_000_000.0
TICK = 5.0


class HandClock:
    """Turned by the test alone."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class LettasClock:
    """The server's own clock: ahead of the bridge's by so many seconds."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.ahead = 0.0

    def now(self) -> float:
        return self._clock.time + self.ahead

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class DatedTransport(httpx.AsyncBaseTransport):
    """The stand-in without a network, and with the Date header that a web server adds."""

    def __init__(self, letta: StandIn, clock: LettasClock) -> None:
        self._inner = httpx.ASGITransport(letta.app, raise_app_exceptions=False)
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        response.headers["date"] = formatdate(self._clock.now(), usegmt=True)
        return response


class RecordingSink:
    """A backend that says what the test tells it to, and remembers every request."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], Answer] = lambda _payload: Accepted()
        self.answer_logs: Callable[[bytes], Answer] = lambda _payload: Accepted()
        self.answer_metrics: Callable[[bytes], Answer] = lambda _payload: Accepted()
        self.requests: list[bytes] = []
        self.log_requests: list[bytes] = []
        self.metric_requests: list[bytes] = []
        self.accepted: list[Span] = []
        self.events: list[LogRecord] = []

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        if signal is Signal.LOGS:
            return self._take_logs(payload)
        if signal is Signal.METRICS:
            self.metric_requests.append(payload)
            return self.answer_metrics(payload)
        assert signal is Signal.TRACES
        self.requests.append(payload)
        answer = self.answer(payload)
        if isinstance(answer, Accepted):
            self.accepted += spans_in(payload)
        return answer

    def _take_logs(self, payload: bytes) -> Answer:
        self.log_requests.append(payload)
        answer = self.answer_logs(payload)
        if isinstance(answer, Accepted):
            self.events += events_in(payload)
        return answer

    async def close(self) -> None:
        pass


def spans_in(payload: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(payload)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def events_in(payload: bytes) -> list[LogRecord]:
    request = ExportLogsServiceRequest.FromString(payload)
    return [record for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records]


def attribute(span: Span, name: str) -> Any:
    for pair in span.attributes:
        if pair.key == name:
            return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
    return None


class World:
    """Letta, the backend, the disk and the clock; `bridge` opens a process between them.

    `wrap_transport` is where faults go between the bridge and Letta: it is given the way to the stand-in, and returns
    the way to use instead; None is the network, to where LETTA_BASE_URL of `environ` points.
    """

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.lettas_clock = LettasClock(self.clock)
        self.store = Store(self.lettas_clock)
        self.letta = StandIn(self.store)
        self.sink = RecordingSink()
        self.requests: list[str] = []
        self.wrap_transport: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport | None] = lambda it: it
        self.environ = {
            "LETTA_BASE_URL": "http://letta.test",
            "BRIDGE_START_FROM": "beginning",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "1000",
        }
        self._folder = folder

    @contextlib.asynccontextmanager
    async def bridge(self) -> AsyncIterator["Bridge"]:
        settings = load(self.environ, None)
        metrics = SelfMetrics()
        ledger = await open_ledger(
            str(self._folder / "ledger"),
            source="letta",
            destination="default",
            now=self.clock.now(),
            max_series=settings.metrics.max_series,
        )
        client = LettaClient(
            app.access(settings),
            self.clock,
            on_answer=lambda endpoint, _answer: self.requests.append(endpoint),
            transport=self.wrap_transport(DatedTransport(self.letta, self.lettas_clock)),
        )
        source = LettaSource(client, self.clock)
        service = app.assemble(
            settings, source=source, ledger=ledger, sink=self.sink, clock=self.clock, metrics=metrics
        )
        try:
            yield Bridge(self, service, ledger)
        finally:
            await client.close()
            await ledger.close()

    def spans(self, kind: str) -> list[Span]:
        """Accepted spans whose name begins with `kind`."""
        return [span for span in self.sink.accepted if span.name.split()[0] == kind]

    def delivered(self, kind: str, name: str) -> list[str]:
        """An attribute of those spans, sorted: what is there twice was delivered twice."""
        return sorted(attribute(span, name) for span in self.spans(kind))


class Bridge:
    """One process."""

    def __init__(self, world: World, service: Service, ledger: Ledger) -> None:
        self._world = world
        self.service = service
        self.ledger = ledger

    async def sweep(self, *, times: int = 1) -> None:
        for _ in range(times):
            await self.service.sweep()
            self._world.clock.time += TICK

    async def drain(self) -> None:
        """Sweep until everything is over, settled and sent; a bridge that never gets there fails the test."""
        for _ in range(200):
            played = not self._world.store.pending()
            await self.sweep()
            gauges = await self.ledger.open_runs()
            if played and not gauges.by_status:
                return
        raise AssertionError(f"still open: {gauges}")

    async def total(self, instrument: str) -> float:
        """The sum over all series of an instrument."""
        return sum(total.sum for (name, _), total in (await self.ledger.totals()).items() if name == instrument)
