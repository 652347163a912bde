"""Cursors as Letta 0.16.8 understands them, not as it documents them.

Each rule below was measured; a reader who finds one odd has found the reason for the bridge's pager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.demo.standin.store import Row


class CursorNotFound(LookupError):
    """A step or message cursor that names no row; its argument is the cursor."""


class WrongWindow(ValueError):
    """`before` is older than `after`."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a list was asked for."""

    ascending: bool
    limit: int
    after: str | None = None
    before: str | None = None


def runs_page(rows: Sequence[Row], matching: Sequence[Row], window: Window, *, documented: bool) -> list[Row]:
    """A page of the run list.

    `after` and `before` are swapped unless `documented`; a cursor that names no run is ignored.

    Args:
        rows: every run, oldest first: a cursor may be one that the filters leave out.
        matching: the runs that pass the filters, oldest first.
        window: what was asked for.
        documented: cursors as the documentation has them.
    """
    by_id = {row.id: row for row in rows}
    page = list(matching)
    for cursor, onward in ((window.after, documented), (window.before, not documented)):
        mark = by_id.get(cursor or "")
        if mark is not None:
            page = [row for row in page if _newer(row, mark) == (onward == window.ascending) and row is not mark]
    return _in_order(page, window)[: window.limit]


def rows_page(rows: Sequence[Row], matching: Sequence[Row], window: Window) -> list[Row]:
    """A page of steps or messages; `before` gives the far end, and `desc` stumbles over rows of one instant.

    Raises:
        CursorNotFound: a cursor names no row.
        WrongWindow: `before` is older than `after`.
    """
    before, after = (_cursor(rows, cursor) for cursor in (window.before, window.after))
    if before is not None and after is not None:
        return _between(matching, before, after, window)
    if before is not None:
        matching = [row for row in matching if _precedes(row, before, ascending=window.ascending)]
    if after is not None:
        matching = [row for row in matching if _follows(row, after, ascending=window.ascending)]
    return _in_order(matching, window)[: window.limit]


def _between(rows: Sequence[Row], before: Row, after: Row, window: Window) -> list[Row]:
    """With both cursors the server reads twice the limit and keeps the middle."""
    if before.created_at < after.created_at:
        raise WrongWindow("'before' reference must be later than 'after' reference")
    inside = [row for row in rows if after.position < row.position < before.position]
    found = _in_order(inside, window)[: window.limit * 2]
    if len(found) <= window.limit:
        return found
    start = max(0, len(found) // 2 - window.limit // 2)
    return found[start : start + window.limit]


def _precedes(row: Row, mark: Row, *, ascending: bool) -> bool:
    older = row.created_at < mark.created_at if ascending else row.created_at > mark.created_at
    return older or (row.created_at == mark.created_at and row.id < mark.id)


def _follows(row: Row, mark: Row, *, ascending: bool) -> bool:
    newer = row.created_at > mark.created_at if ascending else row.created_at < mark.created_at
    return newer or (row.created_at == mark.created_at and row.id > mark.id)


def _newer(row: Row, mark: Row) -> bool:
    return row.position > mark.position


def _in_order(rows: Sequence[Row], window: Window) -> list[Row]:
    return sorted(rows, key=lambda row: row.position, reverse=not window.ascending)


def _cursor(rows: Sequence[Row], cursor: str | None) -> Row | None:
    if not cursor:
        return None
    for row in rows:
        if row.id == cursor:
            return row
    raise CursorNotFound(cursor)
