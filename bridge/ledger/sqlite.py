"""The ledger in one SQLite file: one service, and beside it one backfill and a person's commands.

The calls block, and are made in line on the event loop on purpose: one takes about 0.3 ms (a commit with its fsync;
a batch put aside, some ms a megabyte), a hop to a thread costs as much, and in line no other coroutine can come
between a read and the write that rests on it.

A method either does all it says or nothing: it raises LedgerError and the file holds what it held. This is also what
a kill at any moment, or a power cut, leaves behind (WAL, synchronous FULL).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Any, Final

from bridge.errors import LedgerError
from bridge.follow.state import FollowedRun
from bridge.ledger import failures as seen_failures
from bridge.ledger import letters, series
from bridge.ledger import runs as known_runs
from bridge.ledger import told as told_series
from bridge.ledger.figures import Glance, OpenRuns
from bridge.ledger.file import LedgerFile
from bridge.ledger.glance import glance
from bridge.ledger.ledger import (
    SERIES_AT_MOST,
    Batch,
    DeadLetter,
    Export,
    KeptExport,
    KeptLetter,
    Plan,
    SeriesKey,
    Told,
    Total,
)
from bridge.map.failures import Failure

_PUT_ASIDE: Final = "INSERT INTO in_flight_payload (stream, position, signal, payload) VALUES (?, ?, ?, ?)"
_ASIDE: Final = "SELECT signal, payload FROM in_flight_payload WHERE stream = ? ORDER BY position"


@dataclass(frozen=True, slots=True)
class SqliteLedger:
    """One stream of a ledger file; implements `bridge.ledger.ledger.Ledger`, where the methods are described."""

    _file: LedgerFile
    _stream: int
    _max_series: int = field(default=SERIES_AT_MOST, kw_only=True)

    @classmethod
    def of(
        cls, file: LedgerFile, *, source: str, destination: str, now: float, max_series: int = SERIES_AT_MOST
    ) -> SqliteLedger:
        """The ledger of one stream, which begins `now` (seconds since the epoch) unless the file knows it already."""
        query = "SELECT id FROM stream WHERE source = ? AND destination = ?"
        with file.reading() as connection:
            known = connection.execute(query, (source, destination)).fetchone()
        if known:
            return cls(file, known[0], _max_series=max_series)
        with file.writing() as connection:
            connection.execute(
                "INSERT INTO stream (source, destination, start_ns) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (source, destination, int(now * 1e9)),
            )
            number = connection.execute(query, (source, destination)).fetchone()[0]
            return cls(file, number, _max_series=max_series)

    async def start_ns(self) -> int:
        """See the protocol."""
        return int(self._of_stream("start_ns"))

    async def origin(self) -> int | None:
        """See the protocol."""
        origin: int | None = self._of_stream("origin_ns")
        return origin

    async def begin(self, origin_ns: int) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE stream SET origin_ns = ? WHERE id = ? AND origin_ns IS NULL", (origin_ns, self._stream)
            )

    async def watermark(self) -> int | None:
        """See the protocol."""
        watermark: int | None = self._of_stream("watermark_ns")
        return watermark

    async def discover(
        self,
        runs: Sequence[FollowedRun],
        *,
        now: float,
        watermark_ns: int | None = None,
        forget_before_ns: int | None = None,
    ) -> int:
        """See the protocol."""
        with self._file.writing() as connection:
            entered = known_runs.enter(connection, self._stream, runs, now=now)
            if watermark_ns is not None:
                connection.execute(
                    "UPDATE stream SET watermark_ns = max(coalesce(watermark_ns, ?1), ?1) WHERE id = ?2",
                    (watermark_ns, self._stream),
                )
            if forget_before_ns is not None:
                known_runs.forget(connection, self._stream, created_before_ns=forget_before_ns, now=now)
            return entered

    async def active(self) -> Sequence[tuple[str, int]]:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.active(connection, self._stream)

    async def wake(self, ids: Collection[str], *, now: float) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            known_runs.wake(connection, self._stream, ids, now=now)

    async def due(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.due(connection, self._stream, now=now, limit=limit)

    async def looks(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.looks(connection, self._stream, now=now, limit=limit)

    async def run(self, run_id: str) -> FollowedRun | None:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.find(connection, self._stream, run_id)

    async def steps_watermark(self) -> float | None:
        """See the protocol."""
        steps_watermark: float | None = self._of_stream("steps_watermark")
        return steps_watermark

    async def loose_steps(self) -> Collection[str]:
        """See the protocol."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT id FROM loose_step WHERE stream = ?", (self._stream,))
            return {id_ for (id_,) in rows}

    async def prepare(self, batch: Batch) -> None:
        """See the protocol."""
        payloads = [("traces", payload) for payload in batch.payloads] + [("logs", payload) for payload in batch.logs]
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO in_flight (stream, spans, plan) VALUES (?, ?, ?)",
                (self._stream, batch.spans, batch.plan.model_dump_json()),
            )
            connection.executemany(_PUT_ASIDE, [(self._stream, n, *payload) for n, payload in enumerate(payloads)])

    async def in_flight(self) -> Batch | None:
        """See the protocol."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT spans, plan FROM in_flight WHERE stream = ?", (self._stream,)).fetchone()
            if row is None:
                return None
            aside = connection.execute(_ASIDE, (self._stream,)).fetchall()
            return Batch(
                payloads=tuple(payload for signal, payload in aside if signal == "traces"),
                spans=row[0],
                plan=Plan.model_validate_json(row[1]),
                logs=tuple(payload for signal, payload in aside if signal == "logs"),
            )

    async def commit(self, batch: Batch, dead_letters: Sequence[DeadLetter] = ()) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            self._make_true(connection, batch.plan)
            letters.keep(connection, self._stream, dead_letters)
            connection.execute("DELETE FROM in_flight WHERE stream = ?", (self._stream,))
            connection.execute("DELETE FROM in_flight_payload WHERE stream = ?", (self._stream,))

    async def totals(self) -> Mapping[SeriesKey, Total]:
        """See the protocol."""
        with self._file.reading() as connection:
            return series.totals(connection, self._stream)

    async def open_runs(self) -> OpenRuns:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.gauges(connection, self._stream)

    async def awaiting_approval(self) -> Collection[str]:
        """See the protocol."""
        with self._file.reading() as connection:
            return known_runs.awaiting_approval(connection, self._stream)

    async def failures(self) -> Sequence[Failure]:
        """See the protocol."""
        with self._file.reading() as connection:
            return seen_failures.newest(connection, self._stream)

    async def told(self) -> Told:
        """See the protocol."""
        with self._file.reading() as connection:
            return told_series.told(connection, self._stream)

    async def put_exports_aside(self, exports: Sequence[Export], *, until_ns: int) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            if told_series.aside(connection, self._stream):
                raise LedgerError(f"ledger {self._file.path}: an export of metrics is on its way already")
            told_series.put_aside(connection, self._stream, exports, until_ns=until_ns)

    async def exports_aside(self) -> Sequence[KeptExport]:
        """See the protocol."""
        with self._file.reading() as connection:
            return told_series.aside(connection, self._stream)

    async def settle_export(self, number: int, *, taken: bool) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            told_series.settle(connection, number, taken=taken)

    async def dead_letter_count(self) -> int:
        """See the protocol."""
        with self._file.reading() as connection:
            return letters.count(connection, self._stream)

    async def dead_letters(self, *, after: int = 0, limit: int = 100) -> Sequence[KeptLetter]:
        """See the protocol."""
        with self._file.reading() as connection:
            return letters.page(connection, self._stream, after=after, limit=limit)

    async def dead_letter(self, number: int) -> KeptLetter | None:
        """See the protocol."""
        with self._file.reading() as connection:
            return letters.find(connection, self._stream, number)

    async def settle_dead_letter(
        self, number: int, *, plan: Plan | None = None, rest: Sequence[DeadLetter] = ()
    ) -> bool:
        """See the protocol."""
        with self._file.writing() as connection:
            if letters.find(connection, self._stream, number) is None:
                return False
            self._make_true(connection, plan or Plan())
            letters.replace(connection, number, rest)
            return True

    async def glance(self) -> Glance:
        """See the protocol."""
        with self._file.snapshot() as connection:
            return glance(connection, self._stream)

    async def size_bytes(self) -> int:
        """See the protocol."""
        return self._file.size_bytes()

    async def close(self) -> None:
        """See the protocol."""
        self._file.close()

    def _of_stream(self, column: str) -> Any:
        with self._file.reading() as connection:
            query = f"SELECT {column} FROM stream WHERE id = ?"  # noqa: S608 - a name from this file
            return connection.execute(query, (self._stream,)).fetchone()[0]

    def _make_true(self, connection: Connection, plan: Plan) -> None:
        known_runs.store(connection, self._stream, plan.runs)
        series.add(connection, self._stream, plan, most=self._max_series)
        seen_failures.keep(connection, self._stream, plan.failures)
        letters.keep(connection, self._stream, plan.dead_letters)
        self._advance_steps(connection, plan)

    def _advance_steps(self, connection: Connection, plan: Plan) -> None:
        if plan.steps_watermark is not None:
            connection.execute(
                "UPDATE stream SET steps_watermark = ? WHERE id = ?", (plan.steps_watermark, self._stream)
            )
        connection.executemany(
            "INSERT INTO loose_step (stream, id, delivered_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(self._stream, id_, delivered_at) for id_, delivered_at in plan.loose_steps.items()],
        )
        if plan.loose_steps_since is not None:
            connection.execute(
                "DELETE FROM loose_step WHERE stream = ? AND delivered_at < ?", (self._stream, plan.loose_steps_since)
            )
