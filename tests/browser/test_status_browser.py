"""The status page in a real browser: the machine's own Chromium, driven over its debugging protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser.watched_tab import WatchedTab
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from status.status_world import JAEGER, StatusWorld
from status.test_status_html import CONTROLS, PAYLOADS, hostile

from bridge.hosting import hosted
from bridge.status.render import Renderer
from bridge.status.view import gather

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# For each element with text of its own: its colour, and the first ground behind it that is not see-through.
CONTRASTS = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => [r, g, b]
    .map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.a === 1) return found;
    }
    return { r: 255, g: 255, b: 255 };
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => {
      const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.className || one.tagName, one.textContent.trim().slice(0, 40)];
    });
}"""


class Served:
    """The world's page at an address; `asked` counts."""

    def __init__(self, world: StatusWorld, refresh: int) -> None:
        self._world = world
        self._refresh = refresh
        self.asked = 0
        self.app = Starlette(routes=[Route("/", self._page)])

    async def _page(self, request: Asked) -> Response:
        self.asked += 1
        settings = self._world.settings
        view = await gather(self._world.watched, settings, started_at=self._world.started_at, now=self._world.now)
        renderer = Renderer(settings, self._world.mask, refresh=self._refresh)
        answer = renderer.page(view, refreshes=request.query_params.get("refresh") != "off")
        return HTMLResponse(answer.body, headers=answer.headers)


class Screen(WatchedTab):
    """The status page in a tab."""

    def __init__(self, page: Page, url: str, served: Served) -> None:
        super().__init__(page)
        self.url = url
        self.served = served


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[StatusWorld]:
    world = await StatusWorld.open(tmp_path)
    world.environ = {"BRIDGE_TRACE_URL": JAEGER}
    yield world
    await world.ledger.close()


@asynccontextmanager
async def shown(
    browser: Browser, world: StatusWorld, *, path: str = "/?refresh=off", refresh: int = 10, **options: Any
) -> AsyncIterator[Screen]:
    """The page in a tab; nothing may be complained of, or fetched from elsewhere."""
    served = Served(world, refresh)
    async with hosted(served.app) as url:
        context = await browser.new_context(**options)
        screen = Screen(await context.new_page(), url, served)
        await screen.page.goto(f"{url}{path}")
        yield screen
        assert screen.complaints == []
        assert [one for one in screen.fetched if not one.startswith((url, "data:"))] == []
        await context.close()


@pytest.mark.parametrize("payload", [*PAYLOADS.values(), CONTROLS, "x" * 100_000, "W" * 250, "\u05d0" * 250],
                         ids=[*PAYLOADS, "controls", "long", "wide", "right to left"])  # fmt: skip
async def test_hostile_text_does_nothing(browser: Browser, world: StatusWorld, payload: str) -> None:
    await hostile(world, payload)
    async with shown(browser, world, viewport={"width": 360, "height": 740}) as screen:
        tab = screen.page
        assert (await tab.title()).startswith("letta-otel-bridge: ")
        await expect(tab.locator("body img, body script, body iframe")).to_have_count(0)
        await expect(tab.locator("#settings")).to_be_visible()
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 360


async def test_it_needs_no_script(browser: Browser, world: StatusWorld) -> None:
    await world.trouble()
    async with shown(browser, world, path="/", refresh=1, java_script_enabled=False) as screen:
        await expect(screen.page.locator("h1")).to_have_text("letta-otel-bridge")
        world.health.letta.answered(world.now)
        await expect(screen.page.locator(".problems li").first).to_contain_text(
            "The backend does not take everything"
        )


async def test_it_refreshes_by_itself_until_it_is_stopped(browser: Browser, world: StatusWorld) -> None:
    async with shown(browser, world, path="/", refresh=1) as screen:
        tab = screen.page
        await expect(tab.locator(".state")).to_have_text("up to date")
        world.health.letta.failed("answered 503")
        await expect(tab.locator(".state")).to_have_text("Letta in trouble")
        assert await tab.title() == "letta-otel-bridge: Letta in trouble"

        await tab.get_by_role("link", name="Stop").click()
        await expect(tab.get_by_role("link", name="Look again")).to_be_visible()
        before = screen.served.asked
        world.health.letta.answered(world.now)
        await tab.wait_for_timeout(2500)  # two refreshes and a half that must not come
        assert screen.served.asked == before
        await expect(tab.locator(".state")).to_have_text("Letta in trouble")

        await tab.get_by_role("link", name="Look again").click()
        await expect(tab.locator(".state")).to_have_text("up to date")
        await tab.get_by_role("link", name="Refresh by itself").click()
        await expect(tab.get_by_role("link", name="Stop")).to_be_visible()


async def test_a_refresh_stays_where_the_reader_is(browser: Browser, world: StatusWorld) -> None:
    await world.busy()
    async with shown(browser, world, path="/", refresh=1) as screen:
        await screen.page.evaluate("window.scrollTo(0, 700)")
        asked = screen.served.asked
        async with screen.page.expect_navigation():
            pass
        await screen.page.wait_for_load_state()
        assert screen.served.asked > asked
        await screen.page.wait_for_function("window.scrollY === 700")


async def test_every_link_is_reached_by_keyboard_and_seen(browser: Browser, world: StatusWorld) -> None:
    await world.trouble()
    async with shown(browser, world) as screen:
        tab = screen.page
        links = await tab.locator("a").count()
        reached = []
        for _ in range(links):
            await tab.keyboard.press("Tab")
            focus = tab.locator(":focus")
            reached.append(await focus.evaluate("one => one.outerHTML"))
            await expect(focus).to_be_in_viewport()
            assert await focus.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
        assert reached == await tab.locator("a").evaluate_all("all => all.map(one => one.outerHTML)")


async def test_the_first_key_leads_past_the_head(browser: Browser, world: StatusWorld) -> None:
    async with shown(browser, world) as screen:
        await screen.page.keyboard.press("Tab")
        await screen.page.keyboard.press("Enter")
        await expect(screen.page.locator("main")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("situation", ["busy", "trouble"])
async def test_all_text_can_be_read(
    browser: Browser, world: StatusWorld, situation: str, scheme: Any, width: int
) -> None:
    await getattr(world, situation)()
    viewport = {"width": width, "height": 800}
    async with shown(browser, world, color_scheme=scheme, viewport=viewport) as screen:
        found = await screen.page.evaluate(CONTRASTS)
        assert len(found) > 100
        assert [one for one in found if one[0] < 4.5] == []
        assert await screen.page.evaluate("document.documentElement.scrollWidth") <= width
        ground = await screen.page.eval_on_selector("body", "one => getComputedStyle(one).backgroundColor")
        assert ground == {"light": "rgb(244, 245, 248)", "dark": "rgb(13, 17, 23)"}[scheme]


async def test_on_a_phone_the_tables_are_still_tables(browser: Browser, world: StatusWorld) -> None:
    await world.busy()
    async with shown(browser, world, viewport={"width": 360, "height": 740}) as screen:
        failures = screen.page.get_by_role("table", name="Steps and runs of agents that went wrong")
        await expect(failures.get_by_role("row")).to_have_count(5)
        await expect(failures.get_by_role("columnheader")).to_have_text(["Seen", "What", "Agent and model", "Ids"])
        await expect(failures.get_by_role("rowheader")).to_have_count(4)


async def test_states_differ_in_shape_and_word_and_not_by_colour_alone(browser: Browser, world: StatusWorld) -> None:
    await world.trouble()
    async with shown(browser, world) as screen:
        shapes = await screen.page.evaluate("""() => [".chip[data-tone=good]", ".chip[data-tone=bad]"].map((one) => {
          const style = getComputedStyle(document.querySelector(one), "::before");
          return [style.borderRadius, style.transform, style.clipPath].join(" ");
        })""")
        assert shapes[0] != shapes[1]
        chips = screen.page.locator("#health ~ table .chip")
        await expect(chips).to_have_text(["ok", "in trouble", "in trouble"])


async def test_the_viewer_does_not_learn_where_its_visitor_comes_from(browser: Browser, world: StatusWorld) -> None:
    asked: list[str | None] = []

    async def viewer(request: Asked) -> Response:
        asked.append(request.headers.get("referer"))
        return HTMLResponse("<title>a trace</title><link rel=icon href=data:,>")

    await world.busy()
    async with hosted(Starlette(routes=[Route("/trace/{id}", viewer)])) as there:
        world.environ = {"BRIDGE_TRACE_URL": f"{there}/trace/{{trace_id}}"}
        served = Served(world, 10)
        async with hosted(served.app) as url:
            tab = await browser.new_page()
            await tab.goto(f"{url}/?refresh=off")
            await tab.get_by_role("link", name="trace").first.click()
            await expect(tab).to_have_title("a trace")
            await tab.close()
    assert asked == [None]
