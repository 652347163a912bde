"""Walk the run list from new to old, proving that each page follows its cursor.

On 0.16.8 `after` and `before` of GET /v1/runs/ are swapped against the documentation: `before=<last>` walks on,
`after=<last>` goes round in circles (see with `order=desc&limit=3`). An unknown or deleted cursor is ignored: the
first page comes again. So a page counts only when every row is older than its cursor; otherwise the other dialect
is tried, and when neither holds CursorIgnored is raised and the caller starts again from the top.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import pairwise
from typing import Final

from bridge.errors import CursorIgnored, LettaMisbehaved
from bridge.source.models import Run


class Dialect(StrEnum):
    """The parameter that walks on from new to old."""

    SWAPPED = "before"  # 0.16.8
    DOCUMENTED = "after"


_USUAL_CAPS: Final = frozenset({20, 50, 100, 200, 250, 500})

Fetch = Callable[[dict[str, str | int]], Awaitable[Sequence[Run]]]


def may_continue(count: int, limit: int) -> bool:
    """Whether a page of `count` rows may have a successor.

    A short page is the last one, unless a server caps pages at a round number of its own below what was asked.
    """
    return count >= limit or count in _USUAL_CAPS


class RunPager:
    """Remembers which dialect the server was seen to speak.

    Attributes:
        dialect: None until a page has proven one.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._walked: set[str] = set()  # of the last row's instant: rows of one instant show no direction otherwise
        self.dialect: Dialect | None = None

    async def page(self, cursor: Run | None, limit: int) -> Sequence[Run]:
        """The `limit` runs that are next older than `cursor`, newest first; empty at the end.

        Raises:
            CursorIgnored: no dialect gives a page that is older than the cursor.
        """
        query: dict[str, str | int] = {"order": "desc", "limit": limit}
        if cursor is None:
            runs = _in_order(await self._fetch(query))
            self._walk(runs, None)
            return runs
        strays = 0
        dialects = (self.dialect,) if self.dialect else tuple(Dialect)
        for dialect in dialects:
            runs = await self._fetch({**query, dialect.value: cursor.id})
            if runs and self._follows(runs, cursor):
                if runs[-1].created_at != cursor.created_at:
                    self.dialect = dialect
                self._walk(runs, cursor)
                return runs
            strays += bool(runs)
        if strays < len(dialects):  # the true direction is empty: this was the last page
            return ()
        if self.dialect is None:
            raise CursorIgnored(f"the run list does not continue after {cursor.id}: was that run deleted?")
        self.dialect = None  # the server was replaced by another version, or the cursor is gone: find out afresh
        return await self.page(cursor, limit)

    @contextmanager
    def another_walk(self) -> Iterator[None]:
        """Walk from the top here without disturbing the walk that is under way."""
        walked, self._walked = self._walked, set()
        try:
            yield
        finally:
            self._walked = walked

    def _walk(self, runs: Sequence[Run], cursor: Run | None) -> None:
        if not runs:
            return
        instant = runs[-1].created_at
        kept = self._walked if cursor and cursor.created_at == instant else set()
        self._walked = kept | {run.id for run in runs if run.created_at == instant}

    def _follows(self, runs: Sequence[Run], cursor: Run) -> bool:
        """Every row is older than the cursor, or of its very instant and new to this walk."""
        return all(
            run.created_at < cursor.created_at or (run.created_at == cursor.created_at and run.id not in self._walked)
            for run in _in_order(runs)
        )


def _in_order(runs: Sequence[Run]) -> Sequence[Run]:
    if any(newer.created_at < older.created_at for newer, older in pairwise(runs)):
        raise LettaMisbehaved("Letta's run list came in no order although order=desc was asked for")
    return runs
