"""`/` for people, /metrics for Prometheus, /livez and /readyz for whoever watches the process.

Imported only when somebody asks (`bridge.listening`). The web server runs on the bridge's own loop, handles no
signals and logs nothing but its own errors. A page that cannot be made is a 503 with one line, and costs the bridge
nothing else.
On the loopback, pages that tell of agents answer to its own names alone (`asked_as`); whoever watches the process may
ask by any name, and Letta's hook, which has a key.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from bridge.asked_as import guarded
from bridge.clock import Clock
from bridge.errors import BridgeError
from bridge.health import Health
from bridge.hook import PATH, Hook
from bridge.hosting import answered
from bridge.status.page import StatusPage

Messages = Callable[[], Awaitable[Iterable[ExportMetricsServiceRequest]]]

_OK, _MISSING, _UNAVAILABLE = 200, 404, 503
_ANY_NAME = frozenset({"/livez", "/readyz", PATH})


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served.

    Attributes:
        health: updated by the sweep.
        clock: to tell how long ago things were.
        messages: gives the metrics as they are now: the Letta totals first, then the bridge's own.
    """

    health: Health
    clock: Clock
    messages: Messages

    def app(self, *, hook: Hook | None = None, status: StatusPage | None = None) -> ASGIApp:
        """The pages as an ASGI application, and the status page and the hook where there is one."""
        pages = {"/metrics": self._metrics, "/livez": self._livez, "/readyz": self._readyz}
        if status:
            pages = {"/": status.answer, **pages}
        routes = [Route(path, page) for path, page in pages.items()]
        if hook:
            routes.append(Route(PATH, hook.answer, methods=["POST"]))
        # A redirect would lead to wherever the Host header says. The rest of Starlette would take half a MB more.
        return Router(routes, redirect_slashes=False, default=_directory(pages))

    async def _metrics(self, request: Request) -> Response:
        from bridge import exposition  # noqa: PLC0415 - prometheus_client brings a web server along: only where asked

        try:
            page, kind = exposition.render(await self.messages(), request.headers.get("accept", ""))
        except BridgeError as error:
            return PlainTextResponse(f"{error}\n", _UNAVAILABLE)
        return Response(page, headers={"content-type": kind, "vary": "accept"})

    async def _livez(self, _: Request) -> Response:
        now = self.clock.now()
        alive = self.health.alive(now)
        return _answer(alive, {"alive": alive, "loop": self.health.parts(now)["loop"]})

    async def _readyz(self, _: Request) -> Response:
        now = self.clock.now()
        ready = self.health.ready(now)
        parts, ago = self.health.parts(now), self.health.answered_ago(now)
        return _answer(ready, {"ready": ready, **parts, "answered_s_ago": ago})


def _answer(good: bool, body: object) -> Response:  # noqa: FBT001 - both callers compute it under that name
    return JSONResponse(body, _OK if good else _UNAVAILABLE)


def _directory(pages: Iterable[str]) -> ASGIApp:
    """What is said where there is no page."""
    text = f"there is no such page; there are {', '.join(pages)}\n"
    return PlainTextResponse(text, _MISSING)


def answering(app: ASGIApp, listening: socket.socket, *, host: str) -> AbstractAsyncContextManager[None]:
    """Serve `app` to who connects to a socket on `host` and asks by a name that is answered there."""
    return answered(guarded(app, host, but=_ANY_NAME), listening)
