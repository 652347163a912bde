"""Looks at runs that are over and sent, for what changes late: the least important work of a sweep.

A look costs the run's steps, and its row unless the sweep has read it already. One that fails is put off to the next,
and costs no other; a failing server ends the sweep. A run that Letta no longer has is looked at no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from bridge.errors import LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable
from bridge.follow.ended import awaits_approval
from bridge.follow.late import Late, Look, compare
from bridge.follow.state import FollowedRun, Phase
from bridge.follow.tombstone import gone, next_look
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.map.late import map_late
from bridge.map.mapper import MapOptions
from bridge.source.letta import LettaSource
from bridge.source.models import Run, Step
from bridge.source.parse import Page
from bridge.sweep.outbox import Outbox
from bridge.sweep.steps import all_steps, joined

_log = get_logger(__name__)

_FAILURES_IN_A_ROW: Final = 3  # of single runs: then it is the server


class Looks:
    """Looks again, within its part of the request budget."""

    def __init__(
        self, source: LettaSource, ledger: Ledger, *, options: MapOptions, watch_for: float, requests: float
    ) -> None:
        """Take the parts.

        Args:
            source: where runs are read.
            ledger: asked what is due, and who still awaits an approval.
            options: the user's choices.
            watch_for: seconds.
            requests: how many a sweep may spend.
        """
        self._source = source
        self._ledger = ledger
        self._options = options
        self._watch_for = watch_for
        self._requests = requests
        self._left = 0.0
        self._failures = 0

    def begin_sweep(self) -> None:
        """Have the next sweep's requests to spend; what the last one has overspent is taken off."""
        self._left = min(self._left, 0.0) + self._requests

    async def due(self, now: float, limit: int) -> Sequence[FollowedRun]:
        """The closed runs to look at now, none once the requests are spent."""
        return await self._ledger.looks(now=now, limit=limit) if self._left > 0 else ()

    async def take(self, due: Sequence[FollowedRun], rows: Mapping[str, Run], outbox: Outbox, *, now: float) -> None:
        """Look at runs until the requests are spent; what each look gave is in `outbox` at once.

        Raises:
            LettaError: the server fails.
        """
        awaiting = await self._ledger.awaiting_approval() if any(map(_asks, due)) else ()
        for followed in due:
            if self._left <= 0:
                return
            await self._take(followed, rows.get(followed.id), outbox, now=now, awaiting=awaiting)

    async def _take(
        self, followed: FollowedRun, row: Run | None, outbox: Outbox, *, now: float, awaiting: Collection[str]
    ) -> None:
        try:
            look = await self._read(followed, row, now)
        except LettaNotFound:
            outbox.add_run(gone(followed))
            return
        except (LettaMisbehaved, LettaRefused, LettaUnavailable) as error:
            self._failures += 1
            for_all = isinstance(error, LettaUnavailable) and error.is_for_all
            if for_all or self._failures >= _FAILURES_IN_A_ROW:
                self._failures = 0
                raise
            _log.debug("look put off", run=followed.id, reason=str(error))
            outbox.add_run(self._scheduled(followed, now, awaiting))
            return
        self._failures = 0
        late = compare(followed, look)
        run = late.run if late.run.phase is Phase.OPEN else self._scheduled(late.run, now, awaiting)
        outbox.add_run(run, map_late(late, look.run, at=now, options=self._options))
        _say(late)

    async def _read(self, followed: FollowedRun, row: Run | None, now: float) -> Look:
        if row is None:
            self._left -= 1
            row = await self._source.run(followed.id)
        steps: Page[Step] = Page((), ())
        self._left -= 1
        async for page in all_steps(self._source, followed.id):
            self._left -= bool(steps.order)
            steps = joined(steps, page)
        return Look(row, steps.items, steps.order, now)

    def _scheduled(self, run: FollowedRun, now: float, awaiting: Collection[str]) -> FollowedRun:
        still = run.id in awaiting and _asks(run)
        return next_look(run, at=now, watch_for=self._watch_for, awaits_approval=still)


def _asks(run: FollowedRun) -> bool:
    return awaits_approval(run.status, run.stop_reason)


def _say(late: Late) -> None:
    if late:
        _log.debug("changed after it was sent", run=late.run.id, status=late.run.status, steps=len(late.of_steps))
    if late.run.phase is Phase.OPEN:
        _log.debug("followed again after its span was sent", run=late.run.id, status=late.run.status)
