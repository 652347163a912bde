"""The status page of a real `bridge run`, between the stand-in and a receiver."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from bridge_process import Stand, standing
from receivers import says
from status.status_world import JAEGER, Page

CANARY = "sk-canary-5f3e9b27"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    keys = {"LETTA_API_KEY": CANARY, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={CANARY}"}
    async with standing(tmp_path, BRIDGE_TRACE_URL=JAEGER, **keys) as stand:
        yield stand


@asynccontextmanager
async def running(stand: Stand, **environ: str) -> AsyncIterator[httpx.AsyncClient]:
    """A bridge, and a way to its pages."""
    process = await stand.start("run", **environ)
    yield stand.pages
    process.terminate()
    output, log = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, output) == (0, b""), log
    assert b"Traceback" not in log


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
    (step,) = stand.play("llm_500")
    async with running(stand) as browser:
        page = await shows(browser, lambda page: step in page.section("failures").text)
        (trace,) = {span.trace_id.hex() for span in stand.spans()}
        links = {href for one in page.all("a") if (href := one.attributes["href"]).startswith("http")}
        assert links == {JAEGER.replace("{trace_id}", trace)}  # of the step, and soon of its run as well
        assert "step failed" in page.section("failures").text

        page = await shows(browser, lambda page: page.one("title").text == "letta-otel-bridge: up to date")
        assert "/v1/runs/" in page.section("traffic").text
        assert "version 5" in page.section("bridge").text
        assert stand.environ["LETTA_BASE_URL"] in page.section("settings").text


async def test_a_backend_that_is_away_is_told_with_the_reason_and_when_it_is_back(stand: Stand) -> None:
    stand.play("text")
    stand.backend.answer(*[says(503)] * 3)
    async with running(stand, OTEL_METRICS_EXPORTER="none") as browser:
        page = await shows(browser, lambda page: "backend in trouble" in page.one("title").text)
        assert "503" in page.section("problems").text
        assert "3 spans" in page.section("glance").text.replace("In flight ", "")
        await shows(browser, lambda page: page.one("title").text == "letta-otel-bridge: up to date")


async def test_a_letta_that_is_not_there(stand: Stand) -> None:
    async with running(stand, LETTA_BASE_URL="http://127.0.0.1:1") as browser:
        page = await shows(browser, lambda page: "Letta in trouble" in page.one("title").text)
        assert "Connection refused" in page.section("problems").text
        assert "none yet" in page.section("health").text
