"""`/`: the status page. It only looks, and answers GET and HEAD.

What makes it (jinja2, the template) is loaded when it is first asked for. A part that cannot be read is named on the
page, with 200; where no page can be made at all (a template of another version after an upgrade) it is 503 with one
line.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from bridge.clock import Clock
from bridge.log import get_logger
from bridge.settings import Settings
from bridge.status.text import Mask
from bridge.status.watched import Watched

if TYPE_CHECKING:
    from bridge.status.render import Renderer

_log = get_logger(__name__)

_UNAVAILABLE = 503


@dataclass(slots=True)
class StatusPage:
    """The page.

    Attributes:
        watched: the live parts.
        settings: in force.
        mask: takes what those keep secret out of a text.
        clock: the time of the page.
        started_at: when the process began to serve, seconds since the epoch.
    """

    watched: Watched
    settings: Settings
    mask: Mask
    clock: Clock
    started_at: float
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _renderer: Renderer | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return await self._page(refreshes=request.query_params.get("refresh") != "off")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is about this page alone
            return self._none(error)

    async def _page(self, *, refreshes: bool) -> Response:
        async with self._loading:
            if self._renderer is None:  # in a thread, for it takes a tenth of a second that a sweep may need
                self._renderer = await asyncio.to_thread(_load, self.settings, self.mask)
        from bridge.status.view import gather  # noqa: PLC0415 - as `_load`

        view = await gather(self.watched, self.settings, started_at=self.started_at, now=self.clock.now())
        answer = self._renderer.page(view, refreshes=refreshes)
        return HTMLResponse(answer.body, headers=answer.headers)

    def _none(self, error: Exception) -> Response:
        what = f"the status page cannot be made: {type(error).__name__}"
        if not self._failed:
            _log.warning(what, reason=str(error))
            self._failed = True
        return PlainTextResponse(f"{what}; /readyz and /metrics may answer\n", _UNAVAILABLE)


def _load(settings: Settings, mask: Mask) -> Renderer:
    from bridge.status.render import Renderer  # noqa: PLC0415 - start-up and a bridge that nobody asks do without

    return Renderer(settings, mask)
