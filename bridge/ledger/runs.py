"""The runs in the ledger's file. Each function works within the transaction of whoever calls it.

A row holds the run as the code knows it (`state`, without what has its default) and repeats in columns what is
searched and counted. `woken` stands until the next visit: of a followed run, that it goes before the others; of a
closed one, that it was listed with a change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from sqlite3 import Connection
from typing import Any, Final

from bridge.follow.ended import ACTIVE
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger.figures import OpenRuns

_STORE: Final = """
    INSERT INTO run (stream, id, agent_id, phase, status, stop_reason, created_ns, last_visit, next_visit,
        keep_until, woken, state)
    VALUES (:stream, :id, :agent_id, :phase, :status, :stop_reason, :created_ns, :last_visit, :next_visit,
        :keep_until, :woken, :state)
    ON CONFLICT (stream, id) DO UPDATE SET agent_id = excluded.agent_id, phase = excluded.phase,
        status = excluded.status, stop_reason = excluded.stop_reason, created_ns = excluded.created_ns,
        last_visit = excluded.last_visit, next_visit = excluded.next_visit, keep_until = excluded.keep_until,
        woken = excluded.woken, state = excluded.state
"""
# A visit that lies ahead of the clock was made before that was set back.
_DUE: Final = """
    SELECT state FROM run WHERE stream = ?1 AND phase <> 'closed' AND phase = 'open'
    AND (next_visit <= ?2 OR last_visit > ?2 OR woken)
    ORDER BY woken DESC, last_visit, created_ns, id LIMIT ?3
"""
_CHANGED: Final = """
    SELECT state FROM run WHERE stream = ? AND phase = 'closed' AND woken = 1 ORDER BY next_visit LIMIT ?
"""
_WATCHED: Final = """
    SELECT state FROM run WHERE stream = ?1 AND phase = 'closed' AND woken = 0 AND next_visit <= ?2
    AND keep_until >= ?2 ORDER BY next_visit LIMIT ?3
"""
_ASLEEP: Final = """
    SELECT state FROM run WHERE stream = ?1 AND phase <> 'closed' AND phase = 'dormant' AND next_visit <= ?2
    ORDER BY next_visit LIMIT ?3
"""
_ACTIVE: Final = "SELECT id, created_ns, status FROM run WHERE stream = ? AND phase <> 'closed'"
_OPEN: Final = """
    SELECT coalesce(status, 'unknown'), count(*), min(created_ns) FROM run
    WHERE stream = ? AND phase <> 'closed' AND phase = 'open' GROUP BY 1
"""
AWAITING_APPROVAL: Final = """
    SELECT id FROM run WHERE stream = ?1 AND stop_reason = 'requires_approval' AND status IS NOT 'cancelled'
    AND NOT EXISTS (
        SELECT 1 FROM run AS later
        WHERE later.stream = run.stream AND later.agent_id = run.agent_id AND later.created_ns > run.created_ns
    )
"""
# A run that answers one which stays has to stay too, or that one would seem to wait again.
_FORGETTABLE: Final = """
    SELECT id FROM run WHERE stream = ?1 AND phase = 'closed' AND keep_until <= ?2 AND created_ns < ?3 AND woken = 0
    AND (
        stop_reason IS NOT 'requires_approval' OR status IS 'cancelled' OR EXISTS (
            SELECT 1 FROM run AS later
            WHERE later.stream = run.stream AND later.agent_id = run.agent_id AND later.created_ns > run.created_ns
        )
    )
    AND NOT EXISTS (
        SELECT 1 FROM run AS asking
        WHERE asking.stream = run.stream AND asking.agent_id = run.agent_id AND asking.created_ns < run.created_ns
        AND asking.stop_reason = 'requires_approval' AND asking.status IS NOT 'cancelled'
        AND (asking.phase <> 'closed' OR asking.keep_until > ?2 OR asking.woken)
    )
"""


def store(connection: Connection, stream: int, runs: Iterable[FollowedRun], *, woken: bool = False) -> None:
    """Write each run as it is, known or not."""
    connection.executemany(_STORE, [row_of(stream, run, woken=woken) for run in runs])


def enter(connection: Connection, stream: int, runs: Sequence[FollowedRun], *, now: float) -> int:
    """Write the runs that are not known, and make a look due at the closed ones that have changed.

    Returns how many were not known.
    """
    new = 0
    for run in runs:
        known = _columns(connection, stream, run.id)
        if known is None:
            store(connection, stream, [run])
            new += 1
        elif _has_changed(known, run):
            _make_look_due(connection, stream, run.id, now)
    return new


def wake(connection: Connection, stream: int, ids: Collection[str], *, now: float) -> None:
    """Make followed runs due, before all others."""
    for run in [find(connection, stream, id_) for id_ in ids]:
        if run is not None and run.phase is not Phase.CLOSED:
            due = run.model_copy(update={"phase": Phase.OPEN, "next_visit": now})
            store(connection, stream, [due], woken=True)


def forget(connection: Connection, stream: int, *, created_before_ns: int, now: float) -> None:
    """Drop the tombstones that nobody needs; all are chosen before the first goes, for they answer one another."""
    ids = [id_ for (id_,) in connection.execute(_FORGETTABLE, (stream, now, created_before_ns))]
    connection.executemany("DELETE FROM run WHERE stream = ? AND id = ?", [(stream, id_) for id_ in ids])


def find(connection: Connection, stream: int, run_id: str) -> FollowedRun | None:
    """One run, or None."""
    row = connection.execute("SELECT state FROM run WHERE stream = ? AND id = ?", (stream, run_id)).fetchone()
    return row and FollowedRun.model_validate_json(row[0])


def due(connection: Connection, stream: int, *, now: float, limit: int) -> list[FollowedRun]:
    """Open runs to visit: the woken ones, then the longest unvisited."""
    return _runs(connection, _DUE, stream, now, limit)


def looks(connection: Connection, stream: int, *, now: float, limit: int) -> list[FollowedRun]:
    """Runs to look at: those that have changed, then the watched ones, then the dormant; the most overdue first."""
    found = _runs(connection, _CHANGED, stream, limit)
    found += _runs(connection, _WATCHED, stream, now, limit - len(found))
    return found + _runs(connection, _ASLEEP, stream, now, limit - len(found))


def active(connection: Connection, stream: int) -> list[tuple[str, int]]:
    """(id, created_ns) of the followed runs that were active when last seen."""
    rows = connection.execute(_ACTIVE, (stream,))
    return [(id_, created_ns) for id_, created_ns, status in rows if status in ACTIVE]


def gauges(connection: Connection, stream: int) -> OpenRuns:
    """What is open and what waits."""
    open_ = connection.execute(_OPEN, (stream,)).fetchall()
    by_status = {status: count for status, count, _ in open_}
    oldest_ns = min((oldest for _, _, oldest in open_), default=None)
    return OpenRuns(by_status, oldest_ns, len(awaiting_approval(connection, stream)))


def awaiting_approval(connection: Connection, stream: int) -> set[str]:
    """Ids of the runs that wait for an approval."""
    return {id_ for (id_,) in connection.execute(AWAITING_APPROVAL, (stream,))}


def row_of(stream: int, run: FollowedRun, *, woken: bool = False) -> dict[str, object]:
    """The columns of a run, by name."""
    return {
        "stream": stream,
        "id": run.id,
        "agent_id": run.agent_id,
        "phase": run.phase,
        "status": run.status,
        "stop_reason": run.stop_reason,
        "created_ns": run.created_ns,
        "last_visit": run.last_visit,
        "next_visit": run.next_visit,
        "keep_until": run.keep_until,
        "woken": woken,
        "state": run.model_dump_json(exclude_defaults=True),  # tombstones are many
    }


def _columns(connection: Connection, stream: int, run_id: str) -> tuple[Any, ...] | None:
    query = "SELECT phase, woken, status, stop_reason FROM run WHERE stream = ? AND id = ?"
    row: tuple[Any, ...] | None = connection.execute(query, (stream, run_id)).fetchone()
    return row


def _has_changed(known: tuple[Any, ...], listed: FollowedRun) -> bool:
    """Whether a look is due; not at a tombstone without a status, which was forgotten on purpose."""
    phase, woken, status, stop_reason = known
    is_watching = phase == Phase.CLOSED and not woken and status is not None
    return is_watching and (status, stop_reason) != (listed.status, listed.stop_reason)


def _make_look_due(connection: Connection, stream: int, run_id: str, now: float) -> None:
    run = find(connection, stream, run_id)
    assert run is not None
    store(connection, stream, [run.model_copy(update={"next_visit": now})], woken=True)


def _runs(connection: Connection, query: str, *parameters: object) -> list[FollowedRun]:
    return [FollowedRun.model_validate_json(state) for (state,) in connection.execute(query, parameters)]
