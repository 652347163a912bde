"""Find the runs that are new and notice those that have ended: two requests on a quiet server.

A run's created_at is set before its row becomes visible, by up to seconds and out of order (0.16.8), so a whole walk
goes down past the watermark by an overlap and the ledger drops what it knows. Whole are the first walk and one a
minute; those between end on the first page, where that reaches down to what the walk before has seen. Only a whole
walk moves the watermark, so that the next begins its overlap where the last one did end. A walk too long for one
sweep goes on in the next; a crash costs a second walk and no run. That the list is at its end only an empty page
proves: a short one may have been cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.errors import CursorIgnored
from bridge.follow.state import FollowedRun
from bridge.ledger.ledger import Ledger
from bridge.map.timing import to_ns
from bridge.observe import SelfMetrics
from bridge.source.letta import FULL_PAGE, LettaSource
from bridge.source.models import Run
from bridge.source.pager import may_continue

_FIRST_PAGE: Final = 100
_PAGES_A_SWEEP: Final = 10
_WHOLE_EVERY: Final = 60.0  # seconds
_ENOUGH: Final = 1500  # rows that end a walk for now: they stay in memory until the sweep is over
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Descent:
    """An unfinished walk.

    Attributes:
        cursor: the last run it reached.
        top_ns: created_at of the newest run when it began.
    """

    cursor: Run
    top_ns: int


class Discovery:
    """Keeps the ledger's list of runs complete."""

    def __init__(self, source: LettaSource, ledger: Ledger, metrics: SelfMetrics, *, overlap: float) -> None:
        """Begin with nothing in hand.

        Args:
            source: where runs are read.
            ledger: where they are entered.
            metrics: told when a walk has to begin anew.
            overlap: seconds to look back past the watermark.
        """
        self._metrics = metrics
        self._source = source
        self._ledger = ledger
        self._overlap_ns = round(overlap * _NS)
        self._descent: _Descent | None = None
        self._seen_ns = 0  # created_at up to which the last walk has left no gap
        self._whole_at: float | None = None
        self._overlapping = 0  # runs that the last whole walk has seen

    @property
    def unfinished(self) -> bool:
        """Whether older runs are left to the next sweeps, which go on from here."""
        return self._descent is not None

    async def discover(self, now: float) -> Mapping[str, Run]:
        """Enter the new runs, wake the ended ones.

        Returns:
            The rows read on the way, by id: as fresh as this call.

        Raises:
            LettaError: the list could not be read; what was read is entered.
        """
        rows = {run.id: run for run in await self._new_runs(now)}
        active = await wake_ended(self._source, self._ledger, now)
        return {run.id: run for run in active} | rows

    async def floor(self, now: float) -> int:
        """created_at (ns) below which no run is entered: it is known, or was, or is none of the stream's business."""
        origin = await self._ledger.origin() or 0
        watermark = await self._ledger.watermark() or origin
        return max(origin, min(watermark, self._server_now_ns(now)) - self._overlap_ns)

    async def _new_runs(self, now: float) -> Sequence[Run]:
        watermark = await self._ledger.watermark() or await self._ledger.origin() or 0
        floor = await self.floor(now)
        if self._descent is None:
            return await self._walk_from_top(floor, now, watermark)
        with self._source.pager.another_walk():
            head = await self._walk_head(max(floor, self._descent.top_ns - self._overlap_ns), now)
        try:
            return [*head, *await self._walk(self._descent, floor, now, watermark)]
        except CursorIgnored:
            self._metrics.cursor_restarted()
            self._descent = None
            return head

    def _server_now_ns(self, now: float) -> int:
        """The server's clock, or the bridge's where no answer carries a date.

        A watermark ahead of it is left over from before that clock was set back.
        """
        server_now = self._source.server_now()
        return round((now if server_now is None else server_now) * _NS)

    async def _walk_from_top(self, floor: int, now: float, watermark: int) -> Sequence[Run]:
        try:
            return await self._walk(None, floor, now, watermark)
        except CursorIgnored:  # mostly the last run of a page was deleted before the next page was asked for
            self._metrics.cursor_restarted()
            return await self._walk(None, floor, now, watermark)

    async def _walk_head(self, floor: int, now: float) -> Sequence[Run]:
        found: list[Run] = []
        cursor: Run | None = None
        while True:
            page, cursor = await self._page(cursor, floor)
            await self._ledger.discover([followed(run, now) for run in page], now=now)
            found += page
            if cursor is None:
                return found

    async def _walk(self, descent: _Descent | None, floor: int, now: float, watermark: int) -> Sequence[Run]:
        """Go down to the floor, or to what is known, or as far as one sweep may; at the floor the watermark moves."""
        found: list[Run] = []
        cursor = descent.cursor if descent else None
        top = descent.top_ns if descent else watermark
        whole = descent is not None or self._is_whole_due(now)
        first = min(FULL_PAGE, self._overlapping + _FIRST_PAGE) if whole else _FIRST_PAGE
        for _ in range(_PAGES_A_SWEEP):
            page, cursor = await self._page(cursor, floor, first)
            if descent is None and not found and page:
                top = max(top, created_ns(page[0]))
            found += page
            done = cursor is None
            await self._ledger.discover(
                [followed(run, now) for run in page],
                now=now,
                watermark_ns=top if done else None,
                forget_before_ns=top - self._overlap_ns if done else None,
            )
            if cursor is None:
                self._descent, self._seen_ns = None, top
                self._whole_at, self._overlapping = now, len(found)
                return found
            if not whole and created_ns(cursor) <= self._seen_ns:
                self._seen_ns = top
                return found
            if len(found) >= _ENOUGH:
                break
        assert cursor is not None
        self._descent = _Descent(cursor, top)
        return found

    def _is_whole_due(self, now: float) -> bool:
        return self._whole_at is None or not 0 <= now - self._whole_at < _WHOLE_EVERY

    async def _page(
        self, cursor: Run | None, floor: int, first: int = _FIRST_PAGE
    ) -> tuple[Sequence[Run], Run | None]:
        """The runs above the floor, and the cursor to go on from, None when the floor or the end is reached."""
        limit = first if cursor is None else FULL_PAGE
        page = await self._source.runs_before(cursor, limit)
        above = [run for run in page if created_ns(run) >= floor]
        goes_on = page and len(above) == len(page)
        return above, page[-1] if goes_on else None


async def wake_ended(source: LettaSource, ledger: Ledger, now: float) -> Sequence[Run]:
    """Make due what was active when last seen and is no longer; one request, or none where nothing was active.

    One further down the list than a page is left to its own next visit.

    Returns:
        The runs that are active now, the newest thousand.
    """
    known = await ledger.active()
    if not known:
        return ()
    active = await source.active_runs()
    listed = {run.id for run in active}
    reach = 0 if not may_continue(len(active), FULL_PAGE) else created_ns(active[-1])
    await ledger.wake([id_ for id_, created in known if id_ not in listed and created > reach], now=now)
    return active


def created_ns(run: Run) -> int:
    """created_at in nanoseconds since the epoch, exact to the microsecond that Letta gives."""
    return to_ns(run.created_at)


def followed(run: Run, now: float) -> FollowedRun:
    """A run that was just found."""
    return FollowedRun(
        id=run.id,
        agent_id=run.agent_id,
        created_ns=created_ns(run),
        status=run.status,
        stop_reason=run.stop_reason,
        first_seen=now,
        last_news=now,
        next_visit=now,
    )
