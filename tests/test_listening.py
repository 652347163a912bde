"""The pages' address is open from the start, and what answers there is loaded when somebody first connects."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from bridge.listening import serving


class Loading:
    """An application that counts how often it is made, or cannot be."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.made = 0
        self._failure = failure

    def __call__(self) -> ASGIApp:
        self.made += 1
        if self._failure:
            raise self._failure
        return Router([Route("/livez", self._page)])

    async def _page(self, _: Request) -> Response:
        return PlainTextResponse("here")


@asynccontextmanager
async def listening(app: Loading) -> AsyncIterator[str]:
    async with asyncio.timeout(20), serving(app, host="127.0.0.1", port=0) as url:
        yield url


async def turns() -> None:
    """All that needs nothing from outside has happened after these."""
    for _ in range(10):
        await asyncio.sleep(0)


def connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port or 0), timeout=10)


async def test_nothing_is_loaded_until_somebody_connects_and_then_once() -> None:
    app = Loading()
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as browser:
        await turns()
        assert app.made == 0
        answers = await asyncio.gather(*(browser.get("/livez") for _ in range(20)))
        assert {answer.text for answer in answers} == {"here"}
        async with httpx.AsyncClient(base_url=url) as another:
            assert (await another.get("/livez")).text == "here"
    assert app.made == 1


async def test_who_connects_and_leaves_takes_nobodys_turn() -> None:
    async with listening(Loading()) as url, httpx.AsyncClient(base_url=url) as browser:
        connect(url).close()
        assert (await browser.get("/livez")).text == "here"


async def test_who_never_asks_anything_keeps_nobody() -> None:
    app = Loading()
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as browser:
        with closing(connect(url)):
            assert (await browser.get("/livez")).text == "here"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("wait", [False, True])
async def test_a_block_that_ends_before_anybody_came_leaves_nothing(*, wait: bool) -> None:
    app = Loading()
    async with listening(app) as url:
        if wait:
            await turns()
    assert app.made == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(ConnectionRefusedError):
        connect(url)
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as browser:  # the same descriptor, most likely
        assert (await browser.get("/livez")).text == "here"


async def test_an_error_in_the_block_is_the_blocks() -> None:
    with pytest.raises(ZeroDivisionError):
        async with listening(Loading()):
            _ = 1 // 0


async def test_pages_that_cannot_be_loaded_are_one_line_and_refused_from_then_on() -> None:
    app = Loading(ImportError("cannot import name 'Router'"))
    with capture_logs() as said:
        async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as browser:
            with pytest.raises(httpx.TransportError):
                await browser.get("/livez")
            with pytest.raises(httpx.ConnectError):
                await browser.get("/livez")
    assert app.made == 1
    told = [(line["log_level"], line["event"], line["reason"]) for line in said]
    reason = "ImportError: cannot import name 'Router'"
    assert told == [("error", "the pages cannot be served: start the bridge anew", reason)]


async def test_a_web_server_that_cannot_be_loaded_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    with capture_logs() as said:
        async with listening(Loading()) as url, httpx.AsyncClient(base_url=url, timeout=10) as browser:
            with pytest.raises(httpx.TransportError):
                await browser.get("/livez")
            assert [line["event"] for line in said] == ["the pages cannot be served: start the bridge anew"]
