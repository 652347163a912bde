"""What the storage's errors mean to a person: each becomes one LedgerError, with the ledger's path and what to do."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import LedgerError

DAMAGED: Final = "it is damaged: move it away to start anew, or put a backup in its place"
_UNWRITABLE: Final = "it cannot be written: check its owner, its mode and that its disk is not read-only"
_NO_DIRECTORY: Final = "its directory does not exist: create it, or choose another path"
_NO_PERMISSION: Final = "no permission: the user that runs the bridge must be able to write it and its directory"

_FULL: Final = "the disk is full: free some space; what the ledger holds is unharmed"

_SQLITE_SAYS: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # no room for the -shm
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its directory exists and can be written",
    sqlite3.SQLITE_BUSY: "another program holds it: close what has it open",
    sqlite3.SQLITE_NOTADB: "it is not a ledger: choose another path for the ledger, or move that file away",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_IOERR: "the disk fails to read or write it: check the disk, its quota and the system's log",
}
_SYSTEM_SAYS: Final = {
    errno.ENOENT: _NO_DIRECTORY,
    errno.ENOTDIR: _NO_DIRECTORY,
    errno.EISDIR: "that is a directory: give the path of a file in it",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EEXIST: "there is something already: choose another path",
    errno.EROFS: "its disk is mounted read-only: choose another path",
    errno.ENOSPC: "the disk is full: free some space",
}


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Turn what the storage of the ledger at `path` fails with into one line for a person.

    Raises:
        LedgerError: in the place of any sqlite3.Error, OSError or ValueError.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"ledger {path}: {_sqlite_says(error)}") from error
    except OSError as error:
        says = _SYSTEM_SAYS.get(error.errno or 0, f"{error.strerror}: choose another path, on a local disk")
        raise LedgerError(f"ledger {path}: {says}") from error
    except ValueError as error:
        what = str(error).partition("\n")[0]
        raise LedgerError(f"ledger {path}: a record in it does not fit this version of the bridge: {what}") from error


def _sqlite_says(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)  # absent where Python's own module complains
    says = None if code is None else _SQLITE_SAYS.get(code, _SQLITE_SAYS.get(code & 0xFF))  # the low byte is the kind
    return f"{says} ({error})" if says else str(error)
