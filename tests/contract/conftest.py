"""Every test here runs twice: on the stand-in, and on the real server where LETTA_LAB_URL names one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from queue import Queue

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from contract.servers import HandClock, RealServer, Server, StandInServer


class Stage:
    """An address where each test puts a stand-in of its own: opening a port takes longer than most tests.

    Attributes:
        url: the address.
        app: what answers there now.
    """

    def __init__(self) -> None:
        self.url = ""
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A stage, served by a thread."""
    stage, opened, closed = Stage(), Queue[str](), asyncio.Event()

    async def serve() -> None:
        async with hosted(stage, keep_alive=1) as url:
            opened.put(url)
            await closed.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    stage.url = opened.get(timeout=10)
    yield stage
    loop.call_soon_threadsafe(closed.set)
    thread.join()
    loop.close()


@pytest.fixture
async def standin(stage: Stage) -> AsyncIterator[StandInServer]:
    """A stand-in; asked for by its name where no real server does a thing on demand."""
    clock = HandClock()
    app = StandIn(Store(clock))
    stage.app = app.app
    server = StandInServer(stage.url, app, clock)
    yield server
    await server.close()


@pytest.fixture
async def real() -> AsyncIterator[RealServer]:
    """The server that LETTA_LAB_URL names."""
    url = os.environ.get("LETTA_LAB_URL")
    if not url:
        pytest.skip("LETTA_LAB_URL is not set: no real server")
    server = RealServer(url.rstrip("/"), os.environ.get("LETTA_LAB_DIR"))
    yield server
    await server.close()


@pytest.fixture(params=["standin", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(300)])])
def server(request: pytest.FixtureRequest) -> Server:
    """A Letta server, of either kind."""
    chosen: Server = request.getfixturevalue(request.param)
    return chosen
