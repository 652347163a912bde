"""The ledger's file on disk: who may read it, who may use it, and what its errors mean.

Two files lie beside it while it is open, SQLite's `-wal` and `-shm`, and for good an empty `-lock`. All are 0600
from their first moment. The lock is the kernel's (flock): it goes with the process, however that dies. It is not on
the database itself, so that a person can look into that one with any SQLite tool meanwhile.

Whatever SQLite or the file system fails with comes out as one LedgerError; a transaction that failed is undone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import LedgerError
from bridge.ledger import migrations

_PRIVATE: Final = 0o600
_BUSY_SECONDS: Final = 5.0  # only another program's look into the file can hold it, and briefly
_WAL_BYTES: Final = 4 << 20

_SQLITE_SAYS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; what the ledger holds is unharmed",
    sqlite3.SQLITE_READONLY: "it cannot be written: check its owner, its mode and that its disk is not read-only",
    sqlite3.SQLITE_PERM: "it cannot be written: check its owner, its mode and that its disk is not read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its directory exists and can be written",
    sqlite3.SQLITE_BUSY: "another program holds it: close what has it open",
    sqlite3.SQLITE_NOTADB: "it is not a ledger: choose another path for the ledger, or move that file away",
    sqlite3.SQLITE_CORRUPT: "it is damaged: move it away to start anew, or put a backup in its place",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write it: check the disk and the system's log",
}
_SYSTEM_SAYS: Final = {
    errno.ENOENT: "its directory does not exist: create it, or choose another path",
    errno.ENOTDIR: "its directory does not exist: create it, or choose another path",
    errno.EISDIR: "that is a directory: give the path of a file in it",
    errno.EACCES: "no permission: the user that runs the bridge must be able to write it and its directory",
    errno.EPERM: "no permission: the user that runs the bridge must be able to write it and its directory",
    errno.EROFS: "its disk is mounted read-only: choose another path",
    errno.ENOSPC: "the disk is full: free some space",
}


class LedgerFile:
    """An open ledger file: a lock and a connection, both held until `close`."""

    def __init__(self, path: Path, *, scripts: Sequence[str] | None = None) -> None:
        """Lock the file, create or migrate it, and make it ready.

        Args:
            path: absolute; its directory must exist.
            scripts: the migration scripts, oldest first; those of the package unless given.

        Raises:
            LedgerError: another process uses it, it is of a newer bridge, or the storage fails.
        """
        self.path = path
        with _explained(path):
            self._lock: int | None = _locked(path)
            try:
                self.connection = _connected(path, migrations.scripts() if scripts is None else scripts)
            except BaseException:
                self._unlock()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries."""
        with _explained(self.path):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within one transaction: all of it happens, or nothing."""
        with _explained(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def size_bytes(self) -> int:
        """What the file takes on disk, with what SQLite keeps beside it."""
        with _explained(self.path):
            return sum(_size(Path(f"{self.path}{suffix}")) for suffix in ("", "-wal", "-shm"))

    def close(self) -> None:
        """Close the connection, then let go of the lock; a second call does nothing."""
        try:
            with _explained(self.path):
                self.connection.close()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int:
    """A descriptor that holds the lock until it is closed; the lock's file stays, or two could lock two files."""
    lock = _opened(Path(f"{path}-lock"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise LedgerError(
            f"ledger {path}: another bridge is using it: stop that one, or give this one a ledger of its own"
        ) from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _connected(path: Path, scripts: Sequence[str]) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        version = migrations.check(connection, path, known=len(scripts))
        _check_pages(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: without it FULL stops at the disk's own cache
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        migrations.migrate(connection, scripts[version:], version=len(scripts))
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(path: Path) -> int:
    """A descriptor of the file, which is made with mode 0600 where there is none."""
    return os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE)


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, which gives its own files the mode of this one.

    An empty file that lies there becomes private; a mode that was chosen for a ledger later stays.
    """
    descriptor = _opened(path)
    try:
        if not os.fstat(descriptor).st_size:
            os.fchmod(descriptor, _PRIVATE)
    finally:
        os.close(descriptor)


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a damaged file before anything is built on it; a few milliseconds on a file of a busy server."""
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        what = " ".join(problem.split())  # SQLite says it in two lines
        raise LedgerError(f"ledger {path}: {_SQLITE_SAYS[sqlite3.SQLITE_CORRUPT]} ({what})")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the storage fails with into one line for a person."""
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
    says = None if code is None else _SQLITE_SAYS.get(code & 0xFF)  # the low byte is the kind, the rest the detail
    return f"{says} ({error})" if says else str(error)
