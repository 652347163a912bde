"""Ask a server at start what it can do, and say so: versions differ from their documentation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from bridge.errors import CursorIgnored, LettaMisbehaved, LettaNotFound
from bridge.source.letta import LettaSource
from bridge.source.pager import Dialect


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the probe found.

    Attributes:
        version: None where the server does not say.
        run_cursor: the parameter that walks the run list on; None while fewer than two runs exist to tell by.
        global_steps: whether steps without a run can be listed.
    """

    version: str | None
    run_cursor: Dialect | None
    global_steps: bool

    def __str__(self) -> str:
        cursor = {
            None: "not known yet, too few runs",
            Dialect.SWAPPED: "swapped against the documentation (before walks on)",
            Dialect.DOCUMENTED: "as documented (after walks on)",
        }[self.run_cursor]
        steps = "works" if self.global_steps else "does not work: steps without a run cannot be seen"
        return f"version {self.version or 'unknown'}; cursor of the run list {cursor}; global step list {steps}"


async def probe(source: LettaSource) -> Capabilities:
    """A few small requests.

    Raises:
        LettaUnavailable, LettaRefused: the server cannot be asked now.
        LettaMisbehaved: this is no Letta server, or one that the bridge cannot read.
    """
    version = await _version(source)
    newest = await source.runs_before(None, 1)
    if newest:
        with contextlib.suppress(CursorIgnored):  # that run is gone already; the next walk will tell
            await source.runs_before(newest[0], 1)
    return Capabilities(version, source.pager.dialect, await source.has_global_steps())


async def _version(source: LettaSource) -> str | None:
    try:
        return await source.version()
    except (LettaNotFound, LettaMisbehaved):
        return None
