"""The composition root: the one file that knows every concrete class."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bridge.backfill.backfill import Backfill, Patience, Requests
from bridge.backfill.patience import judge
from bridge.clock import Clock, SystemClock
from bridge.errors import LettaError, SettingsError
from bridge.export.answers import Signal, Sink
from bridge.export.console import ConsoleSink
from bridge.export.encode import encode_batches
from bridge.export.endpoint import Endpoint
from bridge.export.examples import Examples
from bridge.export.file import FileSink
from bridge.export.logs import encode_log_batches
from bridge.export.route import RoutedSink
from bridge.export.sink import open_sink
from bridge.follow.decide import Policy
from bridge.health import Health
from bridge.ledger.backfill import BackfillLedger, copied, open_backfill_ledger
from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_beside, open_ledger
from bridge.log import get_logger
from bridge.map.mapper import MapOptions
from bridge.metrics import Metrics
from bridge.observe import SelfMetrics
from bridge.resource import resource
from bridge.schedule import Schedule
from bridge.service import Service
from bridge.settings import Settings, destination, resolve
from bridge.source.client import Access, LettaClient
from bridge.source.letta import LettaSource
from bridge.sweep.discovery import Discovery
from bridge.sweep.loose import LooseSteps
from bridge.sweep.sender import Sender
from bridge.sweep.sweep import Limits, Sweep
from bridge.sweep.visit import Visitor, Wanted

_log = get_logger(__name__)

DESTINATION = "default"  # what the ledger calls the backend: there is one, and it has no name of its own yet
_LAST_EXPORT = 2.0  # seconds of the grace time that are kept for the metrics' last values
_BACKFILL_REPORTS_EVERY = 2.0  # seconds of work after which a backfill shows how far it is
_LOOKS_SHARE = 0.2  # of the request budget, at most: looks at closed runs are the least important work
_SHORTEST_PATIENCE = 60.0  # seconds that one sweep may take before it looks for new runs again


async def run(settings: Settings, *, dry_run: bool = False) -> None:
    """`bridge run`: sweep until SIGTERM or SIGINT.

    Raises:
        SettingsError: a setting turned out not to work (an address in use, a certificate that cannot be read).
        LedgerError: the storage failed.
    """
    async with open_service(settings, dry_run=dry_run) as service, _serving(settings, service):
        schedule = Schedule()
        schedule.every(settings.poll.interval, service.tick, jitter=True)
        schedule.every(settings.metrics.export_interval, service.export_metrics)
        _log.info("following", letta=settings.letta.base_url, every_seconds=settings.poll.interval)
        last_export = min(_LAST_EXPORT, settings.serve.grace / 5)
        try:
            await schedule.until_stopped(grace=settings.serve.grace - last_export, on_stop=service.stop)
        except TimeoutError:
            _log.warning("the grace time is over: the sweep under way was cut off, and goes on with the next start")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(last_export):
                await service.export_metrics()
    _log.info("stopped")


async def once(settings: Settings, *, dry_run: bool = False) -> int:
    """`bridge once`: one sweep and one export of the metrics; returns the exit code.

    Raises:
        SettingsError, LedgerError: as `run`.
    """
    async with open_service(settings, dry_run=dry_run) as service:
        report = await service.sweep()
        await service.export_metrics()
    if isinstance(report.problem, LettaError):
        return 4
    if report.problem is not None:
        return 5
    return 6 if report.left else 0


@contextlib.asynccontextmanager
async def open_service(
    settings: Settings, *, dry_run: bool = False, clock: Clock | None = None
) -> AsyncIterator[Service]:
    """All parts wired and opened; closed again in reverse.

    Args:
        settings: the user's.
        dry_run: print spans instead of sending them, and remember nothing.
        clock: the machine's by default.
    """
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        ledger = await _ledger(settings, clock, stack, dry_run=dry_run)
        metrics = SelfMetrics()
        sink = ConsoleSink(sys.stdout) if dry_run else backend(settings, clock)
        stack.push_async_callback(sink.close)
        client = LettaClient(access(settings), clock, on_answer=metrics.request)
        stack.push_async_callback(client.close)
        source = LettaSource(client, clock, on_unknown_field=_report_unknown(metrics))
        yield assemble(settings, source=source, ledger=ledger, sink=sink, clock=clock, metrics=metrics)


def access(settings: Settings) -> Access:
    """How to reach the Letta server of these settings."""
    letta = settings.letta
    return Access(
        base_url=letta.base_url,
        api_key=letta.api_key.get_secret_value() if letta.api_key else None,
        project=letta.project,
        project_id=letta.project_id,
        ca_file=letta.ca_file,
        timeout=letta.timeout,
        requests_per_second=letta.requests_per_second,
    )


def endpoint(settings: Settings, signal: Signal) -> Endpoint | None:
    """Where a signal goes over OTLP; None where it does not."""
    if destination(settings.export, signal.value) != "otlp":
        return None
    return Endpoint(**asdict(resolve(settings.otlp, signal.value)))


def assemble(
    settings: Settings, *, source: LettaSource, ledger: Ledger, sink: Sink, clock: Clock, metrics: SelfMetrics
) -> Service:
    """The service out of its parts at the edges: what talks to Letta, the backend, the disk and the clock."""
    poll = settings.poll
    policy = Policy(
        settle=poll.settle,
        abandon_after=poll.abandon_after,
        stale_after=poll.stale_after,
        watch_for=poll.watch_for,
    )
    options = map_options(settings)
    of_letta = resource(settings)
    health = Health(interval=poll.interval, turned_at=clock.now())
    loose_steps = LooseSteps(source, ledger, overlap=poll.overlap, policy=policy, options=options)
    examples = Examples()
    sweep = Sweep(
        source=source,
        ledger=ledger,
        discovery=Discovery(source, ledger, metrics, overlap=poll.overlap),
        visitor=Visitor(source, ledger, wanted(settings)),
        loose_steps=loose_steps,
        sender=Sender(
            sink,
            ledger,
            partial(encode_batches, resource=of_letta, per_agent=settings.map.service_per_agent),
            partial(encode_log_batches, resource=of_letta, per_agent=settings.map.service_per_agent),
            metrics,
            examples=examples,
        ),
        clock=clock,
        policy=policy,
        options=options,
        limits=Limits(
            settings.letta.concurrency,
            max(_SHORTEST_PATIENCE, 4 * poll.interval),
            look_requests=settings.letta.requests_per_second * poll.interval * _LOOKS_SHARE,
        ),
        on_progress=lambda: health.turned(clock.now()),
    )
    return Service(
        source=source,
        ledger=ledger,
        sweep=sweep,
        loose_steps=loose_steps,
        clock=clock,
        health=health,
        metrics=Metrics(
            ledger=ledger,
            sink=sink,
            own=metrics,
            resource=of_letta,
            examples=examples,
            delta=wants_differences(settings),
            trace_url=settings.map.trace_url,
        ),
        own_metrics=metrics,
        start_from=poll.start_from,
        interval=poll.interval,
    )


@contextlib.asynccontextmanager
async def open_backfill(
    settings: Settings, *, with_metrics: bool = False, dry_run: bool = False
) -> AsyncIterator[Backfill]:
    """All parts of a backfill, wired and opened, beside a running service or alone; closed again in reverse.

    Args:
        settings: the user's.
        with_metrics: add what is sent to the totals of the service.
        dry_run: print spans instead of sending them, and remember nothing: a copy of the ledger is used.
    """
    if destination(settings.export, "traces") == "none" and not (with_metrics or dry_run):
        raise SettingsError("OTEL_TRACES_EXPORTER is none: nothing would be sent, and yet all be remembered as sent")
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        location = settings.ledger.location
        if dry_run:
            location = copied(location, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        ledger = await open_backfill_ledger(
            str(location),
            source=source_name(settings),
            destination=DESTINATION,
            now=clock.now(),
            with_metrics=with_metrics,
            max_series=settings.metrics.max_series,
        )
        stack.push_async_callback(ledger.close)
        sink = ConsoleSink(sys.stdout) if dry_run else backend(settings, clock)
        stack.push_async_callback(sink.close)
        requests = Requests()
        within = replace(access(settings), requests_per_second=settings.backfill.requests_per_second)
        client = LettaClient(within, clock, on_answer=requests)
        stack.push_async_callback(client.close)
        source = LettaSource(client, clock, on_unknown_field=_report_unknown(SelfMetrics()))
        yield assemble_backfill(settings, source=source, ledger=ledger, sink=sink, clock=clock, requests=requests)


def assemble_backfill(
    settings: Settings, *, source: LettaSource, ledger: BackfillLedger, sink: Sink, clock: Clock, requests: Requests
) -> Backfill:
    """A backfill out of its parts at the edges; a run that is sent is not looked at again."""
    poll = settings.poll
    policy = Policy(settle=poll.settle, abandon_after=poll.abandon_after, stale_after=poll.stale_after)
    options = map_options(settings)
    of_letta = resource(settings)
    sender = Sender(
        sink,
        ledger,
        partial(encode_batches, resource=of_letta, per_agent=settings.map.service_per_agent),
        partial(encode_log_batches, resource=of_letta, per_agent=settings.map.service_per_agent),
        SelfMetrics(),
    )
    sweeping = partial(
        Sweep,
        source=source,
        ledger=ledger,
        visitor=Visitor(source, ledger, wanted(settings)),
        loose_steps=LooseSteps(source, ledger, overlap=poll.overlap, policy=policy, options=options),
        sender=sender,
        clock=clock,
        policy=policy,
        options=options,
        limits=Limits(settings.letta.concurrency, _BACKFILL_REPORTS_EVERY, late=math.inf),
        on_progress=lambda: None,
        judge=judge,
    )
    return Backfill(
        source=source,
        ledger=ledger,
        sweeping=lambda walk: sweeping(discovery=walk),
        clock=clock,
        patience=Patience(policy, poll.overlap, poll.start_from, poll.interval),
        requests=requests,
    )


async def _ledger(settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, *, dry_run: bool) -> Ledger:
    location = settings.ledger.location
    if dry_run:
        location = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "dry-run.ledger"
    ledger = await stream_ledger(settings, location, now=clock.now())
    stack.push_async_callback(ledger.close)
    return ledger


async def stream_ledger(settings: Settings, location: Path, *, now: float) -> Ledger:
    """The ledger of the stream that these settings describe, for the service."""
    return await open_ledger(
        str(location),
        source=source_name(settings),
        destination=DESTINATION,
        now=now,
        max_series=settings.metrics.max_series,
    )


async def ledger_beside(settings: Settings, *, now: float) -> Ledger:
    """The same, for a command beside a running service."""
    location = str(settings.ledger.location)
    return await open_beside(
        location,
        source=source_name(settings),
        destination=DESTINATION,
        now=now,
        max_series=settings.metrics.max_series,
    )


def source_name(settings: Settings) -> str:
    """What the ledger calls the Letta server of these settings."""
    letta = settings.letta
    return "#".join(part for part in (letta.base_url, letta.project, letta.project_id) if part)


def map_options(settings: Settings) -> MapOptions:
    """The user's choices about spans."""
    return MapOptions(
        cancelled_is_error=settings.map.cancelled_is_error,
        run_metadata=frozenset(settings.map.run_metadata),
        metrics_of_agents=settings.metrics.agents,
        cost=settings.metrics.cost,
        trace_url=settings.map.trace_url,
    )


def wants_differences(settings: Settings) -> bool:
    """Whether the backend is told differences; one that is told nothing has not been told those either."""
    return settings.metrics.temporality != "cumulative" and destination(settings.export, "metrics") != "none"


def wanted(settings: Settings) -> Wanted:
    """What a visit asks for beyond the steps."""
    poll = settings.poll
    return Wanted(lengths=poll.step_durations, agent_names=poll.agent_names, settle=poll.settle)


def backend(settings: Settings, clock: Clock) -> Sink:
    """Where the signals of these settings go."""
    otlp = open_sink(*(endpoint(settings, signal) for signal in Signal), clock=clock)
    sinks: dict[Signal, Sink] = {}
    for signal in Signal:
        kind = destination(settings.export, signal.value)
        if kind == "otlp":
            sinks[signal] = otlp
        elif kind == "console":
            sinks[signal] = ConsoleSink(sys.stdout)
        elif kind == "file":
            assert settings.export.file is not None
            sinks[signal] = FileSink(settings.export.file)
    return RoutedSink(sinks)


@contextlib.asynccontextmanager
async def _serving(settings: Settings, service: Service) -> AsyncIterator[None]:
    if settings.serve.listen is None:
        yield
        return
    from bridge.serve import Pages, serving  # noqa: PLC0415 - the web server costs start-up time: only where used

    pages = Pages(service.health, SystemClock(), service.messages)
    async with serving(pages.app(), host=settings.serve.listen.host, port=settings.serve.listen.port) as url:
        _log.info("serving", metrics=f"{url}/metrics")
        yield


def _report_unknown(metrics: SelfMetrics) -> Callable[[str], None]:
    def report(name: str) -> None:
        metrics.unknown_fields([name])
        _log.info("Letta sends a field that is not known here: it is ignored", field=name)

    return report
