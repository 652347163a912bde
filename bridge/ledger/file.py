"""The ledger's file on disk: open, locked for its role, of the current version and sound.

Beside it lie SQLite's `-wal` and `-shm` while it is open, and for good the empty files of its locks. All are 0600
from their first moment. WAL lets several processes write in turn; whoever finds another at it waits some seconds.

Whatever SQLite or the file system fails with comes out as one LedgerError; a transaction that failed is undone. A
file that was moved or replaced under an open ledger is written no more, or the next start would not find it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import LedgerError
from bridge.ledger import migrations
from bridge.ledger.lock import PRIVATE, Lock, Role, locks
from bridge.ledger.troubles import DAMAGED, explained

_BUSY_SECONDS: Final = 5.0  # a transaction is milliseconds: only another program's look into the file takes longer
_WAL_BYTES: Final = 4 << 20
_HEADER_BYTES: Final = 100  # of any SQLite file


class LedgerFile:
    """An open ledger file: a connection, and the lock of its role, both held until `close`."""

    def __init__(self, path: Path, *, role: Role = Role.SERVICE, scripts: Sequence[str] | None = None) -> None:
        """Lock the file, create or migrate it where the role may, and make it ready.

        Args:
            path: absolute; its directory must exist.
            role: what it is opened for.
            scripts: the migration scripts, oldest first; those of the package unless given.

        Raises:
            LedgerError: the role is taken, the file is missing or of another version where the role does not change
                that, or the storage fails.
        """
        self.path = path
        with explained(path), ExitStack() as stack:
            _check_presence(path, role)
            held = [path]
            for lock in locks(path, role):
                stack.callback(lock.release)
                held.append(lock.path)
            if role.makes:
                _make_private(path)
            self.connection = _connected(path)
            stack.callback(self.connection.close)
            _set_up(self.connection)
            _made_current(self.connection, path, role, migrations.scripts() if scripts is None else scripts)
            self._identities = {name: _identity(name) for name in held}
            self._opened = stack.pop_all()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries."""
        with explained(self.path):
            yield self.connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries that must agree with each other whoever writes meanwhile."""
        with explained(self.path):
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within one transaction: all of it happens, or nothing.

        No other process can write between what is read in it and what is written.
        """
        with explained(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self._check_in_place()
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def size_bytes(self) -> int:
        """What the file takes on disk, with what SQLite keeps beside it."""
        with explained(self.path):
            return sum(_size(Path(f"{self.path}{suffix}")) for suffix in ("", "-wal", "-shm"))

    def close(self) -> None:
        """Close the connection, then let go of the lock; a second call does nothing."""
        with explained(self.path):
            self._opened.close()

    def _check_in_place(self) -> None:
        """Refuse to write into a file that is no longer where it was opened."""
        gone = [path for path, identity in self._identities.items() if _identity(path) != identity]
        if gone:
            self.connection.execute("ROLLBACK")
            self._make_whole()
            raise LedgerError(
                f"ledger {self.path}: {gone[0].name} was moved, removed or replaced while it was in use: "
                "stop the bridge, put it back, and start again"
            )

    def _make_whole(self) -> None:
        """Bring the `-wal`, which stayed behind, into the file that was moved away.

        Else that one would miss the last commits, and SQLite would put them into whatever lies in its place now.
        """
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _made_current(connection: sqlite3.Connection, path: Path, role: Role, scripts: Sequence[str]) -> None:
    """Check that the file is a sound ledger of the current version, or make it one where the role may."""
    known = len(scripts)
    version = migrations.check(connection, path, known=known)
    if not role.makes:
        if version < known:
            raise LedgerError(f"ledger {path}: {_too_old(version, known)}: `bridge run` brings it up to date")
        return
    _check_pages(connection, path)
    with ExitStack() as stack:
        if version < known and (other := _other_lock(path, role, version, known)):
            stack.callback(other.release)
            version = migrations.check(connection, path, known=known)  # the lock's last holder may have done it
        connection.execute("PRAGMA journal_mode = WAL")
        migrations.migrate(connection, scripts[version:], version=known)


def _other_lock(path: Path, role: Role, version: int, known: int) -> Lock | None:
    """What is needed beside the role's own lock to change the file: nobody else may be at work on it."""
    if role is Role.BACKFILL:
        state = "a service is just making it: try again in a moment"
        if version:
            state = f"{_too_old(version, known)}, and a service is using it: start that one anew with this version"
        return Lock(path, Role.SERVICE, taken=state)
    if not version:
        return None  # nobody can be at work on a file that holds nothing
    return Lock(path, Role.BACKFILL, taken="a backfill of an older version is running on it: stop that one first")


def _too_old(version: int, known: int) -> str:
    return f"it is of version {version}, and this bridge needs {known}" if version else "it is empty"


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: without it FULL stops at the disk's own cache
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, which gives its own files the mode of this one.

    An empty file that lies there becomes private; a mode that was chosen for a ledger later stays.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        if not os.fstat(descriptor).st_size:
            os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


def _check_presence(path: Path, role: Role) -> None:
    """Refuse what SQLite would take for a new file, throwing away what is left of an old one."""
    if not role.makes and not path.exists():
        raise LedgerError(f"ledger {path}: there is none: `bridge run` makes it, or set ledger.location")
    size, log = _size(path), Path(f"{path}-wal")
    if 0 < size < _HEADER_BYTES:
        raise LedgerError(f"ledger {path}: {DAMAGED} (it was cut to {size} bytes)")
    if not size and _size(log):
        raise LedgerError(
            f"ledger {path}: {log.name} holds commits of a ledger that is not there: put that one back, or move both"
        )


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a damaged file before anything is built on it; a few milliseconds on a file of a busy server."""
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        what = " ".join(problem.split())  # SQLite says it in two lines
        raise LedgerError(f"ledger {path}: {DAMAGED} ({what})")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
