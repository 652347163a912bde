"""The rows of runs that are due, by the page: one request where each visit would make one of its own.

Runs that wait for their visit lie side by side in the run list: a backlog does, which is worked off in the order in
which its runs were created. So the page that ends below the newest of them shows most of the others. No row is older
than its sweep: a run that has ended since, or was cancelled, is told as it is. Where they lie far apart, or the list
fails, each visit asks for its own row, and the sweep asks for no further page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bridge.errors import LettaError
from bridge.follow.state import FollowedRun
from bridge.source.letta import LettaSource
from bridge.source.models import Run

_PAGE: Final = 100  # rows at least: costs Letta little more than a single run does (0.16.8)
_NEXT: Final = 8  # the runs that are visited for certain, however slow the server
_WORTH: Final = 3  # of which so many are missing
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Rows:
    """What one sweep knows of the runs that it visits."""

    def __init__(self, source: LettaSource, found: Mapping[str, Run]) -> None:
        """Begin with the rows that discovery has read."""
        self._source = source
        self._found = found
        self._page: Mapping[str, Run] = {}
        self._pays = True

    async def of(self, due: Sequence[FollowedRun]) -> Mapping[str, Run]:
        """The rows of these runs, by id, as far as they are known or a page shows them."""
        rows = self._known(due)
        missing = [run for run in due if run.id not in rows]
        if not self._pays or sum(run.id not in rows for run in due[:_NEXT]) < _WORTH:
            return rows
        newest = max(missing, key=lambda run: (run.created_ns, run.id))
        self._page = await self._page_below(newest, max(_PAGE, len(missing)))
        shown = self._known(missing)
        self._pays = len(shown) >= _WORTH - 1  # the newest itself is not below it
        return rows | shown

    def _known(self, runs: Sequence[FollowedRun]) -> dict[str, Run]:
        rows = {run.id: self._found.get(run.id) or self._page.get(run.id) for run in runs}
        return {run_id: row for run_id, row in rows.items() if row}

    async def _page_below(self, newest: FollowedRun, limit: int) -> Mapping[str, Run]:
        created = _EPOCH + timedelta(microseconds=newest.created_ns // 1000)
        try:
            with self._source.pager.another_walk():
                page = await self._source.runs_before(Run(id=newest.id, created_at=created), limit)
        except LettaError:  # of a server that fails for all, the visits will tell
            return {}
        return {run.id: run for run in page}
