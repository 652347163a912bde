"""One backfill, from the first request to its result: sweeps down a walk until nothing is left to wait for.

A backend or a Letta that is away is waited for, as long as it takes or as it asks; only a refused key ends it
(LettaRefused), and a failing ledger (LedgerError). Whatever ends it, the same command goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from bridge.backfill.bounds import Asked, Bounds, bounds
from bridge.backfill.patience import going_on
from bridge.backfill.result import Result
from bridge.backfill.tally import Progress, Tally
from bridge.backfill.walk import Walk
from bridge.clock import Clock
from bridge.errors import LettaError, LettaMisbehaved, LettaNotFound, LettaUnavailable, SettingsError
from bridge.follow.decide import Policy
from bridge.ledger.backfill import BackfillLedger
from bridge.schedule import Backoff
from bridge.settings.durations import StartFrom
from bridge.source.letta import LettaSource
from bridge.sweep.discovery import created_ns
from bridge.sweep.report import Report
from bridge.sweep.sender import BackendWaiting
from bridge.sweep.sweep import Sweep

_NAP: Final = 1.0  # seconds within which a signal is noticed while there is nothing to do
_PATIENCE: Final = 30.0  # seconds beyond the times of the policy that are given to runs which cannot be read
_ALL: Final = 1_000_000

T = TypeVar("T")


class Requests:
    """Counts the requests to Letta; what a client's `on_answer` takes."""

    def __init__(self) -> None:
        """Begin at none."""
        self.count = 0

    def __call__(self, _endpoint: str, _answer: str) -> None:
        """One more."""
        self.count += 1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what.

    Attributes:
        policy: for a single run.
        overlap: seconds within which runs can show up late.
        start_from: where the service would begin.
        interval: seconds before a failing side is asked again, at first.
    """

    policy: Policy
    overlap: float
    start_from: StartFrom
    interval: float


class Backfill:
    """Runs once."""

    def __init__(
        self,
        *,
        source: LettaSource,
        ledger: BackfillLedger,
        sweeping: Callable[[Walk], Sweep],
        clock: Clock,
        patience: Patience,
        requests: Requests,
    ) -> None:
        """Take the parts; nothing is asked of anyone yet."""
        self._source = source
        self._ledger = ledger
        self._sweeping = sweeping
        self._clock = clock
        self._patience = patience
        self._requests = requests
        self._backoff = Backoff(patience.interval)
        self._trouble: str | None = None
        self._sweep: Sweep | None = None
        self._stopping = False
        self._tally = Tally()

    def stop(self) -> None:
        """Finish the batch in hand, and begin nothing more."""
        self._stopping = True
        if self._sweep:
            self._sweep.stop()

    async def run(self, asked: Asked, progress: Progress) -> Result:
        """All of it.

        Raises:
            SettingsError: the time asked for is empty, or Letta has no such agent.
            LettaRefused: the key.
            LedgerError: the storage failed.
        """
        started = self._clock.now()
        begun: tuple[Bounds, Walk] | None = None
        while begun is None and not self._stopping:
            begun = await self._attempt(lambda: self._begin(asked), progress)
        if begun and not self._stopping:
            for note in begun[0].notes:
                progress.say(note)
            await self._go(begun[1], progress)
        return await self._result(begun, self._clock.now() - started)

    async def _begin(self, asked: Asked) -> tuple[Bounds, Walk]:
        if asked.agent_id:
            await self._check_agent(asked.agent_id)
        oldest = await self._source.oldest_run(asked.agent_id)
        found = await self._bounds(asked)
        bottom_ns = created_ns(oldest) if oldest else None
        before = await self._ledger.ranges()
        return found, Walk(self._source, self._ledger, found, before=before, bottom_ns=bottom_ns)

    async def _check_agent(self, agent_id: str) -> None:
        try:
            await self._source.check_agent(agent_id)
        except (LettaNotFound, LettaMisbehaved) as error:
            raise SettingsError(f"--agent: {error}. Give the id of an agent that Letta lists.") from error

    async def _bounds(self, asked: Asked) -> Bounds:
        """The bounds, and with them the service's origin where it has none; whoever fixes that first is right."""
        live = self._ledger.live
        origin = await live.origin()
        found = self._bounds_at(asked, origin)
        if origin is None:
            await live.begin(found.origin_ns)
            origin = await live.origin()
        return found if origin == found.origin_ns else self._bounds_at(asked, origin)

    def _bounds_at(self, asked: Asked, origin_ns: int | None) -> Bounds:
        patience = self._patience
        return bounds(
            asked,
            now=self._server_now(),
            overlap=patience.overlap,
            origin_ns=origin_ns,
            start_from=patience.start_from,
        )

    async def _go(self, walk: Walk, progress: Progress) -> None:
        self._sweep = self._sweeping(walk)
        walked_at: float | None = None
        while not self._stopping:
            report = await self._sweep.run()
            await self._show(report, walk, progress)
            if report.problem:
                await self._back_off(report.problem, report.retry_after, progress)
                continue
            self._recovered(progress)
            if report.left or not walk.done:
                continue
            walked_at = walked_at or self._clock.now()
            until = await self._next_visit(walked_at)
            if until is None:
                return
            await self._wait(until, progress)

    async def _next_visit(self, walked_at: float) -> float | None:
        """When to look at the open runs again; None where none is worth waiting for."""
        policy = self._patience.policy
        opened = await self._ledger.due(now=math.inf, limit=_ALL)
        left_open = {
            run.id for run in going_on(opened, server_now=self._server_now(), stale_after=policy.stale_after)
        }
        visits = [run.next_visit for run in opened if run.id not in left_open]
        given_up = self._clock.now() >= walked_at + 2 * policy.settle + policy.abandon_after + _PATIENCE
        return None if given_up else min(visits, default=None)

    async def _show(self, report: Report, walk: Walk, progress: Progress) -> None:
        unvisited = await walk.unvisited(self._clock.now())
        tally = self._tally
        tally.runs += report.closed
        tally.steps += report.steps
        tally.spans += report.spans
        tally.requests = self._requests.count
        tally.position_ns, tally.share = walk.position_ns(unvisited), walk.share(unvisited)
        progress.show(tally)

    async def _attempt(self, attempt: Callable[[], Awaitable[T]], progress: Progress) -> T | None:
        try:
            done = await attempt()
        except LettaUnavailable as error:
            await self._back_off(error, error.retry_after, progress)
            return None
        self._recovered(progress)
        return done

    async def _back_off(
        self, problem: LettaError | BackendWaiting, retry_after: float | None, progress: Progress
    ) -> None:
        if isinstance(problem, LettaError) and not isinstance(problem, LettaUnavailable | LettaMisbehaved):
            raise problem
        wait = self._backoff.failed(retry_after)
        if str(problem) != self._trouble:
            self._trouble = str(problem)
            progress.say(f"{self._trouble}; tried again in {wait:.0f} s, and so on")
        await self._wait(self._clock.now() + wait, progress)

    def _recovered(self, progress: Progress) -> None:
        self._backoff.succeeded()
        if self._trouble:
            progress.say("goes on")
        self._trouble = None

    async def _wait(self, until: float, progress: Progress) -> None:
        while not self._stopping and (left := until - self._clock.now()) > 0:
            await self._clock.sleep(min(left, _NAP))
            progress.show(self._tally)

    def _server_now(self) -> float:
        server_now = self._source.server_now()
        return self._clock.now() if server_now is None else server_now

    async def _result(self, begun: tuple[Bounds, Walk] | None, seconds: float) -> Result:
        opened = await self._ledger.due(now=math.inf, limit=_ALL)
        stale_after = self._patience.policy.stale_after
        left_open = len(going_on(opened, server_now=self._server_now(), stale_after=stale_after))
        self._tally.requests = self._requests.count
        return Result(
            tally=self._tally,
            bounds=begun and begun[0],
            passed=begun[1].passed if begun else 0,
            letters=self._ledger.letters_kept,
            seconds=seconds,
            going_on=left_open,
            unfinished=len(opened) - left_open,
            stopped=self._stopping,
        )
