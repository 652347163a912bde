"""The webhook as Letta calls it: a real POST to a real process, whose next tick would come in an hour."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from receivers import HttpReceiver, hangs, says

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted

KEY = "the-key-of-the-hook"


class Stand:
    """A Letta stand-in, a receiver, and a bridge between them that polls once an hour."""

    def __init__(self, letta: str, store: Store, backend: HttpReceiver, folder: Path) -> None:
        self.store = store
        self.backend = backend
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.page = f"127.0.0.1:{free.getsockname()[1]}"
        self._environ = {
            "PATH": os.environ["PATH"],
            "LETTA_BASE_URL": letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "OTEL_METRICS_EXPORTER": "none",
            "BRIDGE_LEDGER": str(folder / "ledger"),
            "BRIDGE_LISTEN": self.page,
            "BRIDGE_POLL_INTERVAL": "1h",
            "BRIDGE_SETTLE": "1s",
        }

    async def start(self, **environ: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "run"),
            env={**self._environ, **environ},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    async def is_ready(self) -> bool:
        async with httpx.AsyncClient() as browser:
            try:
                return (await browser.get(f"http://{self.page}/readyz")).is_success
            except httpx.TransportError:
                return False

    async def post(self, step_id: str, key: str = KEY) -> int:
        async with httpx.AsyncClient(timeout=20) as letta:
            headers = {"authorization": f"Bearer {key}"}
            answer = await letta.post(f"http://{self.page}/step-complete", json={"step_id": step_id}, headers=headers)
            return answer.status_code

    def play(self, name: str) -> list[str]:
        """The new steps."""
        before = {row.id for row in self.store.rows(Table.STEPS)}
        recording.load(name).play(self.store, time.time() - 60)
        return [row.id for row in self.store.rows(Table.STEPS) if row.id not in before]

    def names(self) -> list[str]:
        return sorted(span.name.split()[0] for r in self.backend.requests if r.spans() for span in r.spans())


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as backend:
        yield Stand(letta, store, backend, tmp_path)


async def until(held: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


async def ready(stand: Stand) -> None:
    end = time.monotonic() + 30
    while not await stand.is_ready():
        assert time.monotonic() < end, "not ready in time"
        await asyncio.sleep(0.05)


async def test_a_step_is_sent_when_letta_says_so_and_its_run_when_it_is_settled(stand: Stand) -> None:
    process = await stand.start(BRIDGE_WAKE_KEY=KEY)
    await ready(stand)
    (step,) = stand.play("text")
    assert await stand.post(step, key="another") == 401
    assert await stand.post(f"step-{uuid.uuid4()}") == 202
    assert await stand.post(step) == 202
    await until(lambda: stand.names() == ["agent_step", "chat", "invoke_agent"])
    assert [await stand.post(step) for _ in range(200)] == [202] * 200
    process.terminate()
    _, log = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, log
    assert stand.names() == ["agent_step", "chat", "invoke_agent"]
    assert KEY.encode() not in log
    assert b"Traceback" not in log


async def test_without_a_key_there_is_no_such_page(stand: Stand) -> None:
    process = await stand.start()
    await ready(stand)
    assert await stand.post(f"step-{uuid.uuid4()}") == 404
    process.terminate()
    await asyncio.wait_for(process.communicate(), 20)


async def test_sigterm_while_a_woken_sweep_hangs_drops_the_read_at_once(stand: Stand) -> None:
    async with HttpReceiver().answer(
        says(200, b'{"version": "1"}'), says(200, b"[]"), says(400), *[hangs] * 9
    ) as letta:
        process = await stand.start(BRIDGE_WAKE_KEY=KEY, BRIDGE_GRACE="40s", LETTA_BASE_URL=letta.url)
        await until(lambda: len(letta.requests) >= 4)  # the first walk hangs
        assert await stand.post(f"step-{uuid.uuid4()}") == 202
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, b"Traceback" in log) == (0, False)
    assert time.monotonic() - began < 5
