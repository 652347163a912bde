"""What a ledger's file holds, counted for a person; all streams at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

from bridge.ledger import glance, letters, runs
from bridge.ledger.figures import OpenRuns
from bridge.ledger.file import LedgerFile

_STREAMS: Final = "SELECT id, source, destination, start_ns, origin_ns, watermark_ns FROM stream ORDER BY id"
_RUNS: Final = """
    SELECT phase, coalesce(status, 'unknown'), count(*) FROM run WHERE stream = ? GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""
_OLDEST: Final = """
    SELECT id FROM run WHERE stream = ? AND phase <> 'closed' AND phase = 'open' ORDER BY created_ns, id LIMIT 1
"""
_WATCHED: Final = "SELECT count(*) FROM run WHERE stream = ? AND phase = 'closed' AND keep_until > ?"
_EXPORTS: Final = """
    SELECT count(*), coalesce(sum(length(payload)), 0) FROM export WHERE stream = ? HAVING count(*) > 0
"""
_FAILURES: Final = "SELECT count(*) FROM failure WHERE stream = ?"
_SERIES: Final = "SELECT count(*) FROM series WHERE stream = ?"


@dataclass(frozen=True, slots=True)
class StreamSurvey:
    """One stream.

    Attributes:
        number: what a person names it by.
        source: the Letta server (and project).
        destination: where its telemetry goes.
        start_ns: since when the totals count, ns since the epoch.
        origin_ns: runs created before it are not the stream's business; None until the first sweep.
        watermark_ns: up to where every run is known; None until the first sweep.
        runs: how many, by phase and then status, the most frequent first.
        gauges: what is open and what waits.
        oldest_open: id of the run that has been open for longest; None where none is.
        watched: closed runs that are looked at for late changes.
        in_flight: (spans, bytes) of the batch that is put aside; None where there is none.
        exports: (requests, bytes) of differences of metrics that are put aside; None where there are none.
        series: how many metric totals there are.
        failures: how many of the latest failures are kept.
        dead_letters: how many are kept.
    """

    number: int
    source: str
    destination: str
    start_ns: int
    origin_ns: int | None
    watermark_ns: int | None
    runs: Mapping[str, Mapping[str, int]]
    gauges: OpenRuns
    oldest_open: str | None
    watched: int
    in_flight: tuple[int, int] | None
    exports: tuple[int, int] | None
    series: int
    failures: int
    dead_letters: int


def survey(file: LedgerFile, *, now: float) -> tuple[int, Sequence[StreamSurvey]]:
    """(schema version, every stream) at one moment; `now` in seconds since the epoch tells what is still watched."""
    with file.snapshot() as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, [_of(connection, row, now) for row in connection.execute(_STREAMS).fetchall()]


def _of(connection: Connection, row: tuple[Any, ...], now: float) -> StreamSurvey:
    number, source, destination, start_ns, origin_ns, watermark_ns = row

    def one(query: str, *parameters: object) -> Any:
        found = connection.execute(query, (number, *parameters)).fetchone()
        return found[0] if found else None

    by_phase: dict[str, dict[str, int]] = {}
    for phase, status, count in connection.execute(_RUNS, (number,)):
        by_phase.setdefault(phase, {})[status] = count
    return StreamSurvey(
        number=number,
        source=source,
        destination=destination,
        start_ns=start_ns,
        origin_ns=origin_ns,
        watermark_ns=watermark_ns,
        runs=by_phase,
        gauges=runs.gauges(connection, number),
        oldest_open=one(_OLDEST),
        watched=one(_WATCHED, now),
        in_flight=glance.in_flight(connection, number),
        exports=connection.execute(_EXPORTS, (number,)).fetchone(),
        series=one(_SERIES),
        failures=one(_FAILURES),
        dead_letters=letters.count(connection, number),
    )
