"""Take something out of a ledger that nobody else is using: a run that is not to be followed, or a whole stream."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from bridge.follow.state import FollowedRun, Phase
from bridge.ledger import runs
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Plan
from bridge.ledger.verify import stream_tables


def forget_runs(file: LedgerFile, ids: Iterable[str]) -> dict[str, int]:
    """Turn the runs into tombstones without a status, in every stream that knows them, all or none.

    A tombstone keeps the run from being discovered anew; it is neither watched nor compared with what is listed. What
    of it is in flight is still delivered.

    Returns:
        In how many streams each run was known; nothing is changed where one was known in none.
    """
    with file.writing() as connection:
        known = {id_: _streams_of(connection, id_) for id_ in ids}
        if all(known.values()):
            for id_, streams in known.items():
                for stream in streams:
                    _forget(connection, stream, id_)
        return {id_: len(streams) for id_, streams in known.items()}


def remove_stream(file: LedgerFile, number: int) -> bool:
    """Delete a stream with all that belongs to it; False where there is none of that number."""
    with file.writing() as connection:
        for table in stream_tables(connection):
            connection.execute(f"DELETE FROM {table} WHERE stream = ?", (number,))  # noqa: S608 - a table's name
        return connection.execute("DELETE FROM stream WHERE id = ?", (number,)).rowcount > 0


def _streams_of(connection: Connection, run_id: str) -> list[int]:
    return [stream for (stream,) in connection.execute("SELECT stream FROM run WHERE id = ?", (run_id,))]


def _forget(connection: Connection, stream: int, run_id: str) -> None:
    run = runs.find(connection, stream, run_id)
    assert run is not None
    runs.store(connection, stream, [_tombstone(run)])
    row = connection.execute("SELECT plan FROM in_flight WHERE stream = ?", (stream,)).fetchone()
    if row is not None:
        plan = Plan.model_validate_json(row[0])
        kept = tuple(_tombstone(planned) if planned.id == run_id else planned for planned in plan.runs)
        text = plan.model_copy(update={"runs": kept}).model_dump_json()
        connection.execute("UPDATE in_flight SET plan = ? WHERE stream = ?", (text, stream))


def _tombstone(run: FollowedRun) -> FollowedRun:
    return run.model_copy(
        update={
            "phase": Phase.CLOSED,
            "status": None,
            "stop_reason": None,
            "keep_until": 0.0,
            "sent": (),
            "waiting": {},
        }
    )
