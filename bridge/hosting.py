"""Serve an ASGI application within the running loop for as long as a block runs.

The port is open before the block is entered, so one that is taken is an OSError there and then (uvicorn by itself
would end the process). Signals are left alone: who runs the block decides what Ctrl-C means.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from bridge.listening import authority, listener

LOOPBACK: Final = "127.0.0.1"


@contextlib.asynccontextmanager
async def hosted(app: ASGIApp, *, host: str = LOOPBACK, port: int = 0, keep_alive: int = 5) -> AsyncIterator[str]:
    """Serve `app` and yield its base URL.

    Args:
        app: what to serve.
        host: a name or an address of this machine.
        port: 0 for any free one.
        keep_alive: seconds after which an idle connection is closed.

    Raises:
        OSError, UnicodeError: nothing can listen there.
    """
    with listener(host, port) as listening:
        async with answered(app, listening, keep_alive=keep_alive):
            yield f"http://{authority(host, listening.getsockname()[1])}"


@contextlib.asynccontextmanager
async def answered(app: ASGIApp, listening: socket.socket, *, keep_alive: int = 5) -> AsyncIterator[None]:
    """Serve `app` to who connects to a socket, which is closed afterwards."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    config.load()  # what cannot be loaded is raised here, not in the task
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """Leaves signals to the process, which may have something to finish first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
