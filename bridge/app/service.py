"""The service: all parts wired, and what `bridge run` and `bridge once` do with them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.app.parts import (
    access,
    addresses,
    backend,
    map_options,
    masking,
    report_unknown,
    sender,
    stream_ledger,
    wanted,
    wants_differences,
)
from bridge.clock import Clock, SystemClock
from bridge.errors import LettaError
from bridge.export.answers import Sink
from bridge.export.console import ConsoleSink
from bridge.export.examples import Examples
from bridge.follow.decide import Policy
from bridge.health import Health
from bridge.ledger.ledger import Ledger
from bridge.listening import serving
from bridge.log import get_logger
from bridge.metrics import Metrics
from bridge.observe import SelfMetrics
from bridge.peers import NotingSink, backends
from bridge.resource import resource
from bridge.schedule import Schedule
from bridge.service import Service
from bridge.settings import Settings
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource
from bridge.sweep.discovery import Discovery
from bridge.sweep.loose import LooseSteps
from bridge.sweep.report import Limits
from bridge.sweep.sweep import Sweep
from bridge.sweep.visit import Visitor
from bridge.sweep.waking import Waking
from bridge.wake import Wakes

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = get_logger(__name__)

_LAST_EXPORT = 2.0  # seconds of the grace time that are kept for the metrics' last values
_NEW_OBJECTS = 50_000  # as a busy sweep holds; with so many the collector looks at the new ones, by default with 700
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
        schedule.whenever(service.until_woken, service.woken)
        collect_rarely()
        _log.info("following", letta=settings.letta.base_url, every_seconds=settings.poll.interval)
        last_export = min(_LAST_EXPORT, settings.serve.grace / 5)
        try:
            await schedule.until_stopped(grace=settings.serve.grace - last_export, on_stop=service.stop)
        except TimeoutError:
            _log.warning(
                "the grace time is over, the sweep under way was cut off: nothing is lost, the next start goes"
                " on with it; raise BRIDGE_GRACE to wait for longer"
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(last_export):
                await service.export_metrics()
    _log.info("stopped")


def collect_rarely() -> None:
    """Leave alone what start-up made, and look for garbage less often: a step's records go without a collector.

    It takes a tenth of the CPU of a busy sweep otherwise, and finds nothing: an idle tick leaves less than one cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)


async def once(settings: Settings, *, dry_run: bool = False) -> int:
    """`bridge once`: one sweep, or as many as it takes to find every run, and one export of the metrics.

    Returns the exit code.

    Raises:
        SettingsError, LedgerError: as `run`.
    """
    async with open_service(settings, dry_run=dry_run) as service:
        report = await service.sweep()
        while report.listing and report.problem is None:  # the next process would begin at the top again
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
        source = LettaSource(client, clock, on_unknown_field=report_unknown(metrics))
        yield assemble(settings, source=source, ledger=ledger, sink=sink, clock=clock, metrics=metrics)


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
    health = Health(interval=poll.interval, turned_at=clock.now())
    sink = NotingSink(sink, backends(addresses(settings), health), clock)
    loose_steps = LooseSteps(source, ledger, overlap=poll.overlap, policy=policy, options=options)
    examples = Examples()
    discovery, wakes = Discovery(source, ledger, metrics, overlap=poll.overlap), Wakes()
    sweep = Sweep(
        source=source,
        ledger=ledger,
        discovery=discovery,
        visitor=Visitor(source, ledger, wanted(settings)),
        loose_steps=loose_steps,
        sender=sender(settings, sink, ledger, metrics, examples, clock=clock),
        clock=clock,
        policy=policy,
        options=options,
        limits=Limits(
            settings.letta.concurrency,
            max(_SHORTEST_PATIENCE, 4 * poll.interval),
            look_requests=settings.letta.requests_per_second * poll.interval * _LOOKS_SHARE,
        ),
        on_progress=lambda: health.turned(clock.now()),
        waking=Waking(
            source,
            ledger,
            discovery,
            wakes,
            settle=poll.settle,
            concurrency=settings.letta.concurrency,
            requests_per_second=settings.letta.requests_per_second,
        ),
    )
    return Service(
        source=source,
        ledger=ledger,
        sweep=sweep,
        wakes=wakes,
        loose_steps=loose_steps,
        clock=clock,
        health=health,
        metrics=Metrics(
            ledger=ledger,
            sink=sink,
            own=metrics,
            resource=resource(settings),
            examples=examples,
            delta=wants_differences(settings),
            trace_url=settings.map.trace_url,
        ),
        own_metrics=metrics,
        start_from=poll.start_from,
        interval=poll.interval,
    )


async def _ledger(settings: Settings, clock: Clock, stack: contextlib.AsyncExitStack, *, dry_run: bool) -> Ledger:
    location = settings.ledger.location
    if dry_run:
        location = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "dry-run.ledger"
    ledger = await stream_ledger(settings, location, now=clock.now())
    stack.push_async_callback(ledger.close)
    return ledger


@contextlib.asynccontextmanager
async def _serving(settings: Settings, service: Service) -> AsyncIterator[None]:
    listen = settings.serve.listen
    if listen is None:
        yield
        return
    clock = SystemClock()
    pages = partial(_pages, settings, service, clock, started_at=clock.now())
    async with serving(pages, host=listen.host, port=listen.port) as url:
        _log.info("serving", status=f"{url}/", metrics=f"{url}/metrics")
        yield


def _pages(settings: Settings, service: Service, clock: Clock, *, started_at: float) -> ASGIApp:
    """All pages of a service, and what Letta's webhook may call where there is a key."""
    from bridge.hook import Hook  # noqa: PLC0415 - as the web server: loaded when a page is first asked for
    from bridge.serve import Pages  # noqa: PLC0415 - the same
    from bridge.status.page import StatusPage  # noqa: PLC0415 - the same

    key = settings.serve.wake_key
    hook = Hook(key, service.wake, service.count_wakeup, clock) if key else None
    status = StatusPage(service.watched(), settings, masking(settings), clock, started_at)
    return Pages(service.health, clock, service.messages).app(hook=hook, status=status)
