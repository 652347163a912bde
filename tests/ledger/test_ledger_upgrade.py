"""A ledger that the first version wrote goes on where it stood: nothing of it is lost, a batch in flight included."""

import json
import sqlite3
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import (
    FULL_PLAN,
    LETTER,
    NOW,
    STEPS,
    SUCCESS,
    UNREADABLE,
    asking,
    batch,
    closed,
    counted,
    followed,
)

from bridge.follow.state import FollowedRun
from bridge.ledger import migrations
from bridge.ledger.figures import OpenRuns
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Batch, Ledger, Plan, Told, Total
from bridge.ledger.open import open_ledger
from bridge.ledger.verify import problems

RUNS = [
    followed("open", status="running", cursor="step-2", sent=("step-3",), waiting={"step-4": NOW}, next_visit=NOW),
    followed("woken", next_visit=NOW, last_visit=NOW - 1),
    followed("asleep", phase="dormant", span_sent=True, created_ns=2**60 + 1),
    closed("over", status="completed", stop_reason="end_turn", agent_id=None, span_sent=True),
    asking("asking", phase="closed", agent_id="agent-2"),
]
PAYLOADS = (b"\x00\xff", b"", bytes(range(256)) * 100)
NOT_THEN = {"keep_until", "trail", "noted", "told", "server_ahead", "shifted"}  # fields that came later
ATTRIBUTES = '{"letta.step.status":"success"}'
STREAM = (1, "letta", "otlp", int(NOW * 1e9), 7, 2**60 + 1, NOW + 0.25)


def as_then(run: FollowedRun) -> str:
    """The state as the first version wrote it: with its defaults, without the fields that came later."""
    return run.model_dump_json(exclude=NOT_THEN)


def row_then(run: FollowedRun) -> tuple[Any, ...]:
    column = (run.id, run.agent_id, run.phase, run.status, run.stop_reason, run.created_ns)
    return (1, *column, run.last_visit, run.next_visit, run.id == "woken", as_then(run))


def plan_then(plan: Plan) -> str:
    whole = json.loads(plan.model_dump_json(exclude={"failures"}))
    whole["runs"] = [json.loads(as_then(run)) for run in plan.runs]
    return json.dumps(whole)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the first version, written as that did."""
    path = tmp_path / "bridge.ledger"
    LedgerFile(path, scripts=migrations.scripts()[:1]).close()
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO stream VALUES (?, ?, ?, ?, ?, ?, ?)", STREAM)
        old.execute("INSERT INTO stream (source, destination, start_ns) VALUES ('letta', 'other', 5)")
        old.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(row_then, RUNS))
        old.execute("INSERT INTO series VALUES (1, ?, ?, ?, 0, '[]')", (STEPS, ATTRIBUTES, 2**53 + 1))
        old.execute("INSERT INTO loose_step VALUES (1, 'step-7', ?)", (NOW,))
        old.execute("INSERT INTO in_flight VALUES (1, 3, ?)", (plan_then(FULL_PLAN),))
        aside = [(1, position, payload) for position, payload in enumerate(PAYLOADS)]
        old.executemany("INSERT INTO in_flight_payload VALUES (?, ?, ?)", aside)
        for number, stream, letter in ((3, 1, LETTER), (5, 2, LETTER), (9, 1, UNREADABLE)):
            values = (letter.kind, letter.source, letter.reason, letter.payload)
            old.execute(
                "INSERT INTO dead_letter VALUES (?, ?, '2023-11-14 22:13:20', ?, ?, ?, ?)", (number, stream, *values)
            )
    return path


async def opened(path: Path, destination: str = "otlp") -> Ledger:
    return await open_ledger(str(path), source="letta", destination=destination, now=NOW + 60)


async def test_the_stream_stands_where_it_stood(path: Path) -> None:
    ledger = await opened(path)
    assert await ledger.start_ns() == int(NOW * 1e9)
    assert await ledger.origin() == 7
    assert await ledger.watermark() == 2**60 + 1
    assert await ledger.steps_watermark() == NOW + 0.25
    assert await ledger.loose_steps() == {"step-7"}
    await ledger.close()


async def test_every_run_is_known_as_it_was(path: Path) -> None:
    ledger = await opened(path)
    assert [await ledger.run(run.id) for run in RUNS] == RUNS
    assert sorted(await ledger.active(), key=itemgetter(1, 0)) == [("open", 1), ("woken", 1), ("asleep", 2**60 + 1)]
    assert [run.id for run in await ledger.due(now=NOW, limit=9)] == ["woken", "open"]
    looks = await ledger.looks(now=NOW, limit=9)
    assert [run.id for run in looks] == ["asleep"], "nothing that was over before is watched"
    assert await ledger.open_runs() == OpenRuns({"running": 1, "created": 1}, 1, 1)
    await ledger.close()


async def test_the_batch_in_flight_is_sent_and_counted(path: Path) -> None:
    ledger = await opened(path)
    aside = await ledger.in_flight()
    assert aside == Batch(PAYLOADS, 3, FULL_PLAN.model_copy(update={"failures": ()}))
    await ledger.commit(aside)
    assert await ledger.in_flight() is None
    assert (await ledger.totals())[STEPS, SUCCESS] == Total(sum=2**53 + 3)
    await ledger.close()


async def test_the_dead_letters_keep_their_numbers(path: Path) -> None:
    ledger = await opened(path)
    kept = await ledger.dead_letters()
    assert [(one.id, one.kept_at, one.letter) for one in kept] == [(3, NOW, LETTER), (9, NOW, UNREADABLE)]
    await ledger.settle_dead_letter(9)
    await ledger.commit(batch(plan=counted(1)), [LETTER])
    assert [one.id for one in await ledger.dead_letters()] == [3, 10]
    await ledger.close()
    other = await opened(path, "other")
    assert [one.id for one in await other.dead_letters()] == [5]
    await other.close()


async def test_old_tombstones_are_forgotten_as_before(path: Path) -> None:
    ledger = await opened(path)
    await ledger.discover([], now=NOW, forget_before_ns=10)
    assert await ledger.run("over") is None
    assert await ledger.run("asking") is not None
    await ledger.close()


async def test_a_file_of_the_third_version_goes_on_and_has_told_nothing_in_differences(tmp_path: Path) -> None:
    path = tmp_path / "third.ledger"
    LedgerFile(path, scripts=migrations.scripts()[:3]).close()
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO stream VALUES (?, ?, ?, ?, ?, ?, ?)", STREAM)
        old.execute("INSERT INTO series VALUES (1, ?, ?, 3, 3, '[]')", (STEPS, ATTRIBUTES))
        old.execute("INSERT INTO in_flight VALUES (1, 3, ?)", (plan_then(FULL_PLAN),))
    ledger = await opened(path)
    assert await ledger.failures() == []
    assert await ledger.told() == Told(int(NOW * 1e9), {}), "the first difference is that since the totals began"
    aside = await ledger.in_flight()
    assert aside
    await ledger.commit(aside)
    assert (await ledger.totals())[STEPS, SUCCESS] == Total(sum=5, count=3)
    await ledger.commit(batch(plan=FULL_PLAN))
    assert await ledger.failures() == list(FULL_PLAN.failures)
    await ledger.close()
    assert list(problems(LedgerFile(path))) == []


def test_nothing_is_left_of_the_old_tables(path: Path) -> None:
    LedgerFile(path).close()
    LedgerFile(path.with_name("new.ledger")).close()
    assert tables(path) == tables(path.with_name("new.ledger"))


def tables(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute("SELECT type, name FROM sqlite_master").fetchall())
