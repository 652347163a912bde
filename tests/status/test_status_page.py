"""The status page over a real socket."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from typing import cast

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from status.status_world import NOW, Page, StatusWorld
from structlog.testing import capture_logs

from bridge.clock import Clock
from bridge.listening import serving
from bridge.serve import Pages
from bridge.settings import load
from bridge.status import render
from bridge.status.page import StatusPage


class Clock1700:
    """Stands at the world's time."""

    def now(self) -> float:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


CLOCK = cast("Clock", Clock1700())


def of(world: StatusWorld) -> StatusPage:
    return StatusPage(world.watched, load(world.environ, None), world.mask, CLOCK, world.started_at)


async def no_messages() -> Iterable[ExportMetricsServiceRequest]:
    return []


@pytest.fixture
async def browser(world: StatusWorld) -> AsyncIterator[httpx.AsyncClient]:
    app = Pages(world.health, CLOCK, no_messages).app(status=of(world))
    async with serving(lambda: app, host="127.0.0.1", port=0) as url, httpx.AsyncClient(base_url=url) as browser:
        yield browser


async def test_it_is_at_the_root(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert Page(answer.text).one("title").text == "letta-otel-bridge: up to date"


async def test_the_headers_keep_it_to_itself(browser: httpx.AsyncClient) -> None:
    headers = (await browser.get("/")).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "set-cookie" not in headers


@pytest.mark.parametrize(
    ("query", "refresh"),
    [("", "10"), ("?refresh=off", None), ("?refresh=%22%3E%3Cscript%3E", "10"), ("?refresh=0", "10"), ("?x=1", "10")],
)
async def test_only_off_stops_the_refresh(browser: httpx.AsyncClient, query: str, refresh: str | None) -> None:
    answer = await browser.get(f"/{query}")
    assert answer.headers.get("refresh") == refresh
    assert "<script" not in answer.text


async def test_a_head_is_the_same_without_the_body(browser: httpx.AsyncClient) -> None:
    whole, head = await browser.get("/"), await browser.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k != "date"} == {
        k: v for k, v in whole.headers.items() if k != "date"
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_it_only_looks(browser: httpx.AsyncClient, method: str) -> None:
    answer = await browser.request(method, "/")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


@pytest.mark.parametrize("path", ["/status", "/index.html", "/metrics/", "/%2e%2e/etc/passwd", "/favicon.ico"])
async def test_elsewhere_is_told_what_there_is(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status_code, answer.text) == (
        404,
        "there is no such page; there are /, /metrics, /livez, /readyz\n",
    )


async def test_parts_that_fail_are_named_on_the_page(browser: httpx.AsyncClient, world: StatusWorld) -> None:
    world.execute("DROP TABLE failure")
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert "Not shown: ledger " in Page(answer.text).section("failures").text


async def test_where_nothing_can_be_shown_it_is_one_line_and_said_once(
    browser: httpx.AsyncClient, world: StatusWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise FileNotFoundError("status.html")

    with monkeypatch.context() as patch, capture_logs() as said:
        patch.setattr(render, "_environment", fails)
        answers = [await browser.get("/") for _ in range(2)]
    expected = "the status page cannot be made: FileNotFoundError; /readyz and /metrics may answer\n"
    assert [(answer.status_code, answer.text) for answer in answers] == [(503, expected)] * 2
    assert [line["event"] for line in said] == ["the status page cannot be made: FileNotFoundError"]
    assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "localhost.", "x.localhost", "[::1]:9464",
                                  "10.0.0.7:80", "127.0.0.1:9464"])  # fmt: skip
async def test_names_of_this_machine_are_answered(browser: httpx.AsyncClient, host: str) -> None:
    assert (await browser.get("/", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.com",
                                  "", "[::1", "user@evil.example", "xn--lcalhost-n1a"])  # fmt: skip
async def test_names_that_lead_here_from_elsewhere_are_not(browser: httpx.AsyncClient, host: str) -> None:
    answer = await browser.get("/", headers={"host": host})
    assert answer.status_code in {400, 421}
    assert "evil" not in answer.text
    assert "letta-otel-bridge" not in answer.text


async def test_many_at_once(browser: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(browser.get("/") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


def test_what_makes_the_page_is_loaded_when_it_is_first_asked_for() -> None:
    code = "import sys, bridge.serve, bridge.app; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"jinja2", "bridge.status.view", "bridge.status.in_force"} & set(done.stdout.split())
