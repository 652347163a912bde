"""What happens at each tick, whoever calls it: the schedule, `bridge once`, or a test with a clock of its own.

A problem on either side is logged once, when it begins and when it ends, and backed off from; only a failing ledger
(LedgerError) gets out, because going on without it would lose or double things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bridge.clock import Clock
from bridge.errors import LettaError, LettaRefused
from bridge.health import Health
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.metrics import Metrics
from bridge.observe import SelfMetrics, WakeOutcome
from bridge.schedule import Backoff
from bridge.settings.durations import StartFrom
from bridge.source.letta import LettaSource
from bridge.source.probe import probe
from bridge.status.watched import Standing, Watched
from bridge.sweep.loose import LooseSteps
from bridge.sweep.reads import Reads, Stopped
from bridge.sweep.report import Report
from bridge.sweep.sweep import Sweep
from bridge.wake import Outcome, Wakes

_log = get_logger(__name__)

_NS: Final = 1_000_000_000
_PROGRESS_EVERY: Final = 60.0


class Service:
    """The bridge between two ticks."""

    def __init__(
        self,
        *,
        source: LettaSource,
        ledger: Ledger,
        sweep: Sweep,
        wakes: Wakes,
        loose_steps: LooseSteps,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        own_metrics: SelfMetrics,
        start_from: StartFrom,
        interval: float,
    ) -> None:
        """Take the parts; nothing is asked of anyone yet."""
        self._source = source
        self._ledger = ledger
        self._sweep = sweep
        self._wakes = wakes
        self._one_at_a_time = asyncio.Lock()
        self._loose_steps = loose_steps
        self._clock = clock
        self._metrics = metrics
        self._own_metrics = own_metrics
        self._start_from = start_from
        self._backoff = Backoff(interval)
        self._failed_at, self._wait = 0.0, 0.0
        self._reads = Reads()
        self._caught_up = clock.now()
        self._swept_at: float | None = None
        self._sweeping_since: float | None = None
        self._progress = _Progress(clock.now())
        self._trouble = sweep.trouble
        self._probed = False
        self.health = health

    def stop(self) -> None:
        """Let the sweep under way finish what it has in hand, reading no more, and begin nothing more."""
        self._reads.stop()
        self._sweep.stop()

    async def tick(self) -> None:
        """One sweep, unless a side that failed is to be left alone for now.

        Raises:
            LedgerError: the storage failed.
        """
        self.health.turned(self._clock.now())
        async with self._one_at_a_time:
            if not self._left_alone_for():
                await self._whole()

    async def sweep(self) -> Report:
        """One sweep, now.

        Raises:
            LedgerError: the storage failed.
        """
        async with self._one_at_a_time:
            return await self._whole()

    def wake(self, step_id: str) -> Outcome:
        """A hook says that a step is over: `until_woken` returns soon."""
        return self._wakes.add(step_id, self._clock.now())

    def count_wakeup(self, outcome: WakeOutcome) -> None:
        """The webhook was called."""
        self._own_metrics.wakeup(outcome)

    async def until_woken(self) -> None:
        """Return when it is time to call `woken`."""
        while True:
            wait = self._wakes.wait(self._clock.now())
            if wait is not None:
                wait = max(wait, self._left_alone_for())
            if wait == 0:
                return
            await self._wakes.changed(wait)

    async def woken(self) -> None:
        """Visit the woken runs; where the last sweep failed, or none was made yet, that is made up for first.

        Raises:
            LedgerError: the storage failed.
        """
        async with self._one_at_a_time:
            if self._left_alone_for() or self._wakes.wait(self._clock.now()) != 0:
                return  # a tick was in between
            if self._wait or not self._probed:
                await self._whole()
            else:
                report = await self._sweep.run(woken=True)
                self._judge(report, self._clock.now(), asked=report.visits > 0)

    def _left_alone_for(self) -> float:
        """Seconds for which the side that failed is still to be left alone."""
        waited = self._clock.now() - self._failed_at
        # Nor wait an hour because the clock was set back by one.
        return self._wait - waited if 0 <= waited < self._wait else 0.0

    async def _whole(self) -> Report:
        started = self._sweeping_since = self._clock.now()
        report = await self._attempt()
        now = self._swept_at = self._clock.now()
        self._sweeping_since = None
        self._own_metrics.sweep(max(0.0, now - started))
        self._judge(report, now)
        return report

    async def export_metrics(self) -> None:
        """Send the metrics to the backend; what fails is made good by the next export."""
        await self._metrics.export(self._told_lag())

    async def messages(self) -> Iterable[ExportMetricsServiceRequest]:
        """The metrics as they are now: the stream's totals, then the bridge's own."""
        return await self._metrics.page(self._told_lag())

    def watched(self) -> Watched:
        """What the status page looks at."""
        return Watched(self.health, self._ledger, self._standing, self._own_metrics.message)

    def _standing(self) -> Standing:
        self._told_lag()
        return Standing(
            caught_up_at=self._caught_up,
            swept_at=self._swept_at,
            sweeping_since=self._sweeping_since,
            retry_at=self._failed_at + self._wait if self._wait else None,
            postponed=self._sweep.postponed,
        )

    def _told_lag(self) -> float:
        """The time, of which the bridge's lag is known now."""
        now = self._clock.now()
        self._caught_up = min(self._caught_up, now)
        self._own_metrics.lag(now - self._caught_up)
        return now

    async def _attempt(self) -> Report:
        if not self._probed:
            try:
                await self._reads(self._probe())
            except Stopped:
                return Report(stopped=True)
            except LettaError as error:
                return Report(problem=error, retry_after=getattr(error, "retry_after", None))
        return await self._sweep.run()

    async def _probe(self) -> None:
        found = await probe(self._source)
        _log.info("Letta answers", server=str(found))
        self._loose_steps.working = found.global_steps
        if await self._ledger.origin() is None:
            # The server's clock, because what it is compared with are the server's times.
            server_now = self._source.server_now() or self._clock.now()
            await self._ledger.begin(round(self._start_from.since(server_now) * _NS))
        self._probed = True

    def _judge(self, report: Report, now: float, *, asked: bool = True) -> None:
        """Draw the conclusions; `asked` is whether Letta was asked for anything."""
        self._progress.add(report, now)
        if report.stopped:
            return  # it tells nothing of either side
        problem = report.problem
        if isinstance(problem, LettaError):
            self.health.letta.failed(str(problem))
        elif problem is None and asked:
            self.health.letta.answered(now)
        if problem is None:
            self._backoff.succeeded()
            self._wait = 0.0
            self._trouble.ends("all is well again", now=now, but=report.postponed)
            if not report.left:
                self._caught_up = now
            return
        wait = self._backoff.failed(report.retry_after)
        self._failed_at, self._wait = now, wait
        side = "Letta" if isinstance(problem, LettaError) else "the backend"
        serious = isinstance(problem, LettaRefused)
        self._trouble.begins(
            f"{problem}",
            now=now,
            serious=serious,
            waiting_for=side,
            again_in_seconds=round(wait),
            meanwhile="nothing is lost; if it lasts, `bridge doctor` says what to do",
        )


class _Progress:
    """A line a minute at most, and none while nothing moves."""

    def __init__(self, now: float) -> None:
        self._since = now - _PROGRESS_EVERY
        self._steps = self._closed = self._spans = 0

    def add(self, report: Report, now: float) -> None:
        self._steps += report.steps
        self._closed += report.closed
        self._spans += report.spans
        if self._spans and not 0 <= now - self._since < _PROGRESS_EVERY:
            _log.info("sent", steps=self._steps, runs=self._closed, spans=self._spans)
            self._since, self._steps, self._closed, self._spans = now, 0, 0, 0
