"""Letta's side of the faults: what stands between the bridge and the stand-in while a fault lasts."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from bridge_world import World

RUN_LIST = r"/v1/runs/\?.*order=desc(?!.*active)|/v1/runs/\?(?!.*active).*order=desc"
ACTIVE_LIST = r"/v1/runs/\?.*active=true"
RUN = r"/v1/runs/[^/?]+$"
STEPS = r"/v1/runs/[^/]+/steps"
MESSAGES = r"/v1/runs/[^/]+/messages"
RUN_LENGTHS = r"/v1/runs/[^/]+/metrics"
LENGTHS = r"/v1/steps/[^/]+/metrics"
AGENT = r"/v1/agents/"
EVERYTHING = r"/"

Answer = Callable[[httpx.Request, httpx.AsyncBaseTransport], Awaitable[httpx.Response]]


def says(status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None, **detail: object) -> Answer:
    """A whole answer; keywords make a JSON object of its body."""

    async def answer(_request: httpx.Request, _onward: httpx.AsyncBaseTransport) -> httpx.Response:
        if detail:
            return httpx.Response(status, json=detail, headers=headers)
        return httpx.Response(status, content=body, headers=headers)

    return answer


def page(status: int) -> Answer:
    """A web page, as a proxy shows it."""
    return says(status, "<html><h1>Sorry\n</h1></html>", {"content-type": "text/html"})


def raises(error: Exception) -> Answer:
    """No answer at all."""

    async def answer(_request: httpx.Request, _onward: httpx.AsyncBaseTransport) -> httpx.Response:
        raise error

    return answer


def rewrites(change: Callable[[bytes], bytes]) -> Answer:
    """The good answer with another body."""

    async def answer(request: httpx.Request, onward: httpx.AsyncBaseTransport) -> httpx.Response:
        good = await onward.handle_async_request(request)
        kept = {"content-type": good.headers["content-type"], "date": good.headers["date"]}
        return httpx.Response(good.status_code, content=change(await good.aread()), headers=kept)

    return answer


def edits(change: Callable[[Any], Any]) -> Answer:
    """The good answer with another JSON value; `change` may edit in place and return the same."""
    return rewrites(lambda body: json.dumps(change(json.loads(body))).encode())


def ignoring(*parameters: str) -> Answer:
    """The good answer to the request without some of its query."""

    async def answer(request: httpx.Request, onward: httpx.AsyncBaseTransport) -> httpx.Response:
        url = request.url
        for name in parameters:
            url = url.copy_remove_param(name)
        return await onward.handle_async_request(httpx.Request("GET", url, headers=request.headers))

    return answer


def after(happening: Callable[[], None], answer: Answer | None = None) -> Answer:
    """Something happens just before the server answers, which it does well unless told otherwise."""

    async def late(request: httpx.Request, onward: httpx.AsyncBaseTransport) -> httpx.Response:
        happening()
        return await (answer(request, onward) if answer else onward.handle_async_request(request))

    return late


def dated(change: Callable[[httpx.Headers], None]) -> Answer:
    """The good answer with other headers."""

    async def answer(request: httpx.Request, onward: httpx.AsyncBaseTransport) -> httpx.Response:
        good = await onward.handle_async_request(request)
        change(good.headers)
        return good

    return answer


@dataclass
class Fault:
    """A context manager: the fault lasts as long as the block.

    Attributes:
        route: a regular expression that path and query of a request match.
        answer: what a request that meets the fault gets.
        times: how many requests meet it; None for all.
        met: how many have.
    """

    side: LettaSide
    route: str
    answer: Answer
    times: int | None = None
    met: int = 0

    def meets(self, request: httpx.Request) -> bool:
        if self.times is not None and self.met >= self.times:
            return False
        if not re.match(self.route, request.url.raw_path.decode()):
            return False
        self.met += 1
        return True

    def __enter__(self) -> Self:
        self.side.faults.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.side.faults.remove(self)


@dataclass
class LettaSide:
    """The way to Letta.

    Attributes:
        faults: what is on the way now.
        requests: how many went out, answered or not.
        watch: told of each.
    """

    world: World
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0
    watch: Callable[[httpx.Request], None] = lambda _: None

    def __post_init__(self) -> None:
        self.world.wrap_transport = lambda onward: _Way(self, onward)

    def fault(self, route: str, answer: Answer, *, times: int | None = None) -> Fault:
        return Fault(self, route, answer, times)


class _Way(httpx.AsyncBaseTransport):
    def __init__(self, side: LettaSide, onward: httpx.AsyncBaseTransport) -> None:
        self._side = side
        self._onward = onward

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._side.requests += 1
        self._side.watch(request)
        for fault in self._side.faults:
            if fault.meets(request):
                return await fault.answer(request, self._onward)
        return await self._onward.handle_async_request(request)
