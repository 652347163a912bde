"""`bridge demo`: the real service between a Letta server that plays recordings and a page that shows the traces.

Everything is on loopback and in memory, but for a ledger in a temporary folder; nothing is left behind. Ends on
Ctrl-C or SIGTERM. Raises OSError when none of the ports from the wanted one on is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

from bridge import app, log
from bridge.clock import Clock, SystemClock
from bridge.demo import recording
from bridge.demo.receiver import Receiver
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from bridge.settings import load

# What the page shows at first: these have just ended when the demo starts, the last is the newest.
_BEFORE: Final = ("text", "max_steps", "stream_cancelled", "tool_ok", "llm_500", "parallel_tools", "multi_step")
_SECONDS_BETWEEN: Final = 3.0
_SECONDS_KEPT: Final = 1800.0
_PORTS_TRIED: Final = 20


async def run_demo(port: int = 8080) -> None:
    """Run until stopped; to be cancelled, as Ctrl-C does to a main task, is the usual way to be stopped.

    Args:
        port: where the page is wanted; the next free one is taken when something listens there already.
    """
    with contextlib.suppress(asyncio.CancelledError):
        await _run(port)


async def _run(port: int) -> None:
    log.configure(level="warning")
    clock = SystemClock()
    store = Store(clock)
    receiver = Receiver()
    async with contextlib.AsyncExitStack() as stack:
        letta = await stack.enter_async_context(hosted(StandIn(store).app))
        page = await stack.enter_async_context(_hosted_from(port, receiver))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="letta-otel-bridge-demo-"))
        await stack.enter_async_context(_playing(store, clock))
        _say(f"The demo is at {page}")
        _say("It plays recorded Letta runs, and the bridge sends them to this page as traces. Ctrl-C ends it.")
        await start_bridge(letta, page, Path(folder))


async def start_bridge(letta: str, backend: str, folder: Path) -> None:
    """`bridge run` between two addresses, in a hurry: what it would wait minutes for takes it seconds here."""
    environment = {
        "LETTA_BASE_URL": letta,
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "BRIDGE_LEDGER": str(folder / "demo.ledger"),
        "BRIDGE_LISTEN": "off",
        "BRIDGE_POLL_INTERVAL": "500ms",
        "BRIDGE_SETTLE": "1s",
        "BRIDGE_ABANDON_AFTER": "4s",
        "BRIDGE_STALE_AFTER": "20s",
        "BRIDGE_LETTA_REQUESTS_PER_SECOND": "100",
    }
    await app.run(load(environment, None))


@contextlib.asynccontextmanager
async def _hosted_from(port: int, receiver: Receiver) -> AsyncIterator[str]:
    """The receiver on the first free port from `port` on."""
    async with contextlib.AsyncExitStack() as stack:
        for candidate in range(port, port + _PORTS_TRIED):
            try:
                url = await stack.enter_async_context(hosted(receiver.app, port=candidate))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or candidate == port + _PORTS_TRIED - 1:
                    raise
                continue
            if candidate != port:
                _say(f"Port {port} is taken, so the page is on {candidate}.")
            yield url
            return


@contextlib.asynccontextmanager
async def _playing(store: Store, clock: Clock) -> AsyncIterator[None]:
    """A first few runs that have just ended, and from then on one more every few seconds."""
    _play_before(store, clock.now())
    task = asyncio.create_task(_play_on(store, clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _play_before(store: Store, now: float) -> None:
    end = now
    for name in reversed(_BEFORE):
        played = recording.load(name)
        played.play(store, end - played.seconds() - 0.5)
        end -= _SECONDS_BETWEEN


async def _play_on(store: Store, clock: Clock) -> None:
    for name in _endless(recording.names()):
        recording.load(name).play(store, clock.now())
        store.forget_runs(clock.now() - _SECONDS_KEPT)
        await clock.sleep(_SECONDS_BETWEEN)


def _endless(names: Sequence[str]) -> Iterator[str]:
    """Every name once, in any order, then again."""
    while True:
        yield from random.sample(names, len(names))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
