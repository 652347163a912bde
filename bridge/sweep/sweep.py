"""One sweep over a Letta server: read → decide → map → send → commit.

What a crash or an outage interrupted is finished first, from the bytes that were put aside, and nothing new is read
before it is: while the backend is away, Letta is the buffer and memory stays flat. A failing run is postponed and
costs no other run anything; a failing server ends the sweep, after what was read has been sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.clock import Clock
from bridge.errors import LettaError, LettaMisbehaved, LettaNotFound, LettaUnavailable
from bridge.follow.decide import Policy, decide
from bridge.follow.messages import message_cursor
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.map.mapper import MapOptions, map_run, map_steps
from bridge.map.telemetry import Telemetry
from bridge.source.letta import LettaSource
from bridge.source.models import Run
from bridge.sweep.discovery import Discovery
from bridge.sweep.loose import LooseSteps
from bridge.sweep.outbox import Outbox
from bridge.sweep.sender import BackendWaiting, Sender
from bridge.sweep.visit import Visitor

_log = get_logger(__name__)

_CHUNK: Final = 64  # runs taken from the ledger at once
_FULL: Final = 2_000  # spans in hand that end a chunk early, so that memory stays bounded
_OFTEN: Final = 2.0  # seconds after which a chunk ends too, so that what is read is seen soon
_LATE: Final = 30.0  # seconds past its time, after which a visit does without lengths
_BROKEN_RECORD: Final = 500  # the status that may be about one run alone
_FAILURES_IN_A_ROW: Final = 3  # of single runs with a 500 each: then it is the server


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one sweep may do.

    Attributes:
        concurrency: visits at the same time, under the one request budget.
        patience: seconds after which a sweep leaves the rest to the next, so that new runs are noticed in time.
    """

    concurrency: int
    patience: float


@dataclass(slots=True)
class Report:
    """What one sweep did.

    Attributes:
        visits: runs looked at.
        steps: steps settled and sent.
        closed: runs that got their own span.
        spans: spans accepted.
        left: due runs that were left to the next sweep.
        problem: why it ended early, in one line; None when it did not.
        retry_after: seconds to wait that Letta or the backend asked for.
    """

    visits: int = 0
    steps: int = 0
    closed: int = 0
    spans: int = 0
    left: bool = False
    problem: LettaError | BackendWaiting | None = None
    retry_after: float | None = None


@dataclass(slots=True)
class _Chunk:
    """Visits under way: what they share."""

    rows: Mapping[str, Run]
    outbox: Outbox
    report: Report
    until: float
    failures: int = 0


class Sweep:
    """The loop's body; one at a time."""

    def __init__(
        self,
        *,
        source: LettaSource,
        ledger: Ledger,
        discovery: Discovery,
        visitor: Visitor,
        loose_steps: LooseSteps,
        sender: Sender,
        clock: Clock,
        policy: Policy,
        options: MapOptions,
        limits: Limits,
        on_progress: Callable[[], None],
    ) -> None:
        """Take the parts; nothing is read yet."""
        self._source = source
        self._ledger = ledger
        self._discovery = discovery
        self._visitor = visitor
        self._loose_steps = loose_steps
        self._sender = sender
        self._clock = clock
        self._policy = policy
        self._options = options
        self._limits = limits
        self._on_progress = on_progress
        self._stopping = False

    def stop(self) -> None:
        """Begin no further visit: finish what is in hand, commit, return."""
        self._stopping = True

    async def run(self) -> Report:
        """One sweep.

        Raises:
            LedgerError: the storage failed; nothing is lost, and there is no point in going on.
        """
        report = Report()
        try:
            await self._sender.finish()
            await self._sweep(report)
        except BackendWaiting as waiting:
            report.problem, report.retry_after = waiting, waiting.retry_after
        except LettaError as error:
            report.problem = error
            report.retry_after = error.retry_after if isinstance(error, LettaUnavailable) else None
        report.spans = self._sender.take_accepted()
        return report

    async def _sweep(self, report: Report) -> None:
        started = self._clock.now()
        rows = await self._discovery.discover(started)
        await self._keep_malformed_runs()
        deadline = started + self._limits.patience
        while due := await self._ledger.due(now=started, limit=_CHUNK):
            if self._stopping or self._clock.now() >= deadline:
                report.left = True
                break
            self._on_progress()
            until = min(deadline, self._clock.now() + _OFTEN)
            await self._chunk(due, _Chunk(rows=rows, outbox=Outbox(), report=report, until=until))
        if not self._stopping:
            await self._read_loose_steps(report)

    async def _keep_malformed_runs(self) -> None:
        outbox = Outbox()
        outbox.add_malformed(self._source.take_malformed())
        await self._sender.send(outbox)

    async def _chunk(self, due: Sequence[FollowedRun], chunk: _Chunk) -> None:
        """Visit some runs side by side, then send and commit what they gave, even if the server failed midway."""
        queue = iter(due)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.concurrency):
                    group.create_task(self._work(queue, chunk))
        except* LettaError as failed:
            await self._sender.send(chunk.outbox)
            raise _first(failed) from failed
        await self._sender.send(chunk.outbox)

    async def _work(self, queue: Iterator[FollowedRun], chunk: _Chunk) -> None:
        for followed in queue:
            await self._visit(followed, chunk)
            if self._stopping or chunk.outbox.span_count >= _FULL or self._clock.now() >= chunk.until:
                return

    async def _visit(self, followed: FollowedRun, chunk: _Chunk) -> None:
        try:
            await self._follow(followed, chunk)
        except LettaNotFound as gone:
            _log.info("run is gone from Letta: closed without a span of its own", run=followed.id, answer=str(gone))
            chunk.outbox.add_run(followed.model_copy(update={"phase": Phase.CLOSED}))
        except LettaMisbehaved as error:
            self._postpone(followed, error, chunk)
        except LettaUnavailable as error:
            chunk.failures += 1
            if error.status != _BROKEN_RECORD or chunk.failures >= _FAILURES_IN_A_ROW:
                raise
            self._postpone(followed, error, chunk)
        else:
            chunk.failures = 0
        chunk.report.visits += 1

    async def _follow(self, followed: FollowedRun, chunk: _Chunk) -> None:
        now = self._clock.now()
        row = chunk.rows.get(followed.id)
        hurried = now - followed.next_visit > _LATE
        reading, malformed = await self._visitor.visit(followed, row, now=now, hurried=hurried)
        if malformed:
            chunk.outbox.add_malformed(malformed)
            ids = tuple(lost.id for lost in malformed)
            followed = followed.model_copy(update={"sent": (*followed.sent, *ids)})
        decision = decide(followed, reading, self._policy)
        mapped = map_steps(decision, reading, self._options)
        run = mapped.run.model_copy(update={"message_cursor": message_cursor(decision, reading)})
        telemetry = mapped.telemetry
        if decision.closing and not run.span_sent:
            own = map_run(run, reading, decision.closing, self._options)
            telemetry = Telemetry(telemetry.spans + own.spans, telemetry.measurements + own.measurements)
            run = run.model_copy(update={"span_sent": True})
            chunk.report.closed += 1
        chunk.outbox.add_run(run, telemetry)
        chunk.report.steps += len(decision.settled)

    def _postpone(self, followed: FollowedRun, error: LettaError, chunk: _Chunk) -> None:
        """Look again later, ever later; the run stays open, so nothing of it is lost."""
        now = self._clock.now()
        wait = max(5.0, (now - followed.last_news) / 10)
        _log.warning("run postponed", run=followed.id, again_in_seconds=round(wait), reason=str(error))
        later = {"last_visit": now, "next_visit": now + wait}
        chunk.outbox.add_run(followed.model_copy(update=later))

    async def _read_loose_steps(self, report: Report) -> None:
        outbox = Outbox()
        report.steps += await self._loose_steps.read(outbox, self._clock.now())
        await self._sender.send(outbox)


def _first(group: BaseExceptionGroup[LettaError]) -> LettaError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LettaError)
    return error
