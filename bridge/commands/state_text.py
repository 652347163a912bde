"""What a ledger holds as text for a person: aligned, at most 100 columns, and harmless to a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import wrap
from typing import Final

from bridge.follow.state import Phase
from bridge.ledger.survey import StreamSurvey
from bridge.plain import one_line

_WIDTH: Final = 100
_LABEL: Final = 20  # columns
_LONGEST_WORD: Final = 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def described(path: Path, size: int, version: int, streams: Sequence[StreamSurvey]) -> Iterator[str]:
    """The file, then each stream.

    Args:
        path: of the ledger.
        size: bytes on disk.
        version: of its schema.
        streams: in their order.
    """
    yield _line("ledger", str(path))
    yield _line("size", f"{size:,} bytes")
    yield _line("version", str(version))
    for stream in streams:
        yield ""
        yield _line(f"stream {stream.number}", one_line(stream.source, longest=_WIDTH - _LABEL))
        for label, value in _facts(stream):
            yield from _wrapped(label, value)


def _facts(stream: StreamSurvey) -> Iterator[tuple[str, str]]:
    oldest_ns = stream.gauges.oldest_created_ns
    yield "towards", _plain(stream.destination)
    yield "totals since", _time(stream.start_ns)
    yield "follows runs from", _time(stream.origin_ns)
    yield "knows runs up to", _time(stream.watermark_ns)
    yield "open runs", _counts(stream.runs.get(Phase.OPEN, {}))
    if stream.oldest_open:
        yield "oldest open run", f"{_plain(stream.oldest_open)}, created {_time(oldest_ns)}"
    yield "dormant runs", _counts(stream.runs.get(Phase.DORMANT, {}))
    yield "closed runs", _counts(stream.runs.get(Phase.CLOSED, {}))
    yield "watched of these", f"{stream.watched:,}"
    yield "awaiting approval", f"{stream.gauges.awaiting_approval:,}"
    yield "in flight", "nothing" if stream.in_flight is None else "{:,} spans, {:,} bytes".format(*stream.in_flight)
    if stream.exports:
        yield "metrics in flight", "{:,} requests, {:,} bytes".format(*stream.exports)
    yield "metric series", f"{stream.series:,}"
    yield "latest failures", f"{stream.failures:,}"
    yield "dead letters", f"{stream.dead_letters:,}"


def _counts(by_status: Mapping[str, int]) -> str:
    """The sum, and what it is made of."""
    parts = ", ".join(f"{_plain(status)} {count:,}" for status, count in by_status.items())
    total = f"{sum(by_status.values()):,}"
    return f"{total}: {parts}" if parts else total


def _time(ns: int | None) -> str:
    if ns is None:
        return "not known yet"
    try:
        return f"{_EPOCH + timedelta(microseconds=ns // 1000):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{ns} ns since 1970"


def _plain(text: str) -> str:
    return one_line(text, longest=_LONGEST_WORD)


def _line(label: str, value: str) -> str:
    return f"{label:<{_LABEL}}{value}"


def _wrapped(label: str, value: str) -> Iterator[str]:
    first, *rest = wrap(value, _WIDTH - _LABEL - 2, break_on_hyphens=False)
    yield _line(f"  {label}", f"  {first}")
    for line in rest:
        yield _line("", f"  {line}")
