"""Values as a person reads them: foreign text made harmless, times with their age, sizes, counts.

Foreign text is anything that is not the page's own: it is masked, put on one line without control characters and
marks that turn the direction of writing, and cut, with its full length said. Escaping for HTML is the template's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from bridge.plain import one_line

LONGEST: Final = 300  # characters
Mask = Callable[[str], str]

_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_KILO: Final = 1000


def harmless(text: str, mask: Mask, *, longest: int = LONGEST) -> str:
    """Foreign text; masked before it is cut, or half a secret might be left of it."""
    line = one_line(mask(text), longest=longest)
    if line.endswith("…") and len(text) > longest:
        return f"{line} ({len(text):,} characters)"
    return line if line or not text else f"({len(text):,} unprintable characters)"


def moment(seconds: float) -> str:
    """`2026-01-31 03:12:07`, UTC; what no calendar has is told in seconds."""
    try:
        return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return f"{seconds:.0f} s since 1970"


def age(seconds: float) -> str:
    """`0 s`, `12 s`, `4 min`, `3 h 5 min`, `2 d 4 h`: two units at most, cut and not rounded."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def length(seconds: float) -> str:
    """Of something short: `250 ms`, `5 s`; from a minute on as an age."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < _MINUTE else age(seconds)


def distance(seconds: float) -> str:
    """How far away a moment is that lies so many seconds back: `12 s ago`, `in 4 min`."""
    return f"in {age(-seconds)}" if seconds <= -1 else f"{age(seconds)} ago"


def size(amount: int) -> str:
    """`980 B`, `5.2 MB`."""
    if amount < _KILO:
        return f"{amount} B"
    for unit in ("kB", "MB", "GB"):
        amount_of_unit = amount / _KILO
        if amount_of_unit < _KILO:
            return f"{amount_of_unit:.1f} {unit}"
        amount = int(amount_of_unit)
    return f"{amount / _KILO:,.1f} TB"


def plural(amount: int, word: str) -> str:
    """`1 run`, `1,200 runs`."""
    return f"{amount:,} {word}" if amount == 1 else f"{amount:,} {word}s"


def trace_link(trace_url: str | None, trace_id: str) -> str | None:
    """Address of a trace in the user's viewer; None where there is no viewer, or it would not be a web address.

    Args:
        trace_url: as set, with {trace_id}.
        trace_id: 32 hexadecimal digits; anything else gets no link.
    """
    if trace_url is None or not _TRACE_ID.fullmatch(trace_id):
        return None
    url = trace_url.replace("{trace_id}", trace_id)
    return url if urlsplit(url).scheme in {"http", "https"} else None


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    first, rest = divmod(whole, large)
    second = rest // small
    return f"{first} {large_name} {second} {small_name}" if second else f"{first} {large_name}"
