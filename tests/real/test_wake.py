"""The step-complete webhook of a real server, on its way to a bridge that otherwise polls once an hour.

Between the two stands a scribe, which notes when each call comes and passes it on as it is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from receivers import HttpReceiver, Play, Received
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.hosting import hosted
from real.driver import Driver
from real.lab import Lab
from real.service import Service
from real.waiting import free_port

pytestmark = pytest.mark.real

KEY = "the-key-of-the-hook"
SETTLE = 5.0


@dataclass
class Scribe:
    """Notes calls, and the time (seconds since the epoch) at which what they name arrives."""

    to: str
    bodies: list[Any] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    called: dict[str, float] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    arrived: dict[str, float] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    twice: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/hook", self._pass_on, methods=["POST"])])

    async def _pass_on(self, request: Request) -> Response:
        body = await request.json()
        self.called.setdefault(body["step_id"], time.time())
        self.bodies.append(body)
        self.keys.add(request.headers.get("authorization"))
        began = time.monotonic()
        async with httpx.AsyncClient() as bridge:
            headers = {"authorization": request.headers.get("authorization", "")}
            answer = await bridge.post(f"http://{self.to}/step-complete", json=body, headers=headers)
        self.took.append(time.monotonic() - began)
        self.answers.append(answer.status_code)
        return Response(status_code=answer.status_code)

    def receives(self, request: Received) -> Play | None:
        if request.path == "/v1/traces":
            for span in request.spans():
                names = {pair.key: pair.value.string_value for pair in span.attributes}
                if span.name == "agent_step":
                    step = names["letta.step.id"]
                    if step in self.arrived:
                        self.twice.append(step)
                    self.arrived.setdefault(step, time.time())
                elif span.name.startswith("invoke_agent"):
                    self.runs.add(names["letta.run.id"])
        return None


@dataclass
class Stand:
    """A server that calls, a bridge that is called, and how to drive the one."""

    driver: Driver
    scribe: Scribe
    service: Service


@pytest.fixture
async def stand(lab: Lab, tmp_path: Path) -> AsyncIterator[Stand]:
    if lab.home is None:
        pytest.skip("needs a second server beside the lab's: set LETTA_LAB_DIR")
    port, scribe = free_port(), Scribe("")
    async with HttpReceiver(rule=scribe.receives) as backend, hosted(scribe.app()) as hook:
        sends_to = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "BRIDGE_POLL_INTERVAL": "1h",
            "BRIDGE_SETTLE": f"{SETTLE}s",
            "BRIDGE_WAKE_KEY": KEY,
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "30",
        }
        url = f"http://127.0.0.1:{port}"
        service = Service("woken", letta=url, since=datetime.now(UTC), folder=tmp_path, sends_to=sends_to)
        scribe.to = service.address
        beside = lab.beside(port, STEP_COMPLETE_WEBHOOK=f"{hook}/hook", STEP_COMPLETE_KEY=KEY)
        second = await asyncio.to_thread(beside.__enter__)
        try:
            service.start()
            await asyncio.to_thread(service.wait_live)
            driver = Driver(second.url)
            yield Stand(driver, scribe, service)
            driver.close()
            service.stop()
        finally:
            service.close()
            await asyncio.to_thread(beside.__exit__, None, None, None)


async def until(held: Callable[[], Awaitable[bool] | bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while True:
        answer = held()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)


@pytest.mark.timeout(400)
async def test_a_step_arrives_soon_after_the_server_told_of_it(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    driver, scribe = stand.driver, stand.scribe
    tools = await asyncio.to_thread(driver.tools)
    agent = await asyncio.to_thread(driver.agent, "woken", [tools["add_numbers"], tools["always_raises"]])
    for script in ("text", "nsteps:6", "tool_ok", "text", "nsteps:6", "http500"):
        await asyncio.to_thread(driver.send, agent, script)
    runs = await asyncio.to_thread(driver.runs, agent)
    steps = {step["id"]: step for run in runs for step in await asyncio.to_thread(driver.steps, run["id"])}
    await until(lambda: set(scribe.arrived) >= set(scribe.called), 3 * SETTLE, "each step that was told has arrived")
    await until(lambda: scribe.runs >= {run["id"] for run in runs}, 60, "each run has arrived")
    waits = sorted(scribe.arrived[step] - scribe.called[step] for step in scribe.called)
    with capsys.disabled():
        shown = " ".join(f"{wait * 1000:.0f}" for wait in waits)
        slowest = max(scribe.took) * 1000
        sys.stdout.write(f"\nms from the webhook to the backend: {shown}; answered within {slowest:.0f} ms\n")

    assert {tuple(body) for body in scribe.bodies} == {("step_id",)}
    assert scribe.keys == {f"Bearer {KEY}"}
    assert set(scribe.answers) == {202}
    assert max(scribe.took) < 1
    assert set(scribe.called) == set(steps)  # failed ones, too
    assert scribe.twice == []
    assert waits[len(waits) // 2] < 2
    assert waits[-1] < SETTLE + 3  # those whose lengths the server never fills wait as the settle rules ask
