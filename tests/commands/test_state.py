"""`bridge state`: the commands on real ledger files, alone and beside whoever holds the ledger."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bridge import app, cli
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger import migrations
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Batch, DeadLetter, Export, Ledger, Plan, Total
from bridge.ledger.lock import Role
from bridge.ledger.open import open_ledger
from bridge.map.failures import Failure
from bridge.settings import load

T0 = 1_767_225_600  # 2026-01-01 00:00:00 UTC
LETTER = DeadLetter(kind="span", source="step-9", reason="too long", payload=b"\xff")
FAILURE = Failure(kind="step", seen_at=T0, status="failed", trace_id="0a" * 16, span_id="0b" * 8, step_id="step-9")
EVIL = "a\x1b[2J\x9b\u202e\nb"


def run(name: str, **fields: object) -> FollowedRun:
    known = {"agent_id": "agent-1", "created_ns": T0 * 10**9, "status": "created", "first_seen": T0, "last_news": T0}
    return FollowedRun.model_validate({"id": name} | known | fields)


class Desk:
    """A ledger, and the command as it is typed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "bridge.ledger"
        self.environ = {"LETTA_BASE_URL": "http://letta.test", "BRIDGE_LEDGER": str(self.path)}
        for name in list(os.environ):
            if name.startswith(("BRIDGE_", "LETTA_", "OTEL_")):  # the settings of whoever runs the tests
                monkeypatch.delenv(name)
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        self._capture = capture

    async def ledger(self) -> Ledger:
        """As the service has it."""
        settings = load(self.environ, None)
        return await app.stream_ledger(settings, settings.ledger.location, now=T0)

    async def filled(self) -> None:
        """Something of everything, and nobody has it open."""
        ledger = await self.ledger()
        await ledger.begin((T0 - 60) * 10**9)
        watched = {"phase": Phase.CLOSED, "status": "completed", "keep_until": 4e9}
        asking = run(
            "run-4", phase=Phase.CLOSED, status="completed", stop_reason="requires_approval", agent_id="agent-2"
        )
        runs = [run("run-1"), run("run-2", status="running", created_ns=(T0 + 9) * 10**9), run("run-3", **watched)]
        await ledger.discover([*runs, asking], now=T0, watermark_ns=(T0 + 9) * 10**9)
        total = Total(sum=1.5, count=2, buckets=(1, 1))
        totals = (("letta.step.duration", (), total),)
        await ledger.commit(Batch((), 0, Plan(totals=totals, failures=(FAILURE,))), [LETTER])
        for moment in (1, 2):
            exports = [Export(b"1234567", {("letta.step.duration", ()): total})]
            await ledger.put_exports_aside(exports, until_ns=(T0 + moment) * 10**9)
            if moment == 1:
                await ledger.settle_export((await ledger.exports_aside())[0].id, taken=True)
        await ledger.prepare(Batch((b"12345", b"678"), 2, Plan(runs=(run("run-1", cursor="step-1"),)), (b"90",)))
        await ledger.close()

    async def types(self, *words: str, code: int = 0) -> list[str]:
        """The lines it prints; with another code those on stderr."""
        with pytest.raises(SystemExit) as exit_:
            await asyncio.to_thread(cli.main, ["state", *words])  # which runs a loop of its own
        out, err = self._capture.readouterr()
        assert exit_.value.code == code, (out, err)
        return (out if code in (0, 3) and out else err).splitlines()

    def damage(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


def facts(lines: Sequence[str]) -> dict[str, str]:
    return {line[:22].strip(): line[22:].strip() for line in lines if line.startswith("  ")}


class TestShow:
    async def test_says_where_each_stream_stands(self, desk: Desk) -> None:
        await desk.filled()
        lines = await desk.types("show")
        assert lines[0] == f"ledger              {desk.path}"
        assert lines[2] == f"version             {len(migrations.scripts())}"
        assert lines[4] == "stream 1            http://letta.test"
        assert facts(lines) == {
            "towards": "default",
            "totals since": "2026-01-01 00:00:00 UTC",
            "follows runs from": "2025-12-31 23:59:00 UTC",
            "knows runs up to": "2026-01-01 00:00:09 UTC",
            "open runs": "2: created 1, running 1",
            "oldest open run": "run-1, created 2026-01-01 00:00:00 UTC",
            "dormant runs": "0",
            "closed runs": "2: completed 2",
            "watched of these": "1",
            "awaiting approval": "1",
            "in flight": "2 spans, 10 bytes",
            "metrics in flight": "1 requests, 7 bytes",
            "metric series": "1",
            "latest failures": "1",
            "dead letters": "1",
        }

    async def test_works_beside_whoever_holds_the_ledger(self, desk: Desk) -> None:
        await desk.filled()
        ledger = await desk.ledger()
        assert facts(await desk.types("show"))["dead letters"] == "1"
        size = int((await desk.types("show"))[1].split()[1].replace(",", ""))
        assert size == await ledger.size_bytes()
        await ledger.close()

    async def test_shows_a_stream_that_has_not_begun(self, desk: Desk) -> None:
        await (await desk.ledger()).close()
        shown = facts(await desk.types("show"))
        assert shown["follows runs from"] == shown["knows runs up to"] == "not known yet"
        assert shown["in flight"] == "nothing"
        assert "oldest open run" not in shown

    async def test_foreign_text_moves_no_cursor_and_fits(self, desk: Desk) -> None:
        ledger = await open_ledger(str(desk.path), source=EVIL * 50, destination=EVIL * 50, now=T0)
        await ledger.discover([run(f"{EVIL}{n}", status=f"{EVIL}{n}" * 9) for n in range(30)], now=T0)
        await ledger.close()
        lines = await desk.types("show")
        assert all(line.isprintable() for line in lines)
        assert max(len(line) for line in lines[1:]) <= 100

    async def test_needs_a_ledger_and_makes_none(self, desk: Desk) -> None:
        (line,) = await desk.types("show", code=3)
        assert line == f"bridge: ledger {desk.path}: there is none: `bridge run` makes it, or set ledger.location"
        assert not desk.path.exists()

    async def test_an_older_ledger_is_left_as_it_is(self, desk: Desk) -> None:
        LedgerFile(desk.path, scripts=migrations.scripts()[:1]).close()
        content = desk.path.read_bytes()
        (line,) = await desk.types("show", code=3)
        assert "it is of version 1" in line
        assert desk.path.read_bytes() == content

    async def test_is_what_a_person_can_type(self, desk: Desk) -> None:
        await desk.filled()
        environ = desk.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
        ledger = await open_ledger(str(desk.path), source="é", destination="default", now=T0)
        await ledger.close()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridge",
            "state",
            "show",
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert b"stream 2            \\xe9\n" in out


class TestForget:
    async def test_a_forgotten_run_is_followed_no_further(self, desk: Desk) -> None:
        await desk.filled()
        assert await desk.types("forget", "run-1", "run-3") == [
            "run-1: followed no further",
            "run-3: followed no further",
        ]
        ledger = await desk.ledger()
        aside = await ledger.in_flight()
        assert aside is not None
        await ledger.commit(aside)  # what was in flight is delivered, and brings the run not back
        listed = [run("run-1", status="failed"), run("run-3", status="cancelled")]
        assert await ledger.discover(listed, now=T0) == 0
        assert [followed.id for followed in await ledger.due(now=9e9, limit=9)] == ["run-2"]
        assert await ledger.looks(now=T0, limit=9) == []
        await ledger.close()

    async def test_a_run_that_is_not_known_changes_nothing(self, desk: Desk) -> None:
        await desk.filled()
        (line,) = await desk.types("forget", "run-1", f"run-9{EVIL}", code=2)
        assert line.startswith("bridge: nothing was changed: no stream of the ledger knows run-9a [2J")
        ledger = await desk.ledger()
        assert await ledger.run("run-1") == run("run-1")
        await ledger.close()

    async def test_removes_everything_of_one_stream(self, desk: Desk) -> None:
        await desk.filled()
        other = await open_ledger(str(desk.path), source="other", destination="default", now=T0)
        await other.commit(Batch((), 0, Plan(runs=(run("run-1"),), loose_steps={"step-1": T0})), [LETTER])
        await other.close()
        assert await desk.types("forget", "--stream", "1", "--yes") == ["stream 1: removed"]
        with closing(sqlite3.connect(desk.path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            left = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
        assert {name: len(rows) for name, rows in left.items() if rows} == {
            "stream": 1, "run": 1, "loose_step": 1, "dead_letter": 1, "sqlite_sequence": 1,
        }  # fmt: skip
        assert left["stream"][0][1] == "other"

    async def test_a_stream_that_is_not_there_is_said(self, desk: Desk) -> None:
        await desk.filled()
        (line,) = await desk.types("forget", "--stream", "7", "--yes", code=2)
        assert line == "bridge: there is no stream 7: `bridge state show` lists those there are"

    async def test_a_stream_wants_a_yes(self, desk: Desk) -> None:
        await desk.filled()
        (line,) = await desk.types("forget", "--stream", "1", code=2)
        assert "say --yes" in line
        assert facts(await desk.types("show"))["metric series"] == "1"

    @pytest.mark.parametrize("words", [[], ["run-1", "--stream", "1", "--yes"]])
    async def test_wants_one_thing(self, desk: Desk, words: list[str]) -> None:
        (line,) = await desk.types("forget", *words, code=2)
        assert "or a stream with --stream N" in line

    @pytest.mark.parametrize("role", [Role.SERVICE, Role.BACKFILL])
    @pytest.mark.parametrize("words", [["run-1"], ["--stream", "1", "--yes"]])
    async def test_needs_that_nobody_is_at_work(self, desk: Desk, role: Role, words: list[str]) -> None:
        await desk.filled()
        with closing(LedgerFile(desk.path, role=role)):
            (line,) = await desk.types("forget", *words, code=3)
        assert "is using it: stop that one first" in line
        assert facts(await desk.types("show"))["open runs"].startswith("2:")


class TestVerify:
    async def test_a_sound_ledger_is_sound(self, desk: Desk) -> None:
        await desk.filled()
        ledger = await desk.ledger()
        assert await desk.types("verify") == [f"{desk.path}: sound"]
        await ledger.close()
        assert await desk.types("verify") == [f"{desk.path}: sound"]

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("UPDATE run SET state = '{}' WHERE id = 'run-1'", "run run-1 of stream 1: its state cannot be read: "),
            (
                "UPDATE run SET status = 'failed' WHERE id = 'run-1'",
                "run run-1 of stream 1: status is 'failed', and 'created'",
            ),
            (
                "UPDATE run SET keep_until = 7 WHERE id = 'run-3'",
                "run run-3 of stream 1: keep_until is 7.0, and 4000000000.0",
            ),
            (
                "UPDATE series SET count = 3",
                "series letta.step.duration {} of stream 1: its buckets hold 2 observations",
            ),
            (
                "UPDATE series SET buckets = '[1'",
                "series letta.step.duration {} of stream 1: its total cannot be read: ",
            ),
            (
                "UPDATE series SET buckets = '1'",
                "series letta.step.duration {} of stream 1: its total cannot be read: ",
            ),
            ("UPDATE series SET sum = 'x'", "series letta.step.duration {} of stream 1: its total cannot be read: "),
            ("UPDATE series SET attributes = '1'", "series letta.step.duration 1 of stream 1: its attributes cannot"),
            ("UPDATE told SET count = 3", "what was told of letta.step.duration {} of stream 1: its buckets hold 2"),
            (
                "UPDATE export_series SET sum = 'x'",
                "what an export tells of letta.step.duration {} of stream 1: its total",
            ),
            ("DELETE FROM export", "metrics in flight of stream 1: 1 series belong to no export"),
            ("UPDATE failure SET failure = '{}'", "failure 1: it cannot be read: "),
            ("UPDATE in_flight SET plan = '{\"runs\": 1}'", "batch in flight of stream 1: its plan cannot be read: "),
            ("DELETE FROM in_flight", "batch in flight of stream 1: 3 payloads belong to no batch"),
            ("UPDATE dead_letter SET payload = 'text'", "dead letter 1: its payload is text instead of bytes"),
            ("UPDATE dead_letter SET kept_at = 'once'", "dead letter 1: when it was kept cannot be read"),
            ("UPDATE series SET stream = 9", "series: 1 rows of stream 9, which does not exist"),
        ],
    )
    async def test_finds_what_is_wrong_with_a_row(self, desk: Desk, statement: str, said: str) -> None:
        await desk.filled()
        desk.damage(statement)
        problem, end = await desk.types("verify", code=3)
        assert problem.startswith(said)
        assert end == f"{desk.path}: 1 problem"

    @pytest.mark.fault("ledger", "a damaged index, found by `state verify`")
    async def test_finds_an_index_that_does_not_fit(self, desk: Desk) -> None:
        await desk.filled()
        desk.damage("PRAGMA writable_schema = ON")
        with closing(sqlite3.connect(desk.path)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, 'created_ns', 'last_visit') WHERE name = 'run_by_agent'"
            )
            connection.commit()
        lines = await desk.types("verify", code=3)
        assert any(line.startswith("pages: row 1 missing from index run_by_agent") for line in lines)

    @pytest.mark.fault("ledger", "a damaged page, found by `state verify`")
    async def test_goes_on_behind_a_damaged_page(self, desk: Desk) -> None:
        await desk.filled()
        desk.damage("UPDATE in_flight SET plan = 'x'")
        with closing(sqlite3.connect(desk.path)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'dead_letter'").fetchone()
        content = desk.path.read_bytes()
        desk.path.write_bytes(content[: (page - 1) * 4096] + b"\x55" * 4096 + content[page * 4096 :])
        lines = await desk.types("verify", code=3)
        assert lines[0].startswith("pages: ")
        assert any(line.startswith("batch in flight of stream 1: its plan cannot be read") for line in lines)
        assert any(line.startswith("letters: cannot be read: ") for line in lines)

    async def test_what_is_wrong_moves_no_cursor(self, desk: Desk) -> None:
        await desk.filled()
        desk.damage("UPDATE series SET attributes = ?", EVIL)
        assert all(line.isprintable() for line in await desk.types("verify", code=3))


class TestBackup:
    async def test_is_a_whole_ledger_for_its_owner_alone(self, desk: Desk) -> None:
        await desk.filled()
        ledger = await desk.ledger()
        copy = desk.path.with_name("copy")
        assert await desk.types("backup", "copy") == [
            f"{copy}: {copy.stat().st_size} bytes; see `bridge state backup --help` for how to put it back"
        ]
        await ledger.commit(Batch((), 0, Plan()), [LETTER])  # the holder goes on
        await ledger.close()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert not list(copy.parent.glob("copy-*"))
        copy.rename(desk.path)
        assert await desk.types("verify") == [f"{desk.path}: sound"]
        shown = facts(await desk.types("show"))
        assert (shown["dead letters"], shown["in flight"]) == ("1", "2 spans, 10 bytes")

    async def test_overwrites_nothing(self, desk: Desk) -> None:
        await desk.filled()
        content = desk.path.read_bytes()
        (line,) = await desk.types("backup", str(desk.path), code=2)
        assert line == f"bridge: {desk.path} is there already: name a new file"
        assert desk.path.read_bytes() == content

    async def test_what_cannot_be_written_is_said_in_a_line(self, desk: Desk) -> None:
        await desk.filled()
        (line,) = await desk.types("backup", "missing/copy", code=3)
        assert f"its backup {desk.path.parent}/missing/copy: its directory does not exist" in line

    @pytest.mark.fault("ledger", "a backup of a damaged ledger")
    async def test_of_a_damaged_ledger_leaves_no_copy(self, desk: Desk) -> None:
        await desk.filled()
        content = desk.path.read_bytes()
        desk.path.write_bytes(content[:-4096])
        (line,) = await desk.types("backup", "copy", code=3)
        assert "it is damaged" in line
        assert not desk.path.with_name("copy").exists()

    def test_says_what_putting_it_back_means(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["state", "backup", "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "is then delivered again, and the totals go back" in said
