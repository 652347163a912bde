"""The source's own ways: shorter pages, walks that prove their end, details that do without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bridge.clock import SystemClock
from bridge.errors import LettaMisbehaved, LettaNotFound, LettaUnavailable
from bridge.source.client import Access, LettaClient
from bridge.source.letta import LettaSource

LONG = "x" * (2 << 20)


class Server:
    """Answers by path, and remembers what it was asked."""

    def __init__(self, **routes: Callable[[httpx.Request], httpx.Response]) -> None:
        self.routes = {f"/v1/{name.replace('__', '/')}": answer for name, answer in routes.items()}
        self.asked: list[str] = []
        clock = SystemClock()
        access = Access(base_url="http://letta.test", requests_per_second=1000)
        self.source = LettaSource(LettaClient(access, clock, transport=httpx.MockTransport(self._answer)), clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url.copy_with(scheme=None, host=None)).removeprefix("//"))
        return self.routes[request.url.path](request)


def says(status: int, value: object) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=value)


def pages(rows: list[dict[str, Any]]) -> Callable[[httpx.Request], httpx.Response]:
    """A list that is walked by `after`."""

    def answer(request: httpx.Request) -> httpx.Response:
        ids = [row["id"] for row in rows]
        after, limit = request.url.params.get("after"), int(request.url.params["limit"])
        start = ids.index(after) + 1 if after else 0
        return httpx.Response(200, content=json.dumps(rows[start : start + limit]))

    return answer


def message(number: int, step: str | None) -> dict[str, Any]:
    return {"id": f"message-{number}", "step_id": step}


async def test_a_page_too_long_for_memory_is_asked_for_in_shorter_ones() -> None:
    steps = [{"id": f"step-{number}", "error_data": {"message": LONG}} for number in range(25)]
    server = Server(runs__r__steps=pages(steps))
    found: list[str] = []
    more = True
    while more:
        page, more = await server.source.steps("r", found[-1] if found else None)
        found += page.order
    assert found == [step["id"] for step in steps]


async def test_a_record_too_long_by_itself_is_said() -> None:
    server = Server(runs__r__steps=says(200, [{"id": "step-1", "error_data": {"message": LONG * 17}}]))
    with pytest.raises(LettaMisbehaved, match=r"is longer than 32 MiB"):
        await server.source.steps("r", None)


async def test_messages_are_read_until_every_step_has_some() -> None:
    server = Server(runs__r__messages=pages([message(1, "a"), message(2, None), message(3, "b")]))
    found = await server.source.messages_of("r", {"a", "b"}, None)
    assert [one.id for one in found] == ["message-1", "message-2", "message-3"]
    assert len(server.asked) == 1


async def test_only_an_empty_page_ends_a_search_for_messages() -> None:
    server = Server(runs__r__messages=pages([message(1, "a")]))
    assert len(await server.source.messages_of("r", {"a", "b"}, None)) == 1
    assert len(server.asked) == 2


async def test_messages_that_repeat_are_noticed() -> None:
    server = Server(runs__r__messages=says(200, [message(1, "a")]))
    with pytest.raises(LettaMisbehaved, match="a page repeats"):
        await server.source.messages_of("r", {"b"}, None)


async def test_a_message_cursor_that_is_gone_is_no_run_that_is_gone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "after" in request.url.params:
            return httpx.Response(404, json={"detail": "No message found"})
        return httpx.Response(200, json=[message(1, "a")])

    run = says(200, {"id": "r", "created_at": "2026-11-21T23:01:31Z"})
    server = Server(runs__r__messages=answer, runs__r=run)
    assert len(await server.source.messages_of("r", {"a"}, "message-0")) == 1
    server = Server(runs__r__messages=answer, runs__r=says(404, {"detail": "Run not found"}))
    with pytest.raises(LettaNotFound):
        await server.source.messages_of("r", {"a"}, "message-0")
    server = Server(runs__r__messages=answer, runs__r=run)
    with pytest.raises(LettaMisbehaved, match="although the run is there"):
        await server.source.messages_of("r", {"never"}, "message-0")


@pytest.mark.parametrize("broken", [says(500, {"detail": "no"}), says(200, []), says(400, {"detail": "no"})])
async def test_lengths_that_one_step_cannot_have_are_not_there(
    broken: Callable[[httpx.Request], httpx.Response],
) -> None:
    server = Server(steps__s__metrics=broken, steps__s=says(200, {"id": "s"}))
    assert await server.source.step_metrics("s") is None


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_lengths_of_a_server_that_is_away_are_waited_for(status: int) -> None:
    server = Server(steps__s__metrics=says(status, {"detail": "later"}))
    with pytest.raises(LettaUnavailable):
        await server.source.step_metrics("s")


async def test_lengths_that_fail_with_the_whole_server_are_waited_for() -> None:
    server = Server(steps__s__metrics=says(500, {"detail": "no"}), steps__s=says(500, {"detail": "no"}))
    with pytest.raises(LettaUnavailable):
        await server.source.step_metrics("s")


async def test_a_name_that_may_not_be_read_is_done_without_for_a_while() -> None:
    server = Server(agents__a=says(403, {"detail": "no"}))
    assert [await server.source.agent_name("a") for _ in range(3)] == [None] * 3
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
async def test_a_busy_server_says_nothing_of_the_global_step_list(status: int) -> None:
    server = Server(steps__=says(status, {"detail": "later"}))
    with pytest.raises(LettaUnavailable):
        await server.source.has_global_steps()


async def test_a_run_that_cannot_be_read_whole_is_read_in_part() -> None:
    run = {"id": "r", "created_at": "2026-11-21T23:01:31Z", "background": "perhaps", "status": "created"}
    server = Server(runs__=says(200, [run]), runs__r=says(200, run))
    (listed,) = await server.source.active_runs()
    assert (listed.id, listed.status, listed.background) == ("r", "created", None)
    assert (await server.source.run("r")).status == "created"
    assert not server.source.take_malformed(), "a letter would be a second way to deliver it"


async def test_a_run_that_has_no_place_is_handed_over_once() -> None:
    run = {"id": "r", "created_at": None}
    server = Server(runs__=says(200, [run]))
    for _ in range(2):
        assert await server.source.active_runs() == ()
    (kept,) = server.source.take_malformed()
    assert json.loads(kept.text) == run
    await server.source.active_runs()
    assert not server.source.take_malformed(), "each once"


async def test_a_step_listed_twice_is_one() -> None:
    server = Server(runs__r__steps=says(200, [{"id": "a"}, {"id": "b"}, {"id": "a"}]))
    page, _ = await server.source.steps("r", None)
    assert page.order == ("a", "b")
    assert [step.id for step in page.items] == ["a", "b"]
