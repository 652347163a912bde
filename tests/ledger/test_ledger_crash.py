"""A process that is killed within a write leaves all of it or nothing, and what was in flight to send again."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from kill_writes import SENT, WRITES
from ledger_samples import FULL_PLAN, NOW

from bridge.ledger.file import LedgerFile
from bridge.ledger.open import open_ledger

_SCRIPT = Path(__file__).with_name("kill_writes.py")
_WHEN = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'")  # a dead letter's, by SQLite's own clock


def killed_at_each_statement(folder: Path, write: str) -> list[Path]:
    subprocess.run([sys.executable, _SCRIPT, folder, write], check=True)
    return sorted(folder.glob("*.ledger"))


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()
        return [str(version), *(_WHEN.sub("'then'", line) for line in connection.iterdump())]


@pytest.mark.fault("ledger", "killed within a write")
@pytest.mark.parametrize("write", [*WRITES, "migrate"])
def test_a_kill_at_any_statement_leaves_all_or_nothing(tmp_path: Path, write: str) -> None:
    untouched, *paths = killed_at_each_statement(tmp_path, write)
    before, after = content(untouched), content(paths[-1])
    assert before != after
    assert len(paths) > 5  # the statements were found, and each was killed at
    assert all(content(path) == before for path in paths[:-1])
    for path in paths:
        LedgerFile(path).close()  # and each opens again


@pytest.mark.fault("ledger", "killed while it commits what was delivered")
async def test_what_a_kill_interrupted_is_in_flight(tmp_path: Path) -> None:
    for path in killed_at_each_statement(tmp_path, "commit"):
        ledger = await open_ledger(str(path), source="letta", destination="otlp", now=NOW)
        aside, run = await ledger.in_flight(), await ledger.run("run-1")
        assert (aside == SENT) != (run == FULL_PLAN.runs[0])
        assert (await ledger.totals() == {}) == (aside == SENT)
        await ledger.close()
