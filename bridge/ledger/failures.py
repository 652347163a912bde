"""The newest failures in the ledger's file. Each function works within the transaction of whoever calls it."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Final

from bridge.map.failures import Failure

KEPT: Final = 50

_FORGET: Final = """
    DELETE FROM failure WHERE stream = ?1 AND id <= (
        SELECT id FROM failure WHERE stream = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
    )
"""


def keep(connection: Connection, stream: int, failures: Sequence[Failure]) -> None:
    """Add what was seen, the newest last; those before the newest `KEPT` are forgotten."""
    if failures:
        rows = [(stream, failure.model_dump_json()) for failure in failures]
        connection.executemany("INSERT INTO failure (stream, failure) VALUES (?, ?)", rows)
        connection.execute(_FORGET, (stream, KEPT))


def newest(connection: Connection, stream: int) -> list[Failure]:
    """All that are kept, the newest first."""
    rows = connection.execute("SELECT failure FROM failure WHERE stream = ? ORDER BY id DESC", (stream,))
    return [Failure.model_validate_json(text) for (text,) in rows]
