"""The metric totals in the ledger's file. Each function works within the transaction of whoever calls it.

An instrument has at most so many sets of attributes; a set that comes past them is added to the one set for the rest.
What is stored decides, so that a restart changes nothing: a set that is there goes on, and sums over all sets are
exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from sqlite3 import Connection
from typing import Final

from bridge.ledger.ledger import OVERFLOW, Plan, SeriesKey, Total
from bridge.map.series import AttributeValue

_READ: Final = "SELECT sum, count, buckets FROM series WHERE stream = ? AND instrument = ? AND attributes = ?"
_STORE: Final = "REPLACE INTO series (stream, instrument, attributes, sum, count, buckets) VALUES (?, ?, ?, ?, ?, ?)"
_ALL: Final = "SELECT instrument, attributes, sum, count, buckets FROM series WHERE stream = ?"
_COUNT: Final = "SELECT count(*) FROM series WHERE stream = ? AND instrument = ? AND attributes <> ?"


def add(connection: Connection, stream: int, plan: Plan, *, most: int) -> None:
    """Add the plan's totals to what is there.

    Args:
        connection: of the file.
        stream: whose totals.
        plan: what is added.
        most: sets of attributes that an instrument may have beside the one for the rest.

    Raises:
        ValueError: a histogram has other bounds than before.
    """
    sets: dict[str, int] = {}
    for instrument, attributes, added in plan.totals:
        text = text_of(attributes)
        before = _total(connection, stream, instrument, text)
        if before is None and text != _REST:
            count = sets.get(instrument)
            if count is None:
                count = connection.execute(_COUNT, (stream, instrument, _REST)).fetchone()[0]
            if count >= most:
                text = _REST
                before = _total(connection, stream, instrument, text)
            else:
                count += 1
            sets[instrument] = count
        total = before.plus(added) if before else added
        connection.execute(_STORE, (stream, instrument, text, *columns_of(total)))


def totals(connection: Connection, stream: int) -> dict[SeriesKey, Total]:
    """Every series."""
    rows = connection.execute(_ALL, (stream,))
    return {(instrument, attributes_of(text)): total_of(*values) for instrument, text, *values in rows}


def total_of(sum_: float, count: int, buckets: str) -> Total:
    """A total out of its columns.

    Raises:
        ValueError: they hold something else.
    """
    return Total(sum=sum_, count=count, buckets=tuple(json.loads(buckets)))


def columns_of(total: Total) -> tuple[float, int, str]:
    """The columns of a total."""
    return total.sum, total.count, json.dumps(total.buckets)


def text_of(attributes: Iterable[tuple[str, AttributeValue]]) -> str:
    """The one text of a set of attributes; true, 1, 1.0 and "1" stay four different values."""
    return json.dumps(dict(attributes), sort_keys=True, separators=(",", ":"))


def attributes_of(text: str) -> tuple[tuple[str, AttributeValue], ...]:
    """The set of attributes of a text."""
    values = json.loads(text)
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values.items())


def _total(connection: Connection, stream: int, instrument: str, text: str) -> Total | None:
    row = connection.execute(_READ, (stream, instrument, text)).fetchone()
    return total_of(*row) if row else None


_REST: Final = text_of(OVERFLOW)
