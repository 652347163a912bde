"""What a ledger holds at one moment, as far as a person is shown it: counts, and the first few of each kind.

Read while the service runs, so nothing here looks at the closed runs, which are the many, or at a payload.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import Final

from bridge.follow.state import FollowedRun
from bridge.ledger import letters, runs
from bridge.ledger.figures import Glance, LetterHead

FEW: Final = 5

_STREAM: Final = "SELECT start_ns, origin_ns, watermark_ns FROM stream WHERE id = ?"
_FOLLOWED: Final = """
    SELECT phase, coalesce(status, 'unknown'), count(*) FROM run
    WHERE stream = ? AND phase <> 'closed' GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""
_OLDEST: Final = """
    SELECT state FROM run WHERE stream = ? AND phase <> 'closed' AND phase = 'open' ORDER BY created_ns LIMIT ?
"""
_DORMANT: Final = """
    SELECT state FROM run WHERE stream = ? AND phase <> 'closed' AND phase = 'dormant'
    ORDER BY created_ns DESC LIMIT ?
"""
_WAITING: Final = f"""
    SELECT state FROM run WHERE stream = ?1 AND id IN ({runs.AWAITING_APPROVAL}) ORDER BY created_ns LIMIT ?2
"""  # noqa: S608 - out of constants
_IN_FLIGHT: Final = """
    SELECT spans, (SELECT coalesce(sum(length(payload)), 0) FROM in_flight_payload AS aside
        WHERE aside.stream = in_flight.stream)
    FROM in_flight WHERE stream = ?
"""
_EXPORTS: Final = "SELECT count(*) FROM export WHERE stream = ?"
_NEWEST: Final = """
    SELECT id, CAST(strftime('%s', kept_at) AS REAL), kind, source, reason FROM dead_letter WHERE stream = ?
    ORDER BY id DESC LIMIT ?
"""


def glance(connection: Connection, stream: int) -> Glance:
    """Take a look, within the transaction of whoever calls it."""
    start_ns, origin_ns, watermark_ns = connection.execute(_STREAM, (stream,)).fetchone()
    followed: dict[str, dict[str, int]] = {}
    for phase, status, count in connection.execute(_FOLLOWED, (stream,)):
        followed.setdefault(phase, {})[status] = count
    return Glance(
        version=connection.execute("PRAGMA user_version").fetchone()[0],
        start_ns=start_ns,
        origin_ns=origin_ns,
        watermark_ns=watermark_ns,
        open_runs=followed.get("open", {}),
        dormant_runs=followed.get("dormant", {}),
        oldest=_runs(connection, _OLDEST, stream),
        dormant=_runs(connection, _DORMANT, stream),
        awaiting_approval=len(runs.awaiting_approval(connection, stream)),
        waiting=_runs(connection, _WAITING, stream),
        in_flight=in_flight(connection, stream),
        exports=connection.execute(_EXPORTS, (stream,)).fetchone()[0],
        dead_letters=letters.count(connection, stream),
        newest_letters=[LetterHead(*row) for row in connection.execute(_NEWEST, (stream, FEW))],
    )


def in_flight(connection: Connection, stream: int) -> tuple[int, int] | None:
    """(spans, bytes) of the batch that is put aside; None where there is none."""
    found: tuple[int, int] | None = connection.execute(_IN_FLIGHT, (stream,)).fetchone()
    return found


def _runs(connection: Connection, query: str, stream: int) -> list[FollowedRun]:
    return [FollowedRun.model_validate_json(state) for (state,) in connection.execute(query, (stream, FEW))]
