"""Copy a ledger while it is in use: SQLite's online backup, which holds all that was committed when it began."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from bridge.ledger.file import LedgerFile
from bridge.ledger.lock import PRIVATE
from bridge.ledger.troubles import explained


def back_up(file: LedgerFile, target: Path) -> int:
    """Write a copy that is one file, 0600; returns its size in bytes.

    Raises:
        LedgerError: there is something at `target`, which stays as it is, or the copy could not be made; what there
            was of it is removed.
    """
    with explained(f"{file.path}, its backup {target}"):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        try:
            _copy(file, target)
        except BaseException:
            target.unlink()
            raise
        return target.stat().st_size


def _copy(file: LedgerFile, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        file.connection.backup(copy)  # all pages in one go: a writer does not make it begin anew
