"""From the steps that hooks named to the runs to visit now: a request for each step, and one for a run not known yet.

A run is entered exactly where discovery would enter it, so that nothing is found twice. A step that is not there, is
pending, delivered, or of a run that is closed or none of the stream's business changes nothing; nor does one that
Letta cannot show. Only a server that fails for all raises; the steps are then kept for another time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.errors import LettaError, LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable
from bridge.follow.ended import is_pending
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.source.letta import LettaSource
from bridge.source.models import Run
from bridge.sweep.discovery import created_ns, followed
from bridge.trouble import Recurring
from bridge.wake import Wakes

_log = get_logger(__name__)

_STEPS_A_TURN: Final = 8  # so that what else is due has its turn, too
_BROKEN_RECORD: Final = 500  # the status that may be about one record alone
_FIRST_AGAIN: Final = 0.25  # seconds, doubled with each visit that finds the run still incomplete
_VISITS: Final = 12  # then it is left to polling
_FRUITLESS_SHARE: Final = 0.2  # of the request budget may go to steps that lead nowhere


class Floor(Protocol):
    """What discovery goes by."""

    async def floor(self, now: float) -> int:
        """created_at (ns) below which a run that is not known is not to be entered."""
        ...


@dataclass(frozen=True, slots=True)
class Woken:
    """What a sweep of woken runs has to visit, and the rows read on the way, by id."""

    runs: Sequence[FollowedRun] = ()
    rows: Mapping[str, Run] = field(default_factory=dict)


@dataclass(slots=True)
class _Search:
    """Steps being looked up."""

    now: float
    floor: int
    rows: dict[str, Run] = field(default_factory=dict)
    found: dict[str, None] = field(default_factory=dict)
    fruitless: int = 0


class Waking:
    """Finds the woken runs, and comes back to them until what they wait for has arrived."""

    def __init__(
        self,
        source: LettaSource,
        ledger: Ledger,
        floor: Floor,
        wakes: Wakes,
        *,
        settle: float,
        concurrency: int,
        requests_per_second: float,
    ) -> None:
        """Take the parts.

        Args:
            source: where steps and runs are read.
            ledger: where runs are entered and woken.
            floor: how far down runs are entered.
            wakes: what is asked for.
            settle: seconds that a final step waits at most.
            concurrency: requests at the same time.
            requests_per_second: the whole budget.
        """
        self._source = source
        self._ledger = ledger
        self._floor = floor
        self._wakes = wakes
        self._settle = settle
        self._concurrency = concurrency
        self._rest = 1 / (requests_per_second * _FRUITLESS_SHARE)
        self._visits: dict[str, int] = {}
        self._strange = Recurring(_log)

    def is_due(self, now: float) -> bool:
        """Whether there is something to find."""
        return self._wakes.wait(now) == 0

    async def find(self, now: float) -> Woken:
        """The runs to visit: those of the steps named, and those to come back to.

        Raises:
            LettaError: the server fails.
        """
        again = self._wakes.take_runs(now)
        steps = self._wakes.take(_STEPS_A_TURN) if self._wakes.may_look_up(now) else ()
        try:
            search = await self._look_up(steps, now)
        except BaseException:
            self._wakes.put_back(steps)
            for run_id in again:
                self._wakes.follow(run_id, now, 0.0)
            raise
        if search.fruitless:
            self._wakes.rest(now, search.fruitless * self._rest)
        for run_id in search.found:
            self._visits[run_id] = 0
        await self._ledger.wake(tuple(search.found), now=now)
        known = [await self._ledger.run(run_id) for run_id in dict.fromkeys([*search.found, *again])]
        return Woken([run for run in known if run and self._is_wanted(run, search.found)], search.rows)

    async def visited(self, woken: Woken, started: float, now: float) -> None:
        """Come back to those that are not complete yet, and to those that were not reached."""
        for run_id in [run.id for run in woken.runs]:
            run = await self._ledger.run(run_id)
            visits = self._visits.pop(run_id, 0) + 1
            wait = self._until_next_visit(run, visits, started, now) if run and visits <= _VISITS else None
            if wait is not None:
                self._visits[run_id] = visits
                self._wakes.follow(run_id, now, wait)

    def _is_wanted(self, run: FollowedRun, found: Mapping[str, None]) -> bool:
        """Else a sweep between has done it: what waited is sent, or the run is closed."""
        wanted = run.phase is Phase.OPEN and (run.id in found or _is_incomplete(run))
        if not wanted:
            self._visits.pop(run.id, None)
        return wanted

    def _until_next_visit(self, run: FollowedRun, visits: int, started: float, now: float) -> float | None:
        """Seconds, or None where the next hook, or polling, is soon enough."""
        if run.phase is not Phase.OPEN:
            return None
        if run.last_visit < started or run.next_visit <= run.last_visit:
            return 0.0  # not reached in time, or there is more to read
        if not run.waiting:
            return max(0.0, run.next_visit - now) if run.over_since is not None else None
        patient: float = max(_FIRST_AGAIN * 2.0 ** (visits - 1), run.next_visit - now)
        until_settled = min(run.waiting.values()) + self._settle - now
        return min(patient, until_settled) if until_settled > 0 else patient

    async def _look_up(self, steps: Iterable[str], now: float) -> _Search:
        search = _Search(now, await self._floor.floor(now))
        queue = iter(steps)

        async def work() -> None:
            for step_id in queue:
                await self._find(step_id, search)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(work())
        except* LettaError as failed:
            raise failed.exceptions[0] from failed
        return search

    async def _find(self, step_id: str, search: _Search) -> None:
        """The step's run, into `search`, where a visit may bring something."""
        try:
            run_id = await self._run_of(step_id, search)
        except (LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable) as error:
            if isinstance(error, LettaUnavailable) and error.status != _BROKEN_RECORD:
                raise
            search.fruitless += 1
            self._strange.met(
                "a wake-up names a step that Letta does not show: does another server's STEP_COMPLETE_WEBHOOK name"
                " this bridge? Polling goes on as ever",
                now=search.now,
                answer=str(error),
            )
            return
        if run_id is not None:
            search.found[run_id] = None

    async def _run_of(self, step_id: str, search: _Search) -> str | None:
        step = await self._source.step(step_id)
        if is_pending(step):
            self._wakes.forget(step_id)  # it will end, and then the hook is right
            search.fruitless += 1
            return None
        if step.run_id is None:
            return None
        known = await self._ledger.run(step.run_id)
        if known is not None:
            return None if known.phase is Phase.CLOSED or step_id in known.delivered else known.id
        row = search.rows.get(step.run_id) or await self._source.run(step.run_id)
        if created_ns(row) < search.floor:
            return None
        await self._ledger.discover([followed(row, search.now)], now=search.now)
        search.rows[row.id] = row
        return row.id


def _is_incomplete(run: FollowedRun) -> bool:
    return bool(run.waiting) or run.over_since is not None or run.next_visit <= run.last_visit
