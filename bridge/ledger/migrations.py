"""The ledger's schema, and how an older file gets to it.

`sql/` holds numbered scripts; a file's version (`PRAGMA user_version`) is how many of them it has been through. An
older file runs those it misses in one transaction, so that a crash or an error leaves the file as it was. A file of
a newer version, or of another program (`PRAGMA application_id`), is refused before anything is written. No copy is
made beforehand: a ledger put back from a copy would not know what has been delivered since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from bridge.errors import LedgerError

APPLICATION_ID: Final = (
    0x4C4F4247  # "LOBG"; makes `file bridge.ledger` and our own check tell it from other databases
)


def scripts() -> tuple[str, ...]:
    """The migration scripts, oldest first."""
    folder = files("bridge.ledger") / "sql"
    return tuple(
        entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    )


def check(connection: sqlite3.Connection, path: Path, *, known: int) -> int:
    """The file's version, 0 for an empty one; writes nothing.

    Raises:
        LedgerError: another program's database, or a ledger of a version above `known`.
    """
    application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if application != APPLICATION_ID and not _is_empty(connection):
        raise LedgerError(f"{path} is a database of another program: choose another path for the ledger")
    if version > known:
        raise LedgerError(
            f"{path} is of ledger version {version}, and this bridge knows versions up to {known}: "
            "run the newer bridge that wrote it, or choose another path"
        )
    return version


def migrate(connection: sqlite3.Connection, missing: Sequence[str], *, version: int) -> None:
    """Run the `missing` scripts in one transaction, which also sets the file's new `version`.

    Where one fails, closing the connection undoes them all.
    """
    if not missing:
        return
    script = "\n".join(
        (
            "BEGIN IMMEDIATE;",
            *missing,
            f"PRAGMA application_id = {APPLICATION_ID};",
            f"PRAGMA user_version = {version};",
            "COMMIT;",
        )
    )
    connection.executescript(script)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
