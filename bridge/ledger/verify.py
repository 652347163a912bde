"""Find what is wrong within a ledger's file: pages, rows that cannot be read, and rows that contradict each other.

Reads everything once, at one moment, beside whoever writes. What a broken page hides is said once and the other
checks go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from sqlite3 import Connection, DatabaseError
from typing import Any, Final

from bridge.follow.state import FollowedRun
from bridge.ledger import runs
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Plan
from bridge.ledger.series import total_of
from bridge.map.failures import Failure

_RUN_COLUMNS: Final = [
    "id",
    "agent_id",
    "phase",
    "status",
    "stop_reason",
    "created_ns",
    "last_visit",
    "next_visit",
    "keep_until",
]
_OF_A_STREAM: Final = """
    SELECT tables.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
    WHERE tables.type = 'table' AND columns.name = 'stream' ORDER BY tables.name
"""


def problems(file: LedgerFile) -> Iterator[str]:
    """Each thing that is wrong, in one line.

    Raises:
        LedgerError: the file cannot be read at all.
    """
    with file.snapshot() as connection:
        for check in (_pages, _orphans, _runs, _series, _told, _exports, _in_flight, _letters, _failures):
            try:
                yield from check(connection)
            except DatabaseError as error:
                yield f"{check.__name__.strip('_').replace('_', ' ')}: cannot be read: {error}"


def stream_tables(connection: Connection) -> list[str]:
    """The tables whose rows belong to a stream each."""
    return [name for (name,) in connection.execute(_OF_A_STREAM)]


def _pages(connection: Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield f"pages: {' '.join(line.split())}"


def _orphans(connection: Connection) -> Iterator[str]:
    for table in stream_tables(connection):
        query = f"SELECT stream, count(*) FROM {table} WHERE stream NOT IN (SELECT id FROM stream) GROUP BY 1"  # noqa: S608 - a table's name
        for stream, count in connection.execute(query):
            yield f"{table}: {count} rows of stream {stream}, which does not exist"


def _runs(connection: Connection) -> Iterator[str]:
    query = f"SELECT stream, state, {', '.join(_RUN_COLUMNS)} FROM run"  # noqa: S608 - names from this file
    for stream, state, *columns in connection.execute(query):
        name = f"run {columns[0]} of stream {stream}"
        run, wrong = _decoded(FollowedRun.model_validate_json, state)
        if run is None:
            yield f"{name}: its state cannot be read: {wrong}"
            continue
        expected = runs.row_of(stream, run)
        for column, value in zip(_RUN_COLUMNS, columns, strict=True):
            if expected[column] != value:
                yield f"{name}: {column} is {value!r}, and {expected[column]!r} in its state"


def _series(connection: Connection) -> Iterator[str]:
    return _totals(connection, "series", "series")


def _told(connection: Connection) -> Iterator[str]:
    return _totals(connection, "told", "what was told of")


def _exports(connection: Connection) -> Iterator[str]:
    yield from _totals(connection, "export_series", "what an export tells of")
    strays = connection.execute(
        "SELECT stream, count(*) FROM export_series WHERE export NOT IN (SELECT id FROM export) GROUP BY 1"
    )
    for stream, count in strays:
        yield f"metrics in flight of stream {stream}: {count} series belong to no export"


def _totals(connection: Connection, table: str, what: str) -> Iterator[str]:
    query = f"SELECT stream, instrument, attributes, sum, count, buckets FROM {table}"  # noqa: S608 - a table's name
    for stream, instrument, attributes, *values in connection.execute(query):
        name = f"{what} {instrument} {attributes} of stream {stream}"
        if wrong := _decoded(lambda text: dict(json.loads(text)), attributes)[1]:
            yield f"{name}: its attributes cannot be read: {wrong}"
        total, wrong = _decoded(lambda columns: total_of(*columns), values)
        if total is None:
            yield f"{name}: its total cannot be read: {wrong}"
        elif total.buckets and sum(total.buckets) != total.count:
            yield f"{name}: its buckets hold {sum(total.buckets)} observations, and it counts {total.count}"


def _in_flight(connection: Connection) -> Iterator[str]:
    for stream, plan in connection.execute("SELECT stream, plan FROM in_flight"):
        if wrong := _decoded(Plan.model_validate_json, plan)[1]:
            yield f"batch in flight of stream {stream}: its plan cannot be read: {wrong}"
    strays = connection.execute(
        "SELECT stream, count(*) FROM in_flight_payload WHERE stream NOT IN (SELECT stream FROM in_flight) GROUP BY 1"
    )
    for stream, count in strays:
        yield f"batch in flight of stream {stream}: {count} payloads belong to no batch"


def _letters(connection: Connection) -> Iterator[str]:
    query = "SELECT id, typeof(payload), strftime('%s', kept_at) FROM dead_letter"
    for number, kind, kept_at in connection.execute(query):
        if kind != "blob":
            yield f"dead letter {number}: its payload is {kind} instead of bytes"
        if kept_at is None:
            yield f"dead letter {number}: when it was kept cannot be read"


def _failures(connection: Connection) -> Iterator[str]:
    for number, failure in connection.execute("SELECT id, failure FROM failure"):
        if wrong := _decoded(Failure.model_validate_json, failure)[1]:
            yield f"failure {number}: it cannot be read: {wrong}"


def _decoded(decode: Callable[[Any], Any], text: Any) -> tuple[Any, str]:
    """(what it is, "") or (None, why it is not)."""
    try:
        return decode(text), ""
    except (ValueError, TypeError) as error:
        return None, " ".join(str(error).split())
