"""What backfills have entered into the ledger's file, as ranges of time for each agent, or for all of them.

A run in a range is known or was: a backfill leaves it alone, so that its tombstone need not be kept. Each function
on a connection works within the transaction of whoever calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

_EVERY_AGENT: Final = ""
_ALL: Final = "SELECT agent_id, from_ns, until_ns FROM covered WHERE stream = ?"
_TOUCHED: Final = "FROM covered WHERE stream = ? AND agent_id = ? AND from_ns <= ? AND until_ns >= ?"
_FORGET: Final = """
    DELETE FROM run WHERE stream = ? AND phase = 'closed' AND EXISTS (
        SELECT 1 FROM covered
        WHERE covered.stream = run.stream AND covered.agent_id IN ('', run.agent_id)
        AND run.created_ns >= covered.from_ns AND run.created_ns < covered.until_ns
    )
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Runs of one agent created in a time.

    Attributes:
        from_ns: the first created_at in it, ns since the epoch.
        until_ns: the first one after it.
        agent_id: whose; None for every agent's.
    """

    from_ns: int
    until_ns: int
    agent_id: str | None = None

    def holds(self, created_ns: int, agent_id: str | None) -> bool:
        """Whether a run is in it."""
        return self.from_ns <= created_ns < self.until_ns and self.agent_id in (None, agent_id)


def ranges(connection: Connection, stream: int) -> list[Range]:
    """Every range of a stream."""
    rows = connection.execute(_ALL, (stream,))
    return [Range(from_ns, until_ns, agent_id or None) for agent_id, from_ns, until_ns in rows]


def add(connection: Connection, stream: int, new: Range) -> None:
    """Add a range, joined with those of the same agent that it touches; an empty one changes nothing."""
    if new.from_ns >= new.until_ns:
        return
    agent = new.agent_id or _EVERY_AGENT
    touched = (stream, agent, new.until_ns, new.from_ns)
    rows = connection.execute(f"SELECT from_ns, until_ns {_TOUCHED}", touched).fetchall()
    connection.execute(f"DELETE {_TOUCHED}", touched)
    from_ns, until_ns = _hull([(new.from_ns, new.until_ns), *rows])
    connection.execute("INSERT INTO covered VALUES (?, ?, ?, ?)", (stream, agent, from_ns, until_ns))


def forget(connection: Connection, stream: int) -> None:
    """Drop the tombstones of runs in a range."""
    connection.execute(_FORGET, (stream,))


def _hull(parts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    starts, ends = zip(*parts, strict=True)
    return min(starts), max(ends)
