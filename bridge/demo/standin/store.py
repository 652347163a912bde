"""The rows of a Letta server, in memory, as they are at any moment.

A change is entered with the moment it becomes visible, which on a real server is later than the row's own
created_at (that is set before the commit): so rows appear late and out of order here too. Reading applies what
has come due. Nothing runs in the background, and a clock that a test turns by hand replays years at once.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from bridge.clock import Clock
from bridge.demo.standin.rows import EMPTY, Fields, Table


@dataclass(slots=True)
class Row:
    """One row: what the API shows of it, and the time it is ordered by (which it does not always show)."""

    id: str
    created_at: datetime
    fields: Fields

    @property
    def position(self) -> tuple[datetime, str]:
        """Its place in every listing."""
        return self.created_at, self.id


@dataclass(order=True, slots=True)
class _Change:
    visible_at: float
    turn: int
    table: Table = field(compare=False)
    id: str = field(compare=False)
    created_at: float | None = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False)


class Store:
    """Tables by name, rows by id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns = count()
        self._coming: list[_Change] = []
        self._tables: dict[Table, dict[str, Row]] = {table: {} for table in Table}

    def put(
        self,
        table: Table,
        row_id: str,
        fields: Mapping[str, Any],
        *,
        created_at: float | None = None,
        visible_at: float | None = None,
    ) -> None:
        """Insert a row or change fields of one.

        Args:
            table: where.
            row_id: which.
            fields: the fields that change; the others of a new row are as `EMPTY` has them.
            created_at: seconds since the epoch; None keeps a row's own, and is `visible_at` for a new row.
            visible_at: when the change is seen, seconds since the epoch; None for at once.

        Raises:
            KeyError: a field that such a row does not have.
        """
        if unknown := fields.keys() - EMPTY[table].keys():
            raise KeyError(f"{table} have no {', '.join(sorted(unknown))}")
        when = self._clock.now() if visible_at is None else visible_at
        heapq.heappush(self._coming, _Change(when, next(self._turns), table, row_id, created_at, fields))

    def get(self, table: Table, row_id: str) -> Row | None:
        """One row as it is now, or None."""
        self._settle()
        return self._tables[table].get(row_id)

    def rows(self, table: Table) -> Sequence[Row]:
        """All rows as they are now, oldest first."""
        self._settle()
        return sorted(self._tables[table].values(), key=lambda row: row.position)

    def pending(self) -> int:
        """How many changes are still to come."""
        self._settle()
        return len(self._coming)

    def delete_agent(self, agent_id: str) -> None:
        """Delete an agent; as on a real server its runs, steps, metrics and messages go with it."""
        self._settle()
        self._tables[Table.AGENTS].pop(agent_id, None)
        for table in Table:
            self._keep(table, lambda row: row.fields.get("agent_id") != agent_id)

    def forget_runs(self, created_before: float) -> None:
        """Drop old runs and all that belongs to them, to bound the memory of a server that plays for days."""
        self._settle()
        limit = _moment(created_before)
        for table in Table:
            if table is not Table.AGENTS:
                self._keep(table, lambda row: row.created_at >= limit)

    def _keep(self, table: Table, wanted: Callable[[Row], bool]) -> None:
        self._tables[table] = {row.id: row for row in self._tables[table].values() if wanted(row)}

    def _settle(self) -> None:
        now = self._clock.now()
        while self._coming and self._coming[0].visible_at <= now:
            self._apply(heapq.heappop(self._coming))

    def _apply(self, change: _Change) -> None:
        rows = self._tables[change.table]
        row = rows.get(change.id)
        if row is None:
            empty = copy.deepcopy(EMPTY[change.table])
            row = rows[change.id] = Row(change.id, _moment(change.visible_at), {**empty, "id": change.id})
        if change.created_at is not None:
            row.created_at = _moment(change.created_at)
        row.fields.update(change.fields)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
