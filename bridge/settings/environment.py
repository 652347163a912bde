"""Reads the environment into what was given for each setting; nothing is raised, each problem becomes one line.

An empty variable counts as unset, as OpenTelemetry has it. Of the names that are no setting, only `BRIDGE_*` is a
mistake: Letta's own settings and those of every OpenTelemetry SDK live in the same environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bridge.settings.fields import Key, Row
from bridge.settings.nearest import no_such
from bridge.settings.reading import Given, Reading

CONFIG = "BRIDGE_CONFIG"  # names the file, so it is no setting of the file
_OURS = "BRIDGE_"

# Kubernetes tells every pod of a namespace about a service called "bridge" in variables like these.
_SERVICE_LINK = re.compile(
    r"BRIDGE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)=.*"
    r"|BRIDGE_(?:\w+_)?PORT=(?:tcp|udp|sctp)://.*"
)


def read_environment(environ: Mapping[str, str], rows: Iterable[Row]) -> Reading:
    """What `environ` gives; the variables that name files of secrets come as they are."""
    names = _names(rows)
    reading = Reading()
    for name, raw in sorted(environ.items()):
        text = raw.strip()
        if text and name in names:
            key, bare = names[name]
            reading.given[key] = Given(name, f"{text}{bare}" if _is_number(text) else text)
        elif text and _is_mistake(name, text):
            reading.problem(name, no_such(name, [*names, CONFIG], prefix=_OURS))
    return reading


def _names(rows: Iterable[Row]) -> dict[str, tuple[Key, str]]:
    """Each variable → its setting, and the unit of a number that has none."""
    names: dict[str, tuple[Key, str]] = {}
    for row in rows:
        names[row.env] = (row.key, row.bare)
        if row.kind.secret:
            names[row.file_env] = (row.file_key, "")
    return names


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def _is_mistake(name: str, text: str) -> bool:
    return name.startswith(_OURS) and name != CONFIG and not _SERVICE_LINK.fullmatch(f"{name}={text}")
