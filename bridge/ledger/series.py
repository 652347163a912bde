"""The metric totals in the ledger's file. Each function works within the transaction of whoever calls it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from sqlite3 import Connection
from typing import Final

from bridge.ledger.ledger import Plan, SeriesKey, Total
from bridge.map.telemetry import AttributeValue

_READ: Final = "SELECT sum, count, buckets FROM series WHERE stream = ? AND instrument = ? AND attributes = ?"
_STORE: Final = "REPLACE INTO series (stream, instrument, attributes, sum, count, buckets) VALUES (?, ?, ?, ?, ?, ?)"
_ALL: Final = "SELECT instrument, attributes, sum, count, buckets FROM series WHERE stream = ?"


def add(connection: Connection, stream: int, plan: Plan) -> None:
    """Add the plan's totals to what is there.

    Raises:
        ValueError: a histogram has other bounds than before.
    """
    for instrument, attributes, added in plan.totals:
        text = _text(attributes)
        row = connection.execute(_READ, (stream, instrument, text)).fetchone()
        total = total_of(*row).plus(added) if row else added
        values = (total.sum, total.count, json.dumps(total.buckets))
        connection.execute(_STORE, (stream, instrument, text, *values))


def totals(connection: Connection, stream: int) -> dict[SeriesKey, Total]:
    """Every series."""
    rows = connection.execute(_ALL, (stream,))
    return {(instrument, _attributes(text)): total_of(*values) for instrument, text, *values in rows}


def total_of(sum_: float, count: int, buckets: str) -> Total:
    """A total out of its columns.

    Raises:
        ValueError: they hold something else.
    """
    return Total(sum=sum_, count=count, buckets=tuple(json.loads(buckets)))


def _text(attributes: Iterable[tuple[str, AttributeValue]]) -> str:
    """The one text of a set of attributes; true, 1, 1.0 and "1" stay four different values."""
    return json.dumps(dict(attributes), sort_keys=True, separators=(",", ":"))


def _attributes(text: str) -> tuple[tuple[str, AttributeValue], ...]:
    values = json.loads(text)
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values.items())
