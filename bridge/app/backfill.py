"""A backfill: all parts wired, beside a running service or alone."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bridge.app.parts import DESTINATION, access, backend, map_options, report_unknown, sender, source_name, wanted
from bridge.backfill.backfill import Backfill, Patience, Requests
from bridge.backfill.patience import judge
from bridge.clock import Clock, SystemClock
from bridge.errors import SettingsError
from bridge.export.answers import Sink
from bridge.export.console import ConsoleSink
from bridge.follow.decide import Policy
from bridge.ledger.backfill import BackfillLedger, copied, open_backfill_ledger
from bridge.observe import SelfMetrics
from bridge.settings import Settings, destination
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource
from bridge.sweep.loose import LooseSteps
from bridge.sweep.report import Limits
from bridge.sweep.sweep import Sweep
from bridge.sweep.visit import Visitor

_REPORTS_EVERY = 2.0  # seconds of work after which a backfill shows how far it is


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
        source = LettaSource(client, clock, on_unknown_field=report_unknown(SelfMetrics()))
        yield assemble_backfill(settings, source=source, ledger=ledger, sink=sink, clock=clock, requests=requests)


def assemble_backfill(
    settings: Settings, *, source: LettaSource, ledger: BackfillLedger, sink: Sink, clock: Clock, requests: Requests
) -> Backfill:
    """A backfill out of its parts at the edges; a run that is sent is not looked at again."""
    poll = settings.poll
    policy = Policy(settle=poll.settle, abandon_after=poll.abandon_after, stale_after=poll.stale_after)
    options = map_options(settings)
    sweeping = partial(
        Sweep,
        source=source,
        ledger=ledger,
        visitor=Visitor(source, ledger, wanted(settings)),
        loose_steps=LooseSteps(source, ledger, overlap=poll.overlap, policy=policy, options=options),
        sender=sender(settings, sink, ledger, SelfMetrics()),
        clock=clock,
        policy=policy,
        options=options,
        limits=Limits(settings.letta.concurrency, _REPORTS_EVERY, late=math.inf),
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
