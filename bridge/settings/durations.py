"""Durations (`500ms`, `5s`, `1h30m`, `1d`) and the moment to start from.

Inside, every duration is a float of seconds. A number without a unit is refused, except 0: 5 means milliseconds to
one reader and seconds to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.settings.fields import Kind

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_DURATION = re.compile(f"(?:{_PART})+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LIKE = "write it like 500ms, 5s, 2h or 1h30m"


def seconds(text: str) -> float:
    """The length of `text` in seconds; raises ValueError, worded for a person."""
    compact = text.strip()
    if _NUMBER.fullmatch(compact) and float(compact):
        raise ValueError(f"{compact!r} has no unit; {_LIKE}")
    if not _DURATION.fullmatch(compact) and compact != "0":
        raise ValueError(f"{compact!r} is not a duration; {_LIKE}")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, compact))


def written(value: float) -> str:
    """`value` seconds in the largest unit that divides them evenly."""
    for unit in ("d", "h", "m", "s"):
        if value and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:g}{unit}"
    return f"{value * 1000:g}ms" if value else "0s"


def duration(least: str = "0", most: str = "365d") -> Kind:
    """The kind of a duration between two bounds, both allowed."""

    def parse(value: Any) -> float:
        length = seconds(value) if isinstance(value, str) else float(value)
        if length < seconds(least):
            raise ValueError(f"{written(length)} is less than {least}")
        if length > seconds(most):
            raise ValueError(f"{written(length)} is more than {most}")
        return length

    return Kind("duration", parse, {"type": "string", "pattern": f"^((?:{_PART})+|0)$"})


@dataclass(frozen=True, slots=True)
class StartFrom:
    """Where the first sweep begins: a moment, or an age to be subtracted from the moment of starting.

    Attributes:
        moment: seconds since the Unix epoch; 0 is the beginning. None where `age` is given.
        age: seconds before now; 0 is now.
    """

    moment: float | None = None
    age: float = 0.0

    def since(self, now: float) -> float:
        """The first moment of interest, in seconds since the epoch, when it is `now`."""
        return max(0.0, now - self.age) if self.moment is None else self.moment


def _start_from(value: Any) -> StartFrom:
    if isinstance(value, StartFrom):
        return value
    text = str(value).strip()
    words = {"now": StartFrom(age=0.0), "beginning": StartFrom(moment=0.0)}
    return words.get(text.lower()) or _age(text) or _moment(text)


def _age(text: str) -> StartFrom | None:
    return StartFrom(age=seconds(text)) if _DURATION.fullmatch(text) else None


def _moment(text: str) -> StartFrom:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not now, beginning, an age like 1h, or a time like 2026-01-31T08:00:00Z"
        raise ValueError(message) from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return StartFrom(moment=zoned.timestamp())


START_FROM = Kind("now, beginning, an age or a time", _start_from, {"type": "string"})
