"""The bridge as a person starts it: processes between the stand-in and a receiver; none outlives its test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from receivers import HttpReceiver, Received
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted

Process = asyncio.subprocess.Process

# A service that looks often and waits for little; what a test is about, it sets itself.
FAST: Final = {
    "BRIDGE_POLL_INTERVAL": "200ms",
    "BRIDGE_SETTLE": "300ms",
    "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
}
_LONGEST: Final = 50  # seconds that a command may take; below what pytest gives a test


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Return when the condition holds; fail the test when it does not in time."""
    end = time.monotonic() + seconds
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


class Processes:
    """Starts the bridge, and sees to it that nothing is left of it."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    async def start(
        self, *arguments: str, environ: Mapping[str, str], stderr: int = asyncio.subprocess.PIPE
    ) -> Process:
        """`bridge ARGUMENTS`, with these variables and PATH alone."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", *arguments),
            env={"PATH": os.environ["PATH"], **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
        self._started.append(process)
        return process

    async def command(self, *arguments: str, environ: Mapping[str, str]) -> tuple[int | None, str, str]:
        """Run one to its end: the exit code, the output, the errors."""
        process = await self.start(*arguments, environ=environ)
        output, errors = await asyncio.wait_for(process.communicate(), _LONGEST)
        return process.returncode, output.decode(), errors.decode()

    async def end(self) -> None:
        """Kill what still runs, as it does where a test failed."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.communicate()


class Stand:
    """A Letta stand-in, a receiver, and how to start a bridge between them.

    Attributes:
        letta: the stand-in; `store` has its rows.
        asked: the paths that it was asked for.
        backend: what the bridge sends to.
        ledger: the file.
        page: host and port that the bridge listens on.
        pages: asks them.
        environ: what each process is given.
    """

    def __init__(self, backend: HttpReceiver, folder: Path) -> None:
        self.letta = StandIn(Store(SystemClock()))
        self.store = self.letta.store
        self.asked: list[str] = []
        self.backend = backend
        self.ledger = folder / "ledger"
        self.processes = Processes()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.page = f"127.0.0.1:{free.getsockname()[1]}"
        self.pages = httpx.AsyncClient(base_url=f"http://{self.page}", timeout=20, trust_env=False, verify=False)
        self.environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "BRIDGE_LEDGER": str(self.ledger),
            "BRIDGE_LISTEN": self.page,
            **FAST,
        }

    def serve_letta(self) -> ASGIApp:
        """The stand-in, which notes what it is asked."""

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            self.asked.append(scope["path"])
            await self.letta.app(scope, receive, send)

        return noting

    async def start(self, *arguments: str, **environ: str) -> Process:
        return await self.processes.start(*arguments, environ={**self.environ, **environ})

    async def command(self, *arguments: str, **environ: str) -> tuple[int | None, str, str]:
        return await self.processes.command(*arguments, environ={**self.environ, **environ})

    async def answers(self, path: str) -> bool:
        """Whether there is a bridge, and its page is well."""
        try:
            return (await self.pages.get(path)).is_success
        except httpx.TransportError:
            return False

    async def is_up(self) -> bool:
        return await self.answers("/livez")

    async def is_ready(self) -> bool:
        return await self.answers("/readyz")

    def play(self, *names: str, ago: float = 60, count: int = 1) -> list[str]:
        """These recordings happened so many seconds ago, one after the other; the new steps."""
        before = set(self.ids(Table.STEPS))
        for number in range(count):
            for name in names:
                recording.load(name).play(self.store, time.time() - ago + number)
        return [one for one in self.ids(Table.STEPS) if one not in before]

    def ids(self, table: Table) -> list[str]:
        return sorted(row.id for row in self.store.rows(table))

    def traces(self) -> list[Received]:
        """The requests with spans."""
        return [request for request in self.backend.requests if request.path == "/v1/traces"]

    def spans(self) -> list[Span]:
        return [span for request in self.traces() for span in request.spans()]

    def names(self) -> list[str]:
        """What the spans are, sorted."""
        return sorted(span.name.split()[0] for span in self.spans())

    def sent(self, kind: str, name: str, requests: Iterable[Received] | None = None) -> list[str]:
        """An attribute of the spans of a kind, sorted; spans that came twice must have come alike."""
        spans: dict[bytes, bytes] = {}
        found: list[str] = []
        for span in (span for r in (self.traces() if requests is None else requests) for span in r.spans()):
            whole = span.SerializeToString()
            if spans.setdefault(span.span_id, whole) != whole:
                raise AssertionError(f"{span.name} came twice, and not alike")
            if span.name.split()[0] == kind:
                found += [a.value.string_value for a in span.attributes if a.key == name]
        return sorted(found)

    def runs(self) -> list[str]:
        return self.sent("invoke_agent", "letta.run.id")

    def steps(self) -> list[str]:
        return self.sent("agent_step", "letta.step.id")

    async def total(self, name: str) -> float:
        """What the series of that name on /metrics come to; -1 where there is no page."""
        try:
            text = (await self.pages.get("/metrics")).text
        except httpx.TransportError:
            return -1
        return sum(float(value) for value in re.findall(rf"^{name}{{[^\n]*}} (\S+)$", text, re.MULTILINE))


@contextlib.asynccontextmanager
async def standing(folder: Path, **environ: str) -> AsyncIterator[Stand]:
    """Both sides are there; with these variables for each bridge between them."""
    async with HttpReceiver() as backend:
        stand = Stand(backend, folder)
        async with hosted(stand.serve_letta()) as letta, stand.pages:
            stand.environ |= {"LETTA_BASE_URL": letta, **environ}
            try:
                yield stand
            finally:
                await stand.processes.end()
