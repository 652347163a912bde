"""Serve an ASGI application on a loopback port for as long as a block runs.

The port is open before the block is entered, so a port that is taken is an OSError there and then. Signals are
left alone: who runs the block decides what Ctrl-C means.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

LOOPBACK: Final = "127.0.0.1"


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def hosted(app: ASGIApp, *, port: int = 0, keep_alive: int = 5) -> AsyncIterator[str]:
    """Serve `app` and yield its base URL.

    Args:
        app: what to serve.
        port: 0 for any free one.
        keep_alive: seconds after which an idle connection is closed.

    Raises:
        OSError: the port is taken.
    """
    listener = _listener(port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _listener(port: int) -> socket.socket:
    """A bound socket that says TCP by number: asyncio sends at once (TCP_NODELAY) only on those, else 40 ms late."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
