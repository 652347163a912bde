"""A ledger of an older version is brought up to date, or left exactly as it was."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from bridge.errors import LedgerError
from bridge.ledger import migrations
from bridge.ledger.file import LedgerFile

FIRST = "CREATE TABLE song (title TEXT);\n-- a comment; with a semicolon\nINSERT INTO song VALUES ('one; two');"
SECOND = "ALTER TABLE song ADD COLUMN year INTEGER;\nUPDATE song SET year = 1999;"
BROKEN = "ALTER TABLE song ADD COLUMN label TEXT;\nINSERT INTO nowhere VALUES (1);"


def opened(path: Path, scripts: Sequence[str]) -> None:
    LedgerFile(path, scripts=scripts).close()


def content(path: Path) -> tuple[int, list[str]]:
    """The file's version and everything in it."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0], list(connection.iterdump())


def test_a_new_file_runs_every_script(path: Path) -> None:
    opened(path, [FIRST, SECOND])
    version, dump = content(path)
    assert version == 2
    assert "INSERT INTO \"song\" VALUES('one; two',1999);" in dump


def test_an_older_file_runs_those_it_misses(path: Path) -> None:
    opened(path, [FIRST])
    opened(path, [FIRST, SECOND])
    opened(path, [FIRST, SECOND])
    version, dump = content(path)
    assert version == 2
    assert "INSERT INTO \"song\" VALUES('one; two',1999);" in dump


@pytest.mark.fault("ledger", "an older schema whose migration fails")
@pytest.mark.parametrize("missing", [[BROKEN], [SECOND, BROKEN], [SECOND, "SELECT 'unfinished"]])
def test_a_script_that_fails_leaves_the_file_as_it_was(path: Path, missing: list[str]) -> None:
    opened(path, [FIRST])
    before = content(path)
    with pytest.raises(LedgerError, match=r"bridge\.ledger"):
        opened(path, [FIRST, *missing])
    assert content(path) == before
    opened(path, [FIRST, SECOND])


def test_a_first_script_that_fails_leaves_an_empty_file(path: Path) -> None:
    with pytest.raises(LedgerError):
        opened(path, [FIRST, BROKEN])
    opened(path, [FIRST])


@pytest.mark.fault("ledger", "a newer schema")
def test_a_newer_file_is_refused_in_a_line_and_not_touched(path: Path) -> None:
    opened(path, [FIRST, SECOND])
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"is of ledger version 2, .* up to 1: run the newer bridge") as error:
        opened(path, [FIRST])
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_the_scripts_are_numbered_without_a_gap() -> None:
    names = sorted(entry.name for entry in (files("bridge.ledger") / "sql").iterdir())
    assert [name[:5] for name in names] == [f"{number:04}_" for number in range(1, len(names) + 1)]
    assert len(migrations.scripts()) == len(names)


def test_the_file_says_whose_it_is(path: Path) -> None:
    opened(path, migrations.scripts())
    assert path.read_bytes()[68:72] == b"LOBG"  # where `file` and its like look, by SQLite's file format
