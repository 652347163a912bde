"""An address that is open from the start, and answered once somebody connects.

What answers is loaded then: the web server and its framework are 3 MiB and a tenth of a second, and a bridge that
nobody asks does without. Until it is there the system holds who has connected. An address that cannot be bound is a
SettingsError before the block is entered; pages that cannot be loaded are one line in the log, and refused from then
on: the bridge goes on without.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from bridge.causes import why
from bridge.errors import SettingsError
from bridge.log import get_logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = get_logger(__name__)


@contextlib.asynccontextmanager
async def serving(app: Callable[[], ASGIApp], *, host: str, port: int) -> AsyncIterator[str]:
    """Serve what `app` makes while the block runs, and yield its base URL.

    Args:
        app: called when somebody first connects.
        host: a name or an address of this machine.
        port: 0 for any free one.

    Raises:
        SettingsError: nothing can listen there.
    """
    try:
        listening = listener(host, port)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"cannot listen on {authority(host, port)}: {_why(error)}; "
            "free it, or set BRIDGE_LISTEN to another address, or to off"
        ) from error
    with listening:
        answering = asyncio.create_task(_answer(listening, host, app))
        try:
            yield f"http://{authority(host, listening.getsockname()[1])}"
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    It says TCP by number: asyncio sends at once (TCP_NODELAY) only on those, else 40 ms late.

    Raises:
        OSError, UnicodeError: nothing can listen there.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def authority(host: str, port: int) -> str:
    """The two as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _answer(listening: socket.socket, host: str, app: Callable[[], ASGIApp]) -> None:
    """Wait for somebody, and answer from then on, until cancelled."""
    await _connected(listening)
    try:
        from bridge.serve import answering  # noqa: PLC0415 - what the module is for: loaded where somebody asks

        async with answering(app(), listening, host=host):
            await asyncio.Event().wait()
    except Exception as error:  # noqa: BLE001 - whatever it is (another version after an upgrade), it is about the pages
        _log.error("the pages cannot be served: start the bridge anew", reason=f"{type(error).__name__}: {error}")
        listening.close()


async def _connected(listening: socket.socket) -> None:
    """Return when somebody has connected; whoever accepts connections has it still before them."""
    loop, connected = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, connected.set)
    try:
        await connected.wait()
    finally:
        loop.remove_reader(listening)


def _why(error: OSError | UnicodeError) -> str:
    """The system's own words; it has none for a name that nobody knows."""
    return "no such host" if isinstance(error, socket.gaierror | UnicodeError) else why(error)
