"""The page in a real browser: the machine's own Chromium, driven over its debugging protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from browser.watched_tab import WatchedTab
from demo.samples import PROTOBUF, metrics, run_span, span, step_spans, traces
from playwright.async_api import Browser, Page, expect

from bridge.demo.receiver import Receiver
from bridge.hosting import hosted

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;"


class Screen(WatchedTab):
    """The page of the demo in a tab, and a way to send to the receiver behind it."""

    def __init__(self, page: Page, url: str) -> None:
        super().__init__(page)
        self._url = url

    async def open(self) -> None:
        await self.page.goto(self._url)
        await expect(self.page.locator("#live")).to_have_text("live")

    async def receive(self, *spans: Any) -> None:
        """Send spans to the receiver behind the page."""
        await self._post("/v1/traces", traces(spans).SerializeToString())

    async def count(self, **totals: int) -> None:
        """Send metrics to the receiver behind the page."""
        await self._post("/v1/metrics", metrics(**totals).SerializeToString())

    async def colour(self, selector: str) -> str:
        """The background of the first element that fits."""
        found: str = await self.page.eval_on_selector(selector, "one => getComputedStyle(one).backgroundColor")
        return found

    async def _post(self, path: str, body: bytes) -> None:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            (await http.post(path, content=body, headers=PROTOBUF)).raise_for_status()


@pytest_asyncio.fixture(loop_scope="session")
async def screen(browser: Browser) -> AsyncIterator[Screen]:
    """A page of a receiver that has received nothing yet."""
    async with hosted(Receiver().app) as url:
        screen = Screen(await browser.new_page(color_scheme="light"), url)
        yield screen
        assert screen.complaints == []
        await screen.page.close()


async def test_shows_traces_as_they_come(screen: Screen) -> None:
    page = screen.page
    await screen.open()
    await expect(page.locator("#empty")).to_be_visible()

    await screen.receive(*step_spans())
    await expect(page.locator(".trace .chip")).to_have_text("running")
    await expect(page.locator("#spans .row")).to_have_count(3)

    await screen.receive(run_span(letta__run__stop_reason="end_turn"))
    await expect(page.locator(".trace .chip")).to_have_text("completed")
    await expect(page.locator("#trace-state")).to_have_text("completed")
    await expect(page.locator("#spans .label")).to_have_text(
        ["invoke_agent clerk", "agent_step", "chat small", "execute_tool charge_card"]
    )
    await expect(page.locator("#trace-facts")).to_contain_text("1,200 in, 34 out")
    await expect(page.locator("#trace-facts")).to_contain_text("small")


async def test_counts_as_the_metrics_say(screen: Screen) -> None:
    await screen.open()
    await screen.count(letta__runs=12_345)
    runs = screen.page.locator(".tile", has_text="Runs").first
    await expect(runs.locator("strong")).to_have_text("12.3k")
    await expect(runs.locator("li")).to_have_text("12.3k completed")

    await screen.count(letta__runs=7)
    await expect(runs.locator("strong")).to_have_text("7")


async def test_what_failed_is_red(screen: Screen) -> None:
    await screen.receive(run_span(error="no", error__type="LLMServerError"), *step_spans())
    await screen.open()

    await expect(screen.page.locator(".trace .chip")).to_have_text("failed")
    red, calm = await screen.colour("[data-kind=tool] .bar"), await screen.colour("[data-kind=chat] .bar")
    assert red == "rgb(207, 42, 42)"
    assert calm != red


async def test_what_was_cancelled_says_so_and_is_not_red(screen: Screen) -> None:
    await screen.receive(run_span(error="cancelled", error__type="cancelled"))
    await screen.open()

    await expect(screen.page.locator(".trace .chip")).to_have_text("cancelled")
    assert await screen.colour("#spans .bar") != "rgb(207, 42, 42)"


async def test_an_approval_says_that_it_waits(screen: Screen) -> None:
    await screen.receive(run_span(letta__run__stop_reason="requires_approval"))
    await screen.open()

    await expect(screen.page.locator(".trace .chip")).to_have_text("waits for approval")


async def test_clicking_a_span_shows_its_attributes(screen: Screen) -> None:
    await screen.receive(run_span(), *step_spans())
    await screen.open()
    page = screen.page

    await page.get_by_role("button", name="agent_step").click()

    await expect(page.locator("#span h2")).to_have_text("agent_step")
    await expect(page.locator("#span")).to_contain_text("letta.step.id")
    await expect(page.locator("#span")).to_contain_text("step-1")
    await page.get_by_role("button", name="execute_tool charge_card").click()
    await expect(page.locator("#span .problem")).to_contain_text("tool_error")


async def test_everything_is_reached_by_keyboard(screen: Screen) -> None:
    other = run_span(trace=bytes([7] * 16), at=(10, 11), gen_ai__agent__name="second")
    await screen.receive(run_span(), *step_spans(), other)
    await screen.open()
    page = screen.page
    await expect(page.locator("#trace-name")).to_have_text("clerk")

    await page.keyboard.press("Tab")
    await expect(page.locator(".trace", has_text="second")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#trace-name")).to_have_text("second")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("#trace-name")).to_have_text("clerk")
    await page.keyboard.press("Tab")
    await page.keyboard.press("End")
    await page.keyboard.press("Space")
    await expect(page.locator("#span h2")).to_have_text("execute_tool charge_card")


async def test_a_choice_stays_while_more_comes(screen: Screen) -> None:
    await screen.receive(*step_spans())
    await screen.open()
    page = screen.page
    await page.get_by_role("button", name="agent_step").click()

    await screen.receive(run_span(), run_span(trace=bytes([7] * 16), at=(10, 11), gen_ai__agent__name="second"))

    await expect(page.locator(".trace")).to_have_count(2)
    await expect(page.locator("#spans .row")).to_have_count(4)
    await expect(page.locator("#trace-name")).to_have_text("clerk")
    await expect(page.get_by_role("button", name="agent_step")).to_be_focused()
    await expect(page.locator("#span h2")).to_have_text("agent_step")


async def test_a_hostile_name_is_only_text(screen: Screen) -> None:
    hostile = {"gen_ai__agent__name": HOSTILE, "letta__run__stop_reason": HOSTILE}
    tool = span(f"execute_tool {HOSTILE}", b"\2" * 8, parent=b"\1" * 8, error=HOSTILE, error__type=HOSTILE)
    await screen.receive(run_span(**hostile), tool)
    await screen.count(letta__runs=1)
    await screen.open()

    await expect(screen.page.locator("#trace-name")).to_have_text(HOSTILE)
    await expect(screen.page.locator(".trace .title")).to_have_text(HOSTILE)
    await expect(screen.page.locator("#span .problem")).to_have_text(HOSTILE)
    assert await screen.page.title() == "letta-otel-bridge demo"
    assert await screen.page.locator("body img").count() == 1


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(244, 245, 248)"), ("dark", "rgb(13, 17, 23)")])
async def test_follows_the_colour_scheme(screen: Screen, scheme: Any, ground: str) -> None:
    await screen.page.emulate_media(color_scheme=scheme)
    await screen.open()

    assert await screen.colour("body") == ground


async def test_fits_a_narrow_window(screen: Screen) -> None:
    await screen.page.set_viewport_size({"width": 360, "height": 700})
    await screen.receive(run_span(), *step_spans())
    await screen.open()
    await expect(screen.page.locator("#spans .row")).to_have_count(4)

    assert await screen.page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_says_when_the_demo_has_stopped(browser: Browser) -> None:
    page = await browser.new_page()
    async with hosted(Receiver().app) as url:
        await page.goto(url)
        await expect(page.locator("#live")).to_have_text("live")

    await expect(page.locator("#live")).to_have_text("the demo has stopped")
    await page.close()
