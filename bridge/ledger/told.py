"""What a backend has been told by exports of differences, in the ledger's file.

Each function works within the transaction of whoever calls it. An export is put aside before it is sent and settled
after the answer, so that a crash between the two sends the same bytes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Final

from bridge.ledger.ledger import Export, KeptExport, Told
from bridge.ledger.series import attributes_of, columns_of, text_of, total_of

_ALL: Final = "SELECT instrument, attributes, until_ns, sum, count, buckets FROM told WHERE stream = ?"
_UNTIL: Final = "SELECT coalesce(told_ns, start_ns) FROM stream WHERE id = ?"
_ASIDE: Final = "SELECT id, payload FROM export WHERE stream = ? ORDER BY id"
_PUT: Final = "INSERT INTO export (stream, since_ns, until_ns, payload) VALUES (?, ?, ?, ?)"
_PUT_SERIES: Final = "INSERT INTO export_series VALUES (?, ?, ?, ?, ?, ?, ?)"
_TAKEN: Final = """
    REPLACE INTO told
    SELECT one.stream, instrument, attributes, until_ns, sum, count, buckets
    FROM export_series AS one JOIN export ON export.id = one.export WHERE export.id = ?
"""
# A series that was never told of begins where the export began that nobody took.
_REFUSED: Final = """
    INSERT OR IGNORE INTO told
    SELECT one.stream, instrument, attributes, since_ns, 0, 0, '[]'
    FROM export_series AS one JOIN export ON export.id = one.export WHERE export.id = ?
"""


def told(connection: Connection, stream: int) -> Told:
    """All that the backend has been told."""
    rows = connection.execute(_ALL, (stream,))
    series = {
        (instrument, attributes_of(text)): (total_of(*values), until_ns)
        for instrument, text, until_ns, *values in rows
    }
    return Told(connection.execute(_UNTIL, (stream,)).fetchone()[0], series)


def put_aside(connection: Connection, stream: int, exports: Sequence[Export], *, until_ns: int) -> None:
    """Keep the exports of one moment."""
    since_ns = connection.execute(_UNTIL, (stream,)).fetchone()[0]
    for export in exports:
        number = connection.execute(_PUT, (stream, since_ns, until_ns, export.payload)).lastrowid
        connection.executemany(
            _PUT_SERIES,
            [
                (stream, number, instrument, text_of(attributes), *columns_of(total))
                for (instrument, attributes), total in export.told.items()
            ],
        )
    connection.execute("UPDATE stream SET told_ns = ? WHERE id = ?", (until_ns, stream))


def aside(connection: Connection, stream: int) -> list[KeptExport]:
    """What is put aside, the oldest first."""
    return [KeptExport(*row) for row in connection.execute(_ASIDE, (stream,))]


def settle(connection: Connection, number: int, *, taken: bool) -> None:
    """The backend took an export, or refused it for good: then its values are told by the next one."""
    connection.execute(_TAKEN if taken else _REFUSED, (number,))
    connection.execute("DELETE FROM export_series WHERE export = ?", (number,))
    connection.execute("DELETE FROM export WHERE id = ?", (number,))
