"""The dead letters in the ledger's file. Each function works within the transaction of whoever calls it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any, Final

from bridge.ledger.ledger import DeadLetter, KeptLetter

# A record of Letta's is kept once: its lists show it again, also after a restart, and a little different each time.
_KEEP: Final = """
    INSERT INTO dead_letter (stream, kind, source, reason, payload)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?2 NOT IN ('run', 'step', 'message')
    OR NOT EXISTS (SELECT 1 FROM dead_letter WHERE stream = ?1 AND kind = ?2 AND source = ?3)
"""
_READ: Final = """
    SELECT id, CAST(strftime('%s', kept_at) AS REAL), kind, source, reason, payload FROM dead_letter WHERE stream = ?
"""
_REPLACE: Final = """
    INSERT INTO dead_letter (stream, kept_at, kind, source, reason, payload)
    SELECT stream, kept_at, ?, ?, ?, ? FROM dead_letter WHERE id = ?
"""


def keep(connection: Connection, stream: int, letters: Iterable[DeadLetter]) -> None:
    """Add the letters, kept from now on."""
    connection.executemany(_KEEP, [(stream, *_values(letter)) for letter in letters])


def count(connection: Connection, stream: int) -> int:
    """How many there are."""
    row = connection.execute("SELECT count(*) FROM dead_letter WHERE stream = ?", (stream,)).fetchone()
    return int(row[0])


def page(connection: Connection, stream: int, *, after: int, limit: int) -> list[KeptLetter]:
    """Those with a number above `after`, oldest first."""
    rows = connection.execute(f"{_READ} AND id > ? ORDER BY id LIMIT ?", (stream, after, limit))
    return [_letter(row) for row in rows]


def find(connection: Connection, stream: int, number: int) -> KeptLetter | None:
    """One letter, or None."""
    row = connection.execute(f"{_READ} AND id = ?", (stream, number)).fetchone()
    return row and _letter(row)


def replace(connection: Connection, number: int, rest: Sequence[DeadLetter]) -> None:
    """Put `rest` in the letter's place: new numbers, kept since when the letter was."""
    connection.executemany(_REPLACE, [(*_values(letter), number) for letter in rest])
    connection.execute("DELETE FROM dead_letter WHERE id = ?", (number,))


def _values(letter: DeadLetter) -> tuple[str, str, str, bytes]:
    return letter.kind, letter.source, letter.reason, letter.payload


def _letter(row: tuple[Any, ...]) -> KeptLetter:
    number, kept_at, kind, source, reason, payload = row
    return KeptLetter(number, kept_at, DeadLetter(kind=kind, source=source, reason=reason, payload=payload))
