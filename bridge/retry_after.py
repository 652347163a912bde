"""The Retry-After header (RFC 9110, 10.2.3), as Letta's API and OTLP backends send it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds(header: str | None, *, now: float) -> float | None:
    """How long to wait from `now` (seconds since the epoch); None where the header is missing or makes no sense."""
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment - now)


def http_date(header: str | None) -> float | None:
    """An HTTP date as seconds since the epoch, or None."""
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):  # an offset such as +99999999999999 overflows
        return None
