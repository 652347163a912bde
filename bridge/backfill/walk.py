"""Down the run list from new to old, a page whenever the runs of the last one are visited.

A page's runs enter the ledger in the transaction that also notes how far down every run is known: from then on they
are the ledger's to finish, and a walk that was interrupted finds them there. Runs that an earlier backfill entered
are passed by. A cursor that Letta no longer knows sends the walk back to the top, where all it did is passed by too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from bridge.backfill.bounds import Bounds
from bridge.backfill.patience import is_at_once
from bridge.errors import CursorIgnored
from bridge.follow.decide import is_over
from bridge.ledger.backfill import BackfillLedger
from bridge.ledger.covered import Range
from bridge.ledger.ledger import DeadLetter
from bridge.map.timing import to_ns
from bridge.source.letta import FULL_PAGE, LettaSource
from bridge.source.models import Run
from bridge.source.parse import Malformed
from bridge.sweep.discovery import created_ns, followed, wake_ended

_PAGE: Final = 100  # runs to visit at a time; where there is none to visit the pages are full ones


class Walk:
    """Finds the runs of a backfill; a `bridge.sweep.sweep.Finder`.

    Attributes:
        done: every run is entered.
        passed: runs that an earlier backfill had entered.
    """

    def __init__(
        self,
        source: LettaSource,
        ledger: BackfillLedger,
        bounds: Bounds,
        *,
        before: Sequence[Range] = (),
        bottom_ns: int | None = None,
    ) -> None:
        """Stand at the top.

        Args:
            source: where runs are read.
            ledger: where they are entered.
            bounds: which.
            before: what earlier backfills have entered.
            bottom_ns: created_at of the oldest run, ns since the epoch; None where it is not known.
        """
        self._source = source
        self._ledger = ledger
        self._bounds = bounds
        self._before = before
        self._pager = source.run_list(bounds.range.agent_id)
        self._cursor: Run | None = None
        self._limit = _PAGE
        self._rows: Mapping[str, Run] = {}
        self._woken = False
        wanted = bounds.range
        self._bottom_ns = max(wanted.from_ns, min(wanted.until_ns, bottom_ns or wanted.from_ns))
        self._above_ns = self._reached_ns = wanted.until_ns
        self._entered = 0
        self.done = wanted.from_ns >= wanted.until_ns
        self.passed = 0

    @property
    def unfinished(self) -> bool:
        """Whether there are runs that are not entered; see `bridge.sweep.sweep.Finder`."""
        return not self.done

    async def discover(self, now: float) -> Mapping[str, Run]:
        """The next page, once every run of the last is visited; see `bridge.sweep.sweep.Finder`.

        Raises:
            LettaError: the list could not be read: the next call goes on from here, or from the top.
        """
        if not self._woken:
            await wake_ended(self._source, self._ledger, now)
            self._woken = True
        if not self.done and not await self.unvisited(now):
            await self._next_page(now)
        elif letters := self._letters(await self._ledger.ranges(), ()):
            await self._ledger.enter((), letters, Range(0, 0))
        return self._rows

    async def unvisited(self, now: float) -> int:
        """How many runs of the page are still to be read."""
        return sum(map(is_at_once, await self._ledger.due(now=now, limit=FULL_PAGE)))

    def position_ns(self, unvisited: int) -> int:
        """How far down the runs are visited, ns since the epoch; within a page it is a guess."""
        left = unvisited / self._entered if self._entered else 0.0
        return self._reached_ns + round((self._above_ns - self._reached_ns) * min(left, 1.0))

    def share(self, unvisited: int) -> float:
        """How much of the time is behind, from 0 to 1."""
        top, whole = self._bounds.range.until_ns, self._bounds.range.until_ns - self._bottom_ns
        return min(1.0, (top - self.position_ns(unvisited)) / whole) if whole else 1.0

    async def _next_page(self, now: float) -> None:
        try:
            page = await self._pager.page(self._cursor, self._limit)
        except CursorIgnored:  # mostly the last run of a page was deleted before the next page was asked for
            self._cursor, self._limit, self.passed = None, _PAGE, 0
            raise
        wanted = [run for run in page if self._bounds.range.holds(created_ns(run), run.agent_id)]
        known = await self._ledger.ranges()
        new = [run for run in wanted if not _is_in(known, created_ns(run), run.agent_id)]
        at_end = not page or created_ns(page[-1]) < self._bounds.range.from_ns
        # More runs of the last one's very instant may follow on the next page.
        reached = self._bounds.range.from_ns if at_end else created_ns(page[-1]) + 1
        entering = [followed(run, now) for run in new]
        self._entered = await self._ledger.enter(entering, self._letters(known, page), self._down_to(reached))
        self.passed += sum(_is_in(self._before, created_ns(run), run.agent_id) for run in wanted)
        self._rows = {run.id: run for run in new if is_over(run)}  # the others change while they wait for their visit
        self._above_ns = self._reached_ns
        self._reached_ns = max(self._bottom_ns, min(self._reached_ns, reached))
        self._cursor = page[-1] if page else None
        self._limit = _PAGE if new else FULL_PAGE
        self.done = at_end

    def _down_to(self, reached_ns: int) -> Range:
        """What is entered by now: from the newest run that must have shown up down to here; may be empty."""
        wanted = self._bounds.range
        return Range(max(reached_ns, wanted.from_ns), min(wanted.until_ns, self._bounds.complete_ns), wanted.agent_id)

    def _letters(self, known: Sequence[Range], page: Sequence[Run]) -> list[DeadLetter]:
        """What could not be read and is this backfill's: the lists show the service's too, and what is kept."""
        lost = self._source.take_malformed()
        return [_letter(each) for each in lost if each.kind != "run" or self._is_ours(each, known, page)]

    def _is_ours(self, lost: Malformed, known: Sequence[Range], page: Sequence[Run]) -> bool:
        if any(run.id == lost.id for run in page):
            return False  # it is followed all the same, without the fields that do not fit
        placed = _place(lost.text)
        if placed is None:  # somewhere in this page
            return not page or any(self._bounds.range.holds(created_ns(run), run.agent_id) for run in page)
        return self._bounds.range.holds(*placed) and not _is_in(known, *placed)


def _is_in(ranges: Sequence[Range], created: int, agent_id: str | None) -> bool:
    return any(each.holds(created, agent_id) for each in ranges)


def _place(text: str) -> tuple[int, str | None] | None:
    """created_at (ns since the epoch) and the agent of a row that could not be read, where at least that can be."""
    try:
        row = json.loads(text)
        created = datetime.fromisoformat(row["created_at"])
    except (ValueError, TypeError, KeyError):
        return None
    return to_ns(created if created.tzinfo else created.replace(tzinfo=UTC)), row.get("agent_id")


def _letter(lost: Malformed) -> DeadLetter:
    return DeadLetter(kind=lost.kind, source=lost.id, reason=lost.reason, payload=lost.text.encode())
