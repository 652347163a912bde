"""`bridge run` as a real process under load, ended by a signal at seeded moments, while Letta and the backend go on.

The Letta is the stand-in over HTTP, with runs that never cease; the backend is an OTLP receiver that keeps what it
took, and is busy (503) now and then. Both live in the test's process, so that their word survives the bridge's death.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from real.normalise import otlp_points
from real.seen import Point
from receivers import HttpReceiver, says
from torture.torture_backend import Backend
from torture.torture_truth import Books, books, truth_of

import bridge
from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Fields, Table
from bridge.demo.standin.store import Store
from bridge.export.answers import Signal
from bridge.hosting import hosted
from bridge.ledger.open import open_ledger

SPEED: Final = 10.0
ZOMBIES: Final = frozenset({"server_killed", "conversation"})  # they are over only after a limit of hours
ENVIRON: Final = {
    "BRIDGE_POLL_INTERVAL": "100ms",
    "BRIDGE_SETTLE": "1s",
    "BRIDGE_ABANDON_AFTER": "3s",
    "BRIDGE_LETTA_REQUESTS_PER_SECOND": "1000",
    "BRIDGE_START_FROM": "beginning",
    "OTEL_METRIC_EXPORT_INTERVAL": "300",
    "BRIDGE_LOG_LEVEL": "error",
}
_SIGNALS: Final = {"/v1/traces": Signal.TRACES, "/v1/logs": Signal.LOGS}
_PLENTY: Final = 1_000_000


@dataclass(frozen=True)
class Strike:
    """When a process is killed, counted from its first request to Letta.

    Attributes:
        requests: after so many requests with spans, if there come as many.
        unheard: before that request is answered, though it is taken.
        delay: seconds after that; or, where there come not so many, the longest it lives.
        how: SIGKILL; or SIGTERM, whose `delay` is what the answer to that request takes longer.
    """

    requests: int
    unheard: bool
    delay: float
    how: signal.Signals = signal.SIGKILL


class Scene:
    """What outlives the bridge; `strike` is one life of it."""

    def __init__(self, seed: int, letta: str, store: Store, receiver: HttpReceiver, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.backend = Backend()
        self.points: list[Point] = []
        self.deaths = 0
        self.store = store
        self.ledger = folder / "ledger"
        self._busy_for, self._busy_until = 0.0, 0.0
        self._receiver = receiver.answer(*[self._answer] * _PLENTY)
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._strike: Strike | None = None
        self._sign_of_life = asyncio.Event()  # the process's first request to the backend
        self._struck = asyncio.Event()  # the process has got its signal
        self._taken = 0  # the process's requests with spans that were taken
        self._environ = {
            **ENVIRON,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(bridge.__file__).parents[1]),
            "LETTA_BASE_URL": letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "BRIDGE_LEDGER": str(self.ledger),
            "BRIDGE_LISTEN": f"127.0.0.1:{_free_port()}",
        }

    def rows(self, table: Table) -> list[Fields]:
        """Letta's rows."""
        return [row.fields for row in self.store.rows(table)]

    def play_one(self) -> None:
        """One more run."""
        names = [name for name in recording.names() if name not in ZOMBIES]
        recording.load(self.rng.choice(names)).play(self.store, time.time(), SPEED)

    async def strike(self) -> None:
        """One life: started, and killed at a random moment."""
        delay = self.rng.choice([0.0, self.rng.uniform(0.0, 0.05), self.rng.uniform(0.0, 0.6)])
        self._strike = Strike(self.rng.randint(1, 4), self.rng.random() < 0.5, delay)
        self._busy_for = self.rng.uniform(0.2, 1.5) if self.rng.random() < 0.25 else 0.0
        process = await self.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._sign_of_life.wait(), 30)
            await asyncio.wait_for(process.wait(), 1.0 + delay)
        await self.kill()

    async def stop(self, delay: float) -> float:
        """One life that SIGTERM ends in the middle of a batch or right after one.

        Args:
            delay: seconds that the backend takes for its answer to that batch.

        Returns:
            The seconds from the signal to the end.
        """
        self._strike = Strike(self.rng.randint(1, 4), self.rng.random() < 0.7, delay, signal.SIGTERM)
        process = await self.start()
        await asyncio.wait_for(self._struck.wait(), 60)
        began = time.monotonic()
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        self._strike = None
        assert process.returncode == 0, f"it ended with {process.returncode}: {said.decode()}"
        assert b"Traceback" not in said, said.decode()
        return time.monotonic() - began

    async def start(self) -> asyncio.subprocess.Process:
        """A new process."""
        self._sign_of_life.clear()
        self._struck.clear()
        self._taken = 0
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", "run",
            cwd=self._folder, env=self._environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        return self._process

    async def kill(self) -> None:
        """The end of the process, as the kernel makes it."""
        process, self._strike, self._busy_for = self._process, None, 0.0
        assert process
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # Process.kill would reap a dead one, and its return code be lost
        said, _ = await process.communicate()
        assert process.returncode == -9, f"it ended by itself with {process.returncode}: {said.decode()}"
        self.deaths += 1

    async def to_the_end(self, seconds: float) -> Books:
        """A last life in good order; what it leaves."""
        process = await self.start()
        end = time.monotonic() + seconds
        while self.store.pending() or not self._all_arrived():
            if process.returncode is not None or time.monotonic() > end:
                break  # what is missing then is for the comparison to say
            await asyncio.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        said, _ = await process.communicate()
        assert process.returncode == 0, f"it ended with {process.returncode}: {said.decode()}"
        ledger = await open_ledger(str(self.ledger), source=self._environ["LETTA_BASE_URL"], destination="default",
                                   now=time.time())  # fmt: skip
        try:
            return await books(ledger)
        finally:
            await ledger.close()

    def _all_arrived(self) -> bool:
        runs = sum(span.name.startswith("invoke_agent") for span in self.backend.taken.values())
        return runs >= len(truth_of(self).runs)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = self._receiver.requests.pop()
        if not self._sign_of_life.is_set():
            self._sign_of_life.set()
            self._busy_until = time.time() + self._busy_for
        if time.time() < self._busy_until:
            await says(503)(reader, writer)
            return
        self._take(request.path, request.body)
        strike, process = self._strike, self._process
        self._taken += request.path == "/v1/traces"
        due = process if strike and self._taken >= strike.requests else None
        if strike and due and strike.unheard:
            await self._fall(due, strike)
        await says(200)(reader, writer)
        if strike and due:
            await self._fall(due, strike)

    async def _fall(self, process: asyncio.subprocess.Process, strike: Strike) -> None:
        if self._struck.is_set():
            return
        if strike.how is signal.SIGKILL:
            await asyncio.sleep(strike.delay)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(strike.how)
        self._struck.set()
        if strike.how is signal.SIGTERM:
            await asyncio.sleep(strike.delay)

    def _take(self, path: str, body: bytes) -> None:
        if path in _SIGNALS:
            self.backend.answered(_SIGNALS[path], body)
            return
        message = ExportMetricsServiceRequest.FromString(body)
        for group in message.resource_metrics:
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    self.points += otlp_points(MessageToDict(metric, preserving_proto_field_name=True))


@contextlib.asynccontextmanager
async def scene(seed: int, folder: Path) -> AsyncIterator[Scene]:
    """A Letta, a backend, and no bridge yet."""
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as receiver:
        yield Scene(seed, letta, store, receiver, folder)


@contextlib.asynccontextmanager
async def load(scene: Scene, *, every: float) -> AsyncIterator[None]:
    """New runs all the while."""

    async def produce() -> None:
        while True:
            scene.play_one()
            await asyncio.sleep(every)

    task = asyncio.create_task(produce())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
