"""The ledger in one SQLite file, for one process at a time.

The calls block, and are made in line on the event loop on purpose: one takes about 0.3 ms (a commit with its fsync;
a batch put aside, some ms a megabyte), a hop to a thread costs as much, and in line no other coroutine can come
between a read and the write that rests on it.

A method either does all it says or nothing: it raises LedgerError and the file holds what it held. This is also what
a kill at any moment, or a power cut, leaves behind (WAL, synchronous FULL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.follow.decide import ACTIVE
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Batch, DeadLetter, KeptLetter, OpenRuns, Plan, SeriesKey, Total
from bridge.map.telemetry import AttributeValue

_RUN = """
    INTO run (stream, id, agent_id, phase, status, stop_reason, created_ns, last_visit, next_visit, woken, state)
    VALUES (:stream, :id, :agent_id, :phase, :status, :stop_reason, :created_ns, :last_visit, :next_visit, :woken,
        :state)
"""
_DISCOVER_RUN = f"INSERT OR IGNORE {_RUN}"
_STORE_RUN = f"REPLACE {_RUN}"
_STORE_SERIES = "REPLACE INTO series (stream, instrument, attributes, sum, count, buckets) VALUES (?, ?, ?, ?, ?, ?)"
_DUE = """
    SELECT state FROM run WHERE stream = ? AND phase = 'open' AND next_visit <= ?
    ORDER BY woken DESC, last_visit, created_ns, id LIMIT ?
"""
_AWAITING_APPROVAL = """
    SELECT count(*) FROM run WHERE stream = ? AND stop_reason = 'requires_approval' AND status IS NOT 'cancelled'
    AND NOT EXISTS (
        SELECT 1 FROM run AS later
        WHERE later.stream = run.stream AND later.agent_id = run.agent_id AND later.created_ns > run.created_ns
    )
"""


@dataclass(frozen=True, slots=True)
class SqliteLedger:
    """One stream of a ledger file; implements `bridge.ledger.ledger.Ledger`, where the methods are described."""

    _file: LedgerFile
    _stream: int

    @classmethod
    def of(cls, file: LedgerFile, *, source: str, destination: str, now: float) -> SqliteLedger:
        """The ledger of one stream, which begins `now` (seconds since the epoch) unless the file knows it already."""
        with file.writing() as connection:
            connection.execute(
                "INSERT INTO stream (source, destination, start_ns) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (source, destination, int(now * 1e9)),
            )
            query = "SELECT id FROM stream WHERE source = ? AND destination = ?"
            return cls(file, connection.execute(query, (source, destination)).fetchone()[0])

    async def start_ns(self) -> int:
        """See the protocol."""
        return int(self._one("SELECT start_ns FROM stream WHERE id = ?")[0])

    async def origin(self) -> int | None:
        """See the protocol."""
        origin: int | None = self._one("SELECT origin_ns FROM stream WHERE id = ?")[0]
        return origin

    async def begin(self, origin_ns: int) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE stream SET origin_ns = ? WHERE id = ? AND origin_ns IS NULL", (origin_ns, self._stream)
            )

    async def watermark(self) -> int | None:
        """See the protocol."""
        watermark: int | None = self._one("SELECT watermark_ns FROM stream WHERE id = ?")[0]
        return watermark

    async def discover(
        self,
        runs: Sequence[FollowedRun],
        *,
        now: float,  # noqa: ARG002
        watermark_ns: int | None = None,
        forget_before_ns: int | None = None,
    ) -> int:
        """See the protocol."""
        with self._file.writing() as connection:
            entered = connection.executemany(_DISCOVER_RUN, [self._row(run) for run in runs]).rowcount
            if watermark_ns is not None:
                connection.execute(
                    "UPDATE stream SET watermark_ns = max(coalesce(watermark_ns, ?1), ?1) WHERE id = ?2",
                    (watermark_ns, self._stream),
                )
            if forget_before_ns is not None:
                connection.execute(
                    "DELETE FROM run WHERE stream = ? AND phase = 'closed' AND created_ns < ?",
                    (self._stream, forget_before_ns),
                )
            return max(entered, 0)

    async def active(self) -> Sequence[tuple[str, int]]:
        """See the protocol."""
        query = "SELECT id, created_ns, status FROM run WHERE stream = ? AND phase IN ('open', 'dormant')"
        return [(id_, created_ns) for id_, created_ns, status in self._all(query) if status in ACTIVE]

    async def wake(self, ids: Collection[str], *, now: float) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            for run in filter(None, map(self._run, ids)):
                if run.phase is not Phase.CLOSED:
                    woken = run.model_copy(update={"phase": Phase.OPEN, "next_visit": now})
                    connection.execute(_STORE_RUN, self._row(woken, woken=True))

    async def due(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """See the protocol."""
        with self._file.reading() as connection:
            rows = connection.execute(_DUE, (self._stream, now, limit))
            return [FollowedRun.model_validate_json(state) for (state,) in rows]

    async def looks(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """See the protocol."""
        raise NotImplementedError

    async def dead_letters(self, *, after: int = 0, limit: int = 100) -> Sequence[KeptLetter]:
        """See the protocol."""
        raise NotImplementedError

    async def dead_letter(self, number: int) -> KeptLetter | None:
        """See the protocol."""
        raise NotImplementedError

    async def settle_dead_letter(
        self, number: int, *, plan: Plan | None = None, rest: Sequence[DeadLetter] = ()
    ) -> bool:
        """See the protocol."""
        raise NotImplementedError

    async def run(self, run_id: str) -> FollowedRun | None:
        """See the protocol."""
        with self._file.reading():
            return self._run(run_id)

    async def steps_watermark(self) -> float | None:
        """See the protocol."""
        steps_watermark: float | None = self._one("SELECT steps_watermark FROM stream WHERE id = ?")[0]
        return steps_watermark

    async def loose_steps(self) -> Collection[str]:
        """See the protocol."""
        return {id_ for (id_,) in self._all("SELECT id FROM loose_step WHERE stream = ?")}

    async def prepare(self, batch: Batch) -> None:
        """See the protocol."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO in_flight (stream, spans, plan) VALUES (?, ?, ?)",
                (self._stream, batch.spans, batch.plan.model_dump_json()),
            )
            connection.executemany(
                "INSERT INTO in_flight_payload (stream, position, payload) VALUES (?, ?, ?)",
                [(self._stream, position, payload) for position, payload in enumerate(batch.payloads)],
            )

    async def in_flight(self) -> Batch | None:
        """See the protocol."""
        with self._file.reading():
            row = self._one("SELECT spans, plan FROM in_flight WHERE stream = ?")
            if row is None:
                return None
            payloads = self._all("SELECT payload FROM in_flight_payload WHERE stream = ? ORDER BY position")
            return Batch(tuple(payload for (payload,) in payloads), row[0], Plan.model_validate_json(row[1]))

    async def commit(self, batch: Batch, dead_letters: Sequence[DeadLetter] = ()) -> None:
        """See the protocol."""
        plan = batch.plan
        with self._file.writing() as connection:
            self._store(connection, plan.runs)
            self._count(connection, plan)
            self._keep(connection, (*plan.dead_letters, *dead_letters))
            self._advance_steps(connection, plan)
            connection.execute("DELETE FROM in_flight WHERE stream = ?", (self._stream,))
            connection.execute("DELETE FROM in_flight_payload WHERE stream = ?", (self._stream,))

    async def totals(self) -> Mapping[SeriesKey, Total]:
        """See the protocol."""
        rows = self._all("SELECT instrument, attributes, sum, count, buckets FROM series WHERE stream = ?")
        return {(instrument, _attributes(text)): _total(*values) for instrument, text, *values in rows}

    async def open_runs(self) -> OpenRuns:
        """See the protocol."""
        by_status = self._all(
            "SELECT coalesce(status, 'unknown'), count(*) FROM run WHERE stream = ? AND phase = 'open' GROUP BY 1"
        )
        oldest = self._one("SELECT min(created_ns) FROM run WHERE stream = ? AND phase = 'open'")
        return OpenRuns(dict(by_status), oldest[0], self._one(_AWAITING_APPROVAL)[0])

    async def dead_letter_count(self) -> int:
        """See the protocol."""
        return int(self._one("SELECT count(*) FROM dead_letter WHERE stream = ?")[0])

    async def size_bytes(self) -> int:
        """See the protocol."""
        return self._file.size_bytes()

    async def close(self) -> None:
        """See the protocol."""
        self._file.close()

    def _one(self, query: str, *parameters: object) -> Any:
        with self._file.reading() as connection:
            return connection.execute(query, (self._stream, *parameters)).fetchone()

    def _all(self, query: str) -> list[Any]:
        with self._file.reading() as connection:
            return connection.execute(query, (self._stream,)).fetchall()

    def _run(self, run_id: str) -> FollowedRun | None:
        row = self._one("SELECT state FROM run WHERE stream = ? AND id = ?", run_id)
        return row and FollowedRun.model_validate_json(row[0])

    def _store(self, connection: sqlite3.Connection, runs: Iterable[FollowedRun]) -> None:
        connection.executemany(_STORE_RUN, [self._row(run) for run in runs])

    def _row(self, run: FollowedRun, *, woken: bool = False) -> dict[str, object]:
        return {
            "stream": self._stream,
            "id": run.id,
            "agent_id": run.agent_id,
            "phase": run.phase,
            "status": run.status,
            "stop_reason": run.stop_reason,
            "created_ns": run.created_ns,
            "last_visit": run.last_visit,
            "next_visit": run.next_visit,
            "woken": woken,
            "state": run.model_dump_json(),
        }

    def _count(self, connection: sqlite3.Connection, plan: Plan) -> None:
        query = "SELECT sum, count, buckets FROM series WHERE stream = ? AND instrument = ? AND attributes = ?"
        for instrument, attributes, added in plan.totals:
            text = _text(attributes)
            row = self._one(query, instrument, text)
            total = _total(*row).plus(added) if row else added
            values = (total.sum, total.count, json.dumps(total.buckets))
            connection.execute(_STORE_SERIES, (self._stream, instrument, text, *values))

    def _keep(self, connection: sqlite3.Connection, letters: Iterable[DeadLetter]) -> None:
        connection.executemany(
            "INSERT INTO dead_letter (stream, kind, source, reason, payload) VALUES (?, ?, ?, ?, ?)",
            [(self._stream, letter.kind, letter.source, letter.reason, letter.payload) for letter in letters],
        )

    def _advance_steps(self, connection: sqlite3.Connection, plan: Plan) -> None:
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


def _text(attributes: Iterable[tuple[str, AttributeValue]]) -> str:
    """The one text of a set of attributes; true, 1, 1.0 and "1" stay four different values."""
    return json.dumps(dict(attributes), sort_keys=True, separators=(",", ":"))


def _attributes(text: str) -> tuple[tuple[str, AttributeValue], ...]:
    values = json.loads(text)
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values.items())


def _total(sum_: float, count: int, buckets: str) -> Total:
    return Total(sum=sum_, count=count, buckets=tuple(json.loads(buckets)))
