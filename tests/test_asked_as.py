"""On the loopback, a page that tells of agents answers to names that lead to no other machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bridge.asked_as import may_be_asked_as
from bridge.hook import PATH
from bridge.listening import serving

OWN = ["127.0.0.1", "localhost", "LOCALHOST:1", "localhost.", "x.localhost", "[::1]:9464", "10.0.0.7:80",
       "host.docker.internal:9464", "host.containers.internal"]  # fmt: skip
ELSEWHERE = ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.com", "[::1",
             "user@evil.example", "xn--lcalhost-n1a", "host.docker.internal.evil.com", "internal", ""]  # fmt: skip


async def page(_: Request) -> Response:
    return PlainTextResponse("agents")


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Route(path, page) for path in ("/", "/metrics", "/livez", "/readyz", PATH)])
    async with serving(lambda: app, host="127.0.0.1", port=0) as url, httpx.AsyncClient(base_url=url) as browser:
        yield browser


@pytest.mark.parametrize("host", OWN)
async def test_names_of_this_machine_are_answered(browser: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/metrics"):
        assert (await browser.get(path, headers={"host": host})).text == "agents"


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_names_that_lead_here_from_elsewhere_are_not(browser: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/metrics", "//metrics", "/no-such-page"):
        answer = await browser.get(path, headers={"host": host})
        assert answer.status_code in {400, 421}
        assert "agents" not in answer.text
        assert "evil" not in answer.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", PATH])
async def test_whoever_watches_the_process_and_letta_may_ask_by_any_name(
    browser: httpx.AsyncClient, path: str
) -> None:
    assert (await browser.get(path, headers={"host": "bridge.example"})).status_code == 200


def test_whoever_opens_the_pages_to_a_network_names_them() -> None:
    for listen in ("0.0.0.0", "::", "10.0.0.7", "bridge.internal"):
        assert may_be_asked_as("bridge.example:9464", listen)
    for listen in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        assert not may_be_asked_as("bridge.example:9464", listen)
