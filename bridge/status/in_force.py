"""The settings in force as a table that may be shown: no secret, no password or query of an address. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from pydantic import SecretStr

from bridge.export.endpoint import shown
from bridge.settings import Settings
from bridge.settings.durations import StartFrom, written
from bridge.settings.fields import Key, Row, rows

HIDDEN: Final = "hidden"
NOTHING: Final = "not set"

_GENERAL: Final = 2  # parts of the key otlp.endpoint; that of a signal's own has one more
_DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True)
class Line:
    """One setting.

    Attributes:
        name: the key, `poll.interval`.
        variable: its environment variable.
        value: what is in force, as a person would write it; secrets are `hidden`.
        origin: `default`, `set`, or `as otlp` where a signal has no setting of its own.
    """

    name: str
    variable: str
    value: str
    origin: str

    @property
    def is_set(self) -> bool:
        """Whether it is not as it comes."""
        return self.origin == "set"


@dataclass(frozen=True, slots=True)
class Group:
    """The settings of one section, in the order of the reference page; '' is the one without a section."""

    section: str
    lines: Sequence[Line]


def in_force(settings: Settings) -> list[Group]:
    """Every setting there is."""
    grouped = groupby(rows(Settings), lambda row: row.key[:-1])
    return [Group(".".join(key), [_line(settings, row) for row in group]) for key, group in grouped]


def _line(settings: Settings, row: Row) -> Line:
    general = _general(settings, row.key)
    value = _value(settings, general or row.key)
    own = "default" if value == _value(_DEFAULTS, row.key) else "set"
    return Line(row.name, row.env, _written(value, row), f"as {general[0]}" if general else own)


def _general(settings: Settings, key: Key) -> Key | None:
    """The setting that counts where a signal has none of its own."""
    if key[0] != "otlp" or len(key) <= _GENERAL:
        return None
    own = _value(settings, key[:-1])
    return None if key[-1] in own.model_fields_set else (key[0], key[-1])


def _value(settings: Settings, key: Key) -> Any:
    return attrgetter(".".join(key))(settings)


def _written(value: Any, row: Row) -> str:
    if value is None or value == ():
        return NOTHING
    if row.kind.secret:
        return HIDDEN if isinstance(value, SecretStr) else ", ".join(f"{name}={HIDDEN}" for name, _ in value)
    if row.kind.words == "duration":
        return written(value)
    return _plain(value, row)


def _plain(value: Any, row: Row) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.10g}"
        case tuple():
            return ", ".join(value)
        case StartFrom():
            return _start(value)
        case str() if "URL" in row.kind.words:
            return _address(value)
        case _:
            return str(value)


def _address(url: str) -> str:
    """What may be shown of it, and whether there is more."""
    address = shown(url)
    return address if address == url else f"{address}…"


def _start(start: StartFrom) -> str:
    if start.moment is None:
        return written(start.age) if start.age else "now"
    return datetime.fromtimestamp(start.moment, UTC).isoformat() if start.moment else "beginning"
