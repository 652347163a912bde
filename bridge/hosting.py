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
    with _listener(host, port) as listener:
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
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://{authority(host, listener.getsockname()[1])}"
        finally:
            server.should_exit = True
            await task


def authority(host: str, port: int) -> str:
    """The two as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves signals to the process, which may have something to finish first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listener(host: str, port: int) -> socket.socket:
    """A socket that says TCP by number: asyncio sends at once (TCP_NODELAY) only on those, else 40 ms late."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
