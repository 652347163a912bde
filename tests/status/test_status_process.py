"""The status page of a real `bridge run`, between the stand-in and a receiver."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from receivers import HttpReceiver, says
from status.status_world import JAEGER, Page

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted

CANARY = "sk-canary-5f3e9b27"


class Stand:
    """Letta, a backend, and a bridge that runs between them."""

    def __init__(self, letta: str, store: Store, backend: HttpReceiver, folder: Path) -> None:
        self.store = store
        self.backend = backend
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.environ = {
            "PATH": os.environ["PATH"],
            "LETTA_BASE_URL": letta,
            "LETTA_API_KEY": CANARY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={CANARY}",
            "BRIDGE_LEDGER": str(folder / "ledger"),
            "BRIDGE_LISTEN": self.address,
            "BRIDGE_TRACE_URL": JAEGER,
            "BRIDGE_POLL_INTERVAL": "200ms",
            "BRIDGE_SETTLE": "300ms",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    @asynccontextmanager
    async def running(self, **environ: str) -> AsyncIterator[httpx.AsyncClient]:
        """A bridge, and a way to its pages."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", "run", env={**self.environ, **environ}, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://{self.address}", timeout=20) as browser:
                yield browser
        finally:
            process.terminate()
            _, log = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, log
        assert b"Traceback" not in log


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as backend:
        yield Stand(letta, store, backend, tmp_path)


async def shows(browser: httpx.AsyncClient, condition: Callable[[Page], bool]) -> Page:
    """The page, once the condition holds."""
    end = time.monotonic() + 40
    while True:
        try:
            answer = await browser.get("/")
        except httpx.TransportError:
            pass
        else:
            assert answer.status_code == 200, answer.text
            assert CANARY not in answer.text
            page = Page(answer.text)
            if condition(page):
                return page
            assert time.monotonic() < end, page.one("title").text
        assert time.monotonic() < end, "no page"
        await asyncio.sleep(0.1)


async def test_a_failing_step_is_shown_with_the_link_to_its_trace(stand: Stand) -> None:
    recording.load("llm_500").play(stand.store, time.time() - 60)
    (step,) = (row.id for row in stand.store.rows(Table.STEPS))
    async with stand.running() as browser:
        page = await shows(browser, lambda page: step in page.section("failures").text)
        spans = [s for r in stand.backend.requests if r.path == "/v1/traces" for s in r.spans()]
        (trace,) = {span.trace_id.hex() for span in spans}
        (link,) = [one for one in page.all("a") if one.attributes["href"].startswith("http")]
        assert link.attributes["href"] == JAEGER.replace("{trace_id}", trace)
        assert "step failed" in page.section("failures").text

        page = await shows(browser, lambda page: page.one("title").text == "letta-otel-bridge: up to date")
        assert "/v1/runs/" in page.section("traffic").text
        assert "version 4" in page.section("bridge").text
        assert stand.environ["LETTA_BASE_URL"] in page.section("settings").text


async def test_a_backend_that_is_away_is_told_with_the_reason_and_when_it_is_back(stand: Stand) -> None:
    recording.load("text").play(stand.store, time.time() - 60)
    stand.backend.answer(*[says(503)] * 3)
    async with stand.running(OTEL_METRICS_EXPORTER="none") as browser:
        page = await shows(browser, lambda page: "backend in trouble" in page.one("title").text)
        assert "503" in page.section("problems").text
        assert "3 spans" in page.section("glance").text.replace("In flight ", "")
        await shows(browser, lambda page: page.one("title").text == "letta-otel-bridge: up to date")


async def test_a_letta_that_is_not_there(stand: Stand) -> None:
    async with stand.running(LETTA_BASE_URL="http://127.0.0.1:1") as browser:
        page = await shows(browser, lambda page: "Letta in trouble" in page.one("title").text)
        assert "Connection refused" in page.section("problems").text
        assert "none yet" in page.section("health").text
