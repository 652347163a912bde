"""The page as HTML: sound, accessible, and with foreign text as nothing but text."""

import base64
import hashlib
import re
import zipfile
from pathlib import Path

import pytest
from status.status_world import JAEGER, NOW, TRACE, Page, StatusWorld, a_failure, a_letter, a_run

from bridge.ledger.glance import FEW

PAYLOADS = {
    "script": "<script>document.title='owned'</script>",
    "attribute": "\"><img src=x onerror=document.title='owned'>",
    "single quotes": "' onmouseover='document.title=1' x='",
    "style": "</style><style>body{display:none}",
    "template": "{{7*7}}{% raw %}${7*7}#{7*7}",
    "entity": "&lt;b&gt;&amp;amp;&#60;script&#62;",
    "comment": "--><!-- ]]>",
    "url": "javascript:document.title='owned'",
    "unicode": "日本語 ﷽ 🙂 Ā̶̡̢",
}
CONTROLS = "a\x00b\x1b[2Jc\u202ed\u2066e\ufefff\x7fg"


async def hostile(world: StatusWorld, text: str) -> Page:
    """A page with `text` wherever Letta, an agent or a backend has a say."""
    await world.keep(
        runs=(a_run(text, agent_name=text, agent_id=text, status=text, stop_reason=text),),
        failures=(
            a_failure(
                agent_name=text, agent_id=text, model_handle=text, error_type=text, message=text, run_id=text,
                step_id=text, status=text, trace_id=text,
            ),
        ),
        letters=(a_letter(kind=text, source=text, reason=text),),
    )  # fmt: skip
    world.stand(postponed={text: text})
    world.health.letta.failed(text)
    world.health.backend.failed(text)
    world.own.request(text, text)
    world.environ = {"BRIDGE_TRACE_URL": JAEGER, "OTEL_SERVICE_NAME": text}
    return Page(await world.page())


SITUATIONS = ["quiet", "busy", "trouble", "broken"]


@pytest.fixture(params=SITUATIONS)
async def page(world: StatusWorld, request: pytest.FixtureRequest) -> Page:
    situation: str = request.param
    if situation == "broken":
        await world.trouble()
        for table in ("run", "failure", "dead_letter"):
            world.execute(f"DROP TABLE {table}")
    elif situation != "quiet":
        await getattr(world, situation)()
    return Page(await world.page())


def test_every_table_says_what_it_is(page: Page) -> None:
    tables = page.all("table")
    assert tables
    for table in tables:
        inside = [one for one in page.elements if table in one.around]
        assert [one.text for one in inside if one.tag == "caption"] != [""]
        assert sum(one.tag == "caption" for one in inside) == 1
        assert all(one.attributes.get("scope") in {"col", "row"} for one in inside if one.tag == "th")
        assert all(one.text for one in inside if one.tag == "th")


def test_tables_stay_tables_where_they_are_laid_out_as_cards(page: Page) -> None:
    roles = {"table": {"table"}, "tr": {"row"}, "td": {"cell"}, "th": {"columnheader", "rowheader"}}
    for tag, allowed in roles.items():
        assert {one.attributes.get("role") for one in page.all(tag)} <= allowed
    for table in page.all("table"):
        heads = [one.text for one in page.all("th", scope="col") if table in one.around]
        for row in (one for one in page.all("tr") if table in one.around):
            labels = [one.attributes["data-label"] for one in page.all("td") if row in one.around]
            assert labels in ([], heads[1:])


def test_headings_skip_no_level_and_every_section_has_a_name(page: Page) -> None:
    headings = [one.tag for one in page.elements if re.fullmatch("h[1-6]", one.tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for section in page.all("section"):
        assert section.attributes["aria-labelledby"] in ids


def test_the_page_has_a_language_landmarks_and_a_way_past_the_head(page: Page) -> None:
    assert page.one("html").attributes["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    skip = page.all("a")[0]
    assert (skip.text, skip.attributes["href"]) == ("Skip to the content", "#main")
    assert page.one("main").attributes["id"] == "main"


def test_every_link_leads_somewhere(page: Page) -> None:
    ids = {one.attributes["id"] for one in page.elements if "id" in one.attributes}
    for link in page.all("a"):
        href = link.attributes["href"]
        assert link.text
        assert href[1:] in ids if href.startswith("#") else href.startswith(("/", "http://localhost:16686/trace/"))


def test_nothing_on_it_runs_or_comes_from_elsewhere(page: Page) -> None:
    assert not {one.tag for one in page.elements} & {"script", "iframe", "object", "embed", "form", "img", "base"}
    for one in page.elements:
        assert not [name for name in one.attributes if name.startswith("on") or name in {"style", "src"}]
    (icon,) = page.all("link")
    assert icon.attributes["rel"] == "icon"
    assert icon.attributes["href"].startswith("data:image/svg+xml,")
    assert "http" not in page.one("style").text


def test_the_title_carries_the_state_as_the_page_does(page: Page) -> None:
    state = page.one("p", **{"class": "state"}).text
    assert page.one("title").text == f"letta-otel-bridge: {state}"


async def test_in_trouble_the_reason_comes_first(world: StatusWorld) -> None:
    await world.trouble()
    page = Page(await world.page())
    assert page.one("title").text == "letta-otel-bridge: behind 4 min, Letta and backend in trouble"
    first = page.all("section")[0]
    assert first.attributes["aria-labelledby"] == "problems"
    for words in ("Letta cannot be read", "answered 503", "Tried again in 21 s", "1 run cannot be read for now"):
        assert words in first.text
    assert "2 dormant" in page.section("glance").text
    assert "61" in page.section("glance").text
    assert "run-40-zombie" in page.section("runs").text
    assert "Letta sent a step without an id" in page.section("letters").text
    assert "bridge dead-letters list" in page.section("letters").text


async def test_a_quiet_one_says_that_there_is_nothing(world: StatusWorld) -> None:
    page = Page(await world.page())
    assert page.one("title").text == "letta-otel-bridge: up to date"
    assert not page.all("section", **{"aria-labelledby": "problems"})
    for name in ("failures", "runs", "letters"):
        assert [one.text for one in page.all("p", **{"class": "none"}) if page.section(name) in one.around]


async def test_what_cannot_be_shown_is_said_in_its_place(world: StatusWorld) -> None:
    for table in ("run", "failure"):
        world.execute(f"DROP TABLE {table}")
    page = Page(await world.page())
    for name in ("failures", "runs", "letters"):
        assert "Not shown: ledger " in page.section(name).text
    assert "up to date" not in page.one("title").text
    assert "Loop" in page.section("health").text
    assert "poll.interval" in page.section("settings").text


async def test_each_failure_says_who_what_and_when_and_leads_to_its_trace(world: StatusWorld) -> None:
    world.environ = {"BRIDGE_TRACE_URL": JAEGER}
    failure = a_failure(3)
    await world.keep(failures=(failure,))
    page = Page(await world.page())
    shown = page.section("failures").text
    for part in ("step failed", failure.error_type, failure.message, failure.agent_name, failure.model_handle,
                 failure.run_id, failure.step_id, TRACE, "2023-11-14 22:10:20", "3 min ago"):  # fmt: skip
        assert str(part) in shown
    (link,) = [one for one in page.all("a") if one.attributes["href"].startswith("http")]
    assert link.attributes == {"href": f"http://localhost:16686/trace/{TRACE}", "rel": "noreferrer"}


async def test_without_a_viewer_the_ids_are_text_and_the_setting_is_named(world: StatusWorld) -> None:
    await world.keep(failures=(a_failure(),))
    page = Page(await world.page())
    assert not [one for one in page.all("a") if one.attributes["href"].startswith("http")]
    assert TRACE in page.section("failures").text
    assert "BRIDGE_TRACE_URL" in page.section("failures").text


async def test_a_link_with_a_long_query_stays_whole(world: StatusWorld) -> None:
    query = "x" * 2000
    world.environ = {"BRIDGE_TRACE_URL": f"https://viewer/{{trace_id}}?a=1&b={query}"}
    await world.keep(failures=(a_failure(),))
    (link,) = [one for one in Page(await world.page()).all("a") if one.attributes["href"].startswith("https")]
    assert link.attributes["href"] == f"https://viewer/{TRACE}?a=1&b={query}"


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_hostile_text_is_only_text(world: StatusWorld, payload: str) -> None:
    page = await hostile(world, payload)
    assert not {one.tag for one in page.elements} & {"script", "img", "b"}
    assert len(page.all("style")) == 1
    assert all(name in {"class", "id", "href", "rel", "role", "scope", "data-label", "data-tone", "lang", "charset",
                        "name", "content", "aria-label", "aria-labelledby", "aria-hidden", "tabindex", "datetime",
                        "width", "height", "viewbox", "fill", "rx", "x", "y", "opacity"}
               for one in page.elements for name in one.attributes)  # fmt: skip
    assert not [one for one in page.all("a") if not one.attributes["href"].startswith(("#", "/"))]
    for section in ("failures", "runs", "letters", "traffic", "health", "problems", "settings"):
        assert payload in page.section(section).text, section


async def test_control_characters_and_marks_that_turn_text_around_are_gone(world: StatusWorld) -> None:
    await hostile(world, CONTROLS)
    body = await world.page()
    assert not set(body) & set("\x00\x1b\u202e\u2066\ufeff\x7f")
    assert "a b [2Jc d e f g" in body


async def test_a_text_of_a_megabyte_is_cut_and_its_length_said(world: StatusWorld) -> None:
    await hostile(world, "x" * 1_000_000)
    body = await world.page()
    assert len(body) < 100_000
    assert "(1,000,000 characters)" in body


async def test_foreign_text_stands_apart_from_its_line(world: StatusWorld) -> None:
    """Right-to-left letters must not pull the words beside them along."""
    page = await hostile(world, "שלום")
    assert all(one.around[-1].tag != "bdi" for one in page.all("bdi"))
    outside = [one for one in page.elements if one.text == "שלום" and one.tag == "bdi"]
    assert len(outside) >= 15


async def test_secrets_are_taken_out_of_all_that_others_say(world: StatusWorld) -> None:
    world.mask = lambda text: text.replace("sk-canary", "***")
    await hostile(world, "before sk-canary after")
    body = await world.page()
    assert "sk-canary" not in body
    assert "before *** after" in body


async def test_more_than_it_shows_is_counted(world: StatusWorld) -> None:
    await world.keep(runs=tuple(a_run(f"run-{n}") for n in range(FEW + 1200)))
    world.stand(postponed={f"run-{n}": "answered 500" for n in range(FEW + 3)})
    shown = Page(await world.page()).section("runs").text
    assert "and 1,200 more" in shown
    assert "and 3 more" in shown


async def test_times_that_no_calendar_has_are_shown_all_the_same(world: StatusWorld) -> None:
    await world.keep(
        runs=(a_run("run-1", created_ns=2**62, last_news=1e15),), failures=(a_failure(seen_at=1e15),)
    )  # fmt: skip
    assert "1000000000000000 s since 1970" in await world.page()


async def test_calls_of_the_webhook_are_shown_where_there_were_any(world: StatusWorld) -> None:
    assert "webhook" not in Page(await world.page()).section("traffic").text
    world.own.wakeup("taken")
    assert "webhook called: 1 taken" in Page(await world.page()).section("traffic").text


async def test_without_the_bridges_own_metrics_it_says_why(
    world: StatusWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    world.own = type(world.own)()
    assert "OTEL_SDK_DISABLED" in Page(await world.page()).section("traffic").text


async def test_a_sweep_under_way_is_told(world: StatusWorld) -> None:
    world.stand(sweeping_since=NOW - 35)
    assert "sweeping for 35 s" in Page(await world.page()).section("glance").text


async def test_the_policy_fits_the_style_and_allows_nothing_else(world: StatusWorld) -> None:
    answer = await world.answer()
    style = re.search("<style>(.*?)</style>", answer.body, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def test_it_refreshes_until_it_is_told_not_to(world: StatusWorld) -> None:
    moving, still = await world.answer(), await world.answer(refreshes=False)
    assert moving.headers["refresh"] == "10"
    assert "refresh" not in still.headers
    assert Page(moving.body).one("a", href="/?refresh=off").text == "Stop"
    assert [Page(still.body).one("a", href=href).text for href in ("/?refresh=off", "/")] == [
        "Look again",
        "Refresh by itself",
    ]


def test_the_wheel_has_the_templates(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling comes with the extra dev")
    root = Path(__file__).parents[2]
    built = next(wheel.WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(built).namelist())
    assert {
        f"bridge/status/page/{name}" for name in ("status.html", "settings.html", "macros.html", "status.css")
    } <= names
