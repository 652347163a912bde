"""Open the ledger that a setting names: a path, `sqlite:///path`, later also `postgresql://…`.

Raises SettingsError for a location that no ledger can be at, LedgerError when the storage there does not let itself
be used. Nothing is created but the file itself: a directory that is missing is more often a volume that was not
mounted than one to make.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.errors import SettingsError
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import SERIES_AT_MOST, Ledger
from bridge.ledger.lock import Role
from bridge.ledger.sqlite import SqliteLedger

_SQLITE: Final = "sqlite:///"


async def open_ledger(
    location: str, *, source: str, destination: str, now: float, max_series: int = SERIES_AT_MOST
) -> Ledger:
    """The ledger of one stream.

    Args:
        location: a path, or `sqlite:///relative` or `sqlite:////absolute`; `~` is the home directory.
        source: names the Letta server (and project).
        destination: names where its telemetry goes.
        now: seconds since the epoch; a new stream's totals count from here.
        max_series: sets of attributes that an instrument may have; what comes past them shares one.
    """
    file = open_file(location, Role.SERVICE)
    return _stream(file, source=source, destination=destination, now=now, max_series=max_series)


async def open_beside(
    location: str, *, source: str, destination: str, now: float, max_series: int = SERIES_AT_MOST
) -> Ledger:
    """The same, for a person's command beside a running service; the file must be there, of the current version.

    What it may do there: read, and `settle_dead_letter`.
    """
    file = open_file(location, Role.BESIDE)
    return _stream(file, source=source, destination=destination, now=now, max_series=max_series)


def open_file(location: str, role: Role) -> LedgerFile:
    """The whole file, with all its streams, opened for a role."""
    return LedgerFile(_path(location), role=role)


def _stream(file: LedgerFile, *, source: str, destination: str, now: float, max_series: int) -> Ledger:
    try:
        return SqliteLedger.of(file, source=source, destination=destination, now=now, max_series=max_series)
    except BaseException:
        file.close()
        raise


def _path(location: str) -> Path:
    scheme, separator, _ = location.partition("://")
    if separator and scheme.startswith("postgres"):
        raise SettingsError("a ledger in PostgreSQL is not supported yet: give a path, such as ./bridge.ledger")
    if separator and not location.startswith(_SQLITE):  # not shown whole: a URL may hold a password
        raise SettingsError(f"a ledger at {scheme}://… cannot be opened: give a path, or sqlite:///path")
    path = location.removeprefix(_SQLITE)
    if not path.strip():
        raise SettingsError("the ledger has no path: give one, such as ./bridge.ledger")
    return Path(path).expanduser().resolve()
