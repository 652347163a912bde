"""One sweep over a Letta server: read → decide → map → send → commit.

What a crash or an outage interrupted is finished first, from the bytes that were put aside, and nothing new is read
before it is: while the backend is away, Letta is the buffer and memory stays flat. A failing run is postponed and
costs no other run anything; a failing server ends the sweep, after what was read has been sent. So does `stop`, which
drops the reads under way. Between two steps of its work it visits the runs that were woken meanwhile; a woken sweep
visits those alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.clock import Clock
from bridge.errors import (
    CursorUnknown,
    LettaError,
    LettaMisbehaved,
    LettaNotFound,
    LettaRefused,
    LettaUnavailable,
)
from bridge.follow.decide import Policy, decide
from bridge.follow.late import second_end
from bridge.follow.messages import message_cursor
from bridge.follow.reading import Closing, Decision, Reading
from bridge.follow.state import FollowedRun
from bridge.follow.tombstone import entomb, gone
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.map.late import map_late
from bridge.map.mapper import MapOptions, map_run, map_steps
from bridge.map.telemetry import Telemetry
from bridge.source.letta import LettaSource
from bridge.source.models import Run, as_json
from bridge.source.parse import Malformed
from bridge.sweep.looks import Looks
from bridge.sweep.loose import LooseSteps
from bridge.sweep.outbox import Outbox
from bridge.sweep.reads import Reads, Stopped
from bridge.sweep.report import Limits, Report
from bridge.sweep.rows import Rows
from bridge.sweep.sender import BackendWaiting, Sender
from bridge.sweep.visit import Visitor
from bridge.sweep.waking import Waking
from bridge.trouble import Recurring, Trouble

_log = get_logger(__name__)

_CHUNK: Final = 64  # runs taken from the ledger at once, and sent and committed together
_LONGEST_CHUNK: Final = 4  # times that: it doubles while all of one are visited, for each costs a commit
_LOOKS: Final = 8  # at once: the least important work lets a woken run wait for no longer
_FULL: Final = 2_000  # spans in hand that end a chunk early, so that memory stays bounded
_OFTEN: Final = 2.0  # seconds after which a chunk ends too, so that what is read is seen soon
_FAILURES_IN_A_ROW: Final = 3  # of single runs: then it is the server


Judge = Callable[[FollowedRun, Reading, Policy], Decision]


class Finder(Protocol):
    """What finds the runs to visit."""

    @property
    def unfinished(self) -> bool:
        """Whether there are runs that the last call left to the next."""
        ...

    async def discover(self, now: float) -> Mapping[str, Run]:
        """Enter what is new into the ledger; returns the rows read on the way, by id, as fresh as this call."""
        ...


@dataclass(slots=True)
class _Chunk:
    """Visits under way: what they share."""

    rows: Mapping[str, Run]
    outbox: Outbox
    report: Report
    started: float
    until: float
    gives_way: bool = True  # to runs that are woken meanwhile
    failures: list[tuple[FollowedRun, LettaError]] = field(default_factory=list)  # since the last good visit


class Sweep:
    """The loop's body; one at a time.

    Attributes:
        trouble: what is said of runs that had to be postponed; whoever reports on sweeps goes on with it, so that one
            trouble of the server's is one line.
    """

    def __init__(
        self,
        *,
        source: LettaSource,
        ledger: Ledger,
        discovery: Finder,
        visitor: Visitor,
        loose_steps: LooseSteps,
        sender: Sender,
        clock: Clock,
        policy: Policy,
        options: MapOptions,
        limits: Limits,
        on_progress: Callable[[], None],
        judge: Judge = decide,
        waking: Waking | None = None,
    ) -> None:
        """Take the parts; nothing is read yet."""
        self._source = source
        self._ledger = ledger
        self._discovery = discovery
        self._visitor = visitor
        self._waking = waking
        self._loose_steps = loose_steps
        self._sender = sender
        self._clock = clock
        self._policy = policy
        self._options = options
        self._limits = limits
        self._on_progress = on_progress
        self._judge = judge
        self._looks = Looks(
            source, ledger, options=options, watch_for=policy.watch_for, requests=limits.look_requests
        )
        self._reads = Reads()
        self._busy_since: float | None = None  # since when no sweep has come to its end
        self._postponed: dict[str, str] = {}  # run → why
        self._said = Recurring(_log)
        self.trouble = Trouble(_log)

    @property
    def postponed(self) -> Mapping[str, str]:
        """Runs that could not be read when they were last visited, with the reason."""
        return self._postponed

    def stop(self) -> None:
        """Drop the reads under way, begin no further visit: send and commit what is in hand, return."""
        self._reads.stop()

    async def run(self, *, woken: bool = False) -> Report:
        """One sweep, of the woken runs alone or of all; the former leaves the rest to the next.

        Raises:
            LedgerError: the storage failed; nothing is lost, and there is no point in going on.
        """
        report = Report()
        try:
            await self._sender.finish()
            await (self._woken(report, self._clock.now()) if woken else self._sweep(report))
            report.left |= woken
        except Stopped:
            report.left = report.stopped = True
        except BackendWaiting as waiting:
            report.problem, report.retry_after = waiting, waiting.retry_after
        except LettaError as error:
            report.problem = error
            report.retry_after = error.retry_after if isinstance(error, LettaUnavailable) else None
        if not report.left and not woken:
            self._busy_since = None
        report.spans = self._sender.take_accepted()
        report.postponed = tuple(self._postponed.values())
        return report

    async def _sweep(self, report: Report) -> None:
        started = self._clock.now()
        self._busy_since = started if self._busy_since is None else min(self._busy_since, started)
        rows = await self._reads(self._discovery.discover(started))
        shown = Rows(self._source, rows)
        report.left = report.listing = self._discovery.unfinished
        await self._send(Outbox())  # runs that cannot be read
        deadline, limit = started + self._limits.patience, _CHUNK
        while due := await self._due(report, started, limit):
            if self._reads.stopped or self._clock.now() >= deadline:
                report.left = True
                break
            self._on_progress()
            until = min(deadline, self._clock.now() + _OFTEN)
            of_due, before = await self._reads(shown.of(due)), report.visits
            await self._chunk(due, _Chunk(of_due, Outbox(), report, started, until))
            all_visited = report.visits - before == len(due)
            limit = min(2 * limit, _LONGEST_CHUNK * _CHUNK) if all_visited else _CHUNK
        await self._read_loose_steps(report)
        if not report.left:
            await self._look_again(report, rows, started)

    async def _due(self, report: Report, started: float, limit: int) -> Sequence[FollowedRun]:
        await self._woken_meanwhile(report, started)
        return await self._ledger.due(now=started, limit=limit)

    async def _woken_meanwhile(self, report: Report, started: float) -> None:
        if self._is_woken():
            await self._woken(report, started)

    def _is_woken(self) -> bool:
        return self._waking is not None and self._waking.is_due(self._clock.now())

    async def _woken(self, report: Report, started: float) -> None:
        """Visit the woken runs, dated by the sweep that they are visited in."""
        assert self._waking, "nothing can be woken here"
        self._on_progress()
        now = self._clock.now()
        woken = await self._reads(self._waking.find(now))
        if woken.runs:
            chunk = _Chunk(woken.rows, Outbox(), report, started, until=now + _OFTEN, gives_way=False)
            await self._chunk(woken.runs, chunk)
            await self._waking.visited(woken, started, self._clock.now())

    async def _send(self, outbox: Outbox) -> None:
        """Send and commit, with the records that could not be read on the way."""
        outbox.add_malformed(self._source.take_malformed())
        await self._sender.send(outbox)

    async def _chunk(self, due: Sequence[FollowedRun], chunk: _Chunk) -> None:
        """Visit some runs side by side, then send and commit what they gave, even if the server failed midway."""
        try:
            await self._reads(self._visits(due, chunk))
        except (LettaError, Stopped):
            await self._send(chunk.outbox)
            raise
        self._say_failed(chunk)
        await self._send(chunk.outbox)

    async def _visits(self, due: Sequence[FollowedRun], chunk: _Chunk) -> None:
        queue = iter(due)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.concurrency):
                    group.create_task(self._work(queue, chunk))
        except* LettaError as failed:
            raise _first(failed) from failed

    async def _work(self, queue: Iterator[FollowedRun], chunk: _Chunk) -> None:
        for followed in queue:
            await self._visit(followed, chunk)
            if chunk.outbox.span_count >= _FULL or self._clock.now() >= chunk.until:
                return
            if chunk.gives_way and self._is_woken():
                return

    async def _visit(self, followed: FollowedRun, chunk: _Chunk) -> None:
        try:
            await self._follow(followed, chunk)
        except LettaNotFound as error:
            self._said.met(
                "a run is gone from Letta, it is closed without a span of its own: nothing to do if it was deleted",
                now=self._clock.now(),
                level="info",
                run=followed.id,
                answer=str(error),
            )
            chunk.outbox.add_run(gone(followed))
            self._postponed.pop(followed.id, None)
        except LettaMisbehaved as error:
            self._postpone(followed, chunk)
            self._say_postponed(followed, error)
        except (LettaRefused, LettaUnavailable) as error:
            # One run alone may fail too: a row that breaks the server, a page too long for its patience.
            self._postpone(followed, chunk)
            chunk.failures.append((followed, error))
            for_all = isinstance(error, LettaUnavailable) and error.is_for_all
            if for_all or len(chunk.failures) >= _FAILURES_IN_A_ROW:
                chunk.failures.clear()
                raise
        else:
            self._say_failed(chunk)
            self._postponed.pop(followed.id, None)
        chunk.report.visits += 1

    async def _follow(self, followed: FollowedRun, chunk: _Chunk) -> None:
        now = self._clock.now()
        row = chunk.rows.get(followed.id)
        # By a backlog, not by a pause or a leap of the clock: then this sweep's first visits still have the time.
        hurried = now - max(followed.next_visit, self._busy_since or 0.0) > self._limits.late
        try:
            reading, malformed = await self._visitor.visit(followed, row, now=now, hurried=hurried)
        except CursorUnknown as error:
            if now - followed.last_news < self._policy.stale_after:
                raise
            self._give_up(followed, row or await self._source.run(followed.id), error, chunk)
            return
        if malformed:
            chunk.outbox.add_malformed(malformed)
            ids = tuple(lost.id for lost in malformed)
            followed = followed.model_copy(update={"sent": (*followed.sent, *ids)})
        decision = self._judge(followed, reading, self._policy)
        mapped = map_steps(decision, reading, self._options)
        run, telemetry = mapped.run, mapped.telemetry
        if decision.closing:
            chunk.report.closed += not run.span_sent
            telemetry = telemetry.plus(self._end(run, reading, decision.closing))
            run = entomb(run, reading.run, decision.closing, at=now, watch_for=self._policy.watch_for)
        # A visit is dated by its sweep, so that only one of before the clock was set back lies ahead of it.
        visited = {"last_visit": chunk.started, "message_cursor": message_cursor(decision, reading)}
        chunk.outbox.add_run(run.model_copy(update=visited), telemetry)
        chunk.report.steps += len(decision.settled)

    def _end(self, run: FollowedRun, reading: Reading, closing: Closing) -> Telemetry:
        """The run's span, once; whatever it ends as after that is a change."""
        if not run.span_sent:
            return map_run(run, reading, closing, self._options)
        return map_late(second_end(run, reading.run, closing), reading.run, at=reading.at, options=self._options)

    def _give_up(self, followed: FollowedRun, row: Run, error: CursorUnknown, chunk: _Chunk) -> None:
        """Keep the run as a dead letter: nobody can tell its steps that are delivered from the others.

        Only once that has lasted as long as makes an open run stale: on a replica that lags behind it passes.
        """
        reason = f"what of it is delivered is no longer known: {error}"
        chunk.outbox.add_malformed([Malformed(followed.id, "remainder", reason, as_json(row))])
        chunk.outbox.add_run(gone(followed))
        self._said.met(
            "the rest of a run cannot be told from what is delivered, it is kept as dead letter: look at it with"
            " `bridge dead-letters`",
            now=self._clock.now(),
            level="error",
            reason=reason,
            run=followed.id,
        )

    def _postpone(self, followed: FollowedRun, chunk: _Chunk) -> None:
        """Look again later, ever later; the run stays open, so nothing of it is lost."""
        now = self._clock.now()
        later = {"last_visit": chunk.started, "next_visit": now + _postponed_for(followed, now)}
        chunk.outbox.add_run(followed.model_copy(update=later))

    def _say_failed(self, chunk: _Chunk) -> None:
        """The server works: what failed since it last did is about single runs."""
        for followed, error in chunk.failures:
            self._say_postponed(followed, error)
        chunk.failures.clear()

    def _say_postponed(self, followed: FollowedRun, error: LettaError) -> None:
        self._postponed[followed.id] = str(error)
        wait = round(_postponed_for(followed, self._clock.now()))
        self.trouble.begins(
            "a run cannot be read, it is tried again ever more rarely: look for its id in Letta's log",
            now=self._clock.now(),
            reason=str(error),
            run=followed.id,
            waiting_for="Letta",
            again_in_seconds=wait,
        )

    async def _read_loose_steps(self, report: Report) -> None:
        outbox = Outbox()
        report.steps += await self._reads(self._loose_steps.read(outbox, self._clock.now()))
        await self._sender.send(outbox)

    async def _look_again(self, report: Report, rows: Mapping[str, Run], now: float) -> None:
        """Send and commit what the looks at some closed runs gave, even if the server failed midway."""
        self._looks.begin_sweep()
        while due := await self._looks.due(now, _LOOKS):
            self._on_progress()
            await self._woken_meanwhile(report, now)
            outbox = Outbox()
            try:
                await self._reads(self._looks.take(due, rows, outbox, now=now))
            except (LettaError, Stopped):
                await self._sender.send(outbox)
                raise
            await self._sender.send(outbox)


def _postponed_for(followed: FollowedRun, now: float) -> float:
    return max(5.0, (now - followed.last_news) / 10)


def _first(group: BaseExceptionGroup[LettaError]) -> LettaError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LettaError)
    return error
