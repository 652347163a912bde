"""When a list of steps is at its end, and what proves it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import httpx
import pytest

from bridge.clock import SystemClock
from bridge.follow.reading import ReadFrom
from bridge.follow.state import FollowedRun
from bridge.source.client import Access, LettaClient
from bridge.source.letta import LettaSource
from bridge.source.models import RunMetrics
from bridge.sweep.steps import StepList, proven, read_steps


class Steps:
    """A server with one run, which shows so many rows a page, whatever it is asked for."""

    def __init__(self, count: int, *, cap: int = 1000, stopped: Mapping[str, object] | None = None) -> None:
        self.rows = ids(count)
        self.cap = cap
        self.stopped = stopped or {}  # stop reason by step
        self.tags: dict[str, object] = {}
        self.requests = 0
        access = Access(base_url="http://letta.test", requests_per_second=1000)
        clock = SystemClock()
        self.source = LettaSource(LettaClient(access, clock, transport=httpx.MockTransport(self._answer)), clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/steps"):
            return httpx.Response(200, json={"id": "r", "created_at": "2026-11-21T23:01:31Z"})
        self.requests += 1
        after = request.url.params.get("after")
        if after and after not in self.rows:
            return httpx.Response(404, json={"detail": "No Step found"})
        start = self.rows.index(after) + 1 if after else 0
        page = self.rows[start : start + self.cap]
        shown = [{"id": id_, "stop_reason": self.stopped.get(id_), "tags": self.tags.get(id_)} for id_ in page]
        return httpx.Response(200, content=json.dumps(shown))

    async def read(self, *, trail: Sequence[str] = (), over: bool = False) -> StepList:
        run = FollowedRun(id="r", created_ns=0, first_seen=0.0, last_news=0.0, over_since=1.0 if over else None)
        cursor = trail[-1] if trail else None
        return await read_steps(self.source, run.model_copy(update={"trail": tuple(trail), "cursor": cursor}))


def ids(count: int) -> list[str]:
    return [f"step-{number}" for number in range(count)]


async def test_a_first_page_proves_nothing() -> None:
    server = Steps(3)
    read = await server.read()
    assert (read.page.order, read.ended, server.requests) == (("step-0", "step-1", "step-2"), False, 1)


async def test_an_empty_page_is_the_end() -> None:
    server = Steps(0)
    assert (await server.read()).ended
    assert server.requests == 1


async def test_what_is_all_delivered_is_read_to_its_end() -> None:
    server = Steps(12)
    read = await server.read(trail=ids(12)[-8:], over=True)
    assert read.ended
    assert server.requests == 2


async def test_the_proof_is_an_empty_page() -> None:
    server = Steps(3)
    read = await proven(server.source, "r", await server.read(), None)
    assert (len(read.page.order), read.ended, server.requests) == (3, True, 2)


async def test_the_proof_brings_what_was_cut_off() -> None:
    server = Steps(5, cap=3)
    read = await proven(server.source, "r", await server.read(), None)
    assert (len(read.page.order), read.ended, server.requests) == (5, False, 2), "the second may be cut too"


async def test_a_page_that_goes_on_is_no_end() -> None:
    server = Steps(1500)
    read = await proven(server.source, "r", await server.read(), None)
    assert (read.more, read.ended, server.requests) == (True, False, 1)


async def test_the_last_step_is_a_proof_for_it_alone_has_a_stop_reason() -> None:
    server = Steps(3, stopped={"step-2": "end_turn"})
    read = await proven(server.source, "r", await server.read(), None)
    assert (len(read.page.order), read.ended, server.requests) == (3, True, 1)


async def test_what_is_all_delivered_need_not_be_read_past_the_last_step() -> None:
    server = Steps(12, stopped={"step-11": "max_tokens_exceeded"})
    read = await server.read(trail=ids(12)[-8:], over=True)
    assert (len(read.page.order), server.requests) == (7, 1)
    assert (await proven(server.source, "r", read, None)).ended
    assert server.requests == 1


async def test_a_page_that_may_go_on_is_read_past_a_stop_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.source.pager._USUAL_CAPS", frozenset({3}))
    server = Steps(7, cap=3, stopped={"step-2": "end_turn"})
    read = await server.read(trail=ids(3), over=True)
    assert (len(read.page.order), read.more, server.requests) == (6, True, 2)


@pytest.mark.parametrize("stopped", [{"step-1": "end_turn"}, {"step-0": "end_turn", "step-2": "end_turn"}])
async def test_a_stop_reason_is_no_proof_where_another_step_has_it(stopped: dict[str, object]) -> None:
    server = Steps(5, cap=3, stopped=stopped)
    read = await proven(server.source, "r", await server.read(), None)
    assert (len(read.page.order), read.ended, server.requests) == (5, False, 2)


async def test_a_last_step_that_cannot_be_read_is_no_proof() -> None:
    server = Steps(3, stopped={"step-1": "end_turn"})
    server.tags = {"step-2": "no list"}
    read = await server.read()
    assert [lost.id for lost in read.page.malformed] == ["step-2"]
    assert (await proven(server.source, "r", read, None)).ended
    assert server.requests == 2


@pytest.mark.parametrize(("count", "asked"), [(3, False), (2, True), (4, True), (0, True), (None, True)])
async def test_the_runs_own_count_is_a_proof_where_it_is_the_same(count: int | None, *, asked: bool) -> None:
    server = Steps(3)
    read = await proven(server.source, "r", await server.read(), RunMetrics(id="r", num_steps=count))
    assert read.ended
    assert server.requests == (2 if asked else 1)


async def test_a_count_that_is_a_servers_cap_is_no_proof() -> None:
    server = Steps(61, cap=50)
    read = await proven(server.source, "r", await server.read(), RunMetrics(id="r", num_steps=50))
    assert not read.ended, "0.16.8 counts no further than 50"


async def test_a_count_is_no_proof_for_the_rest_of_a_run() -> None:
    server = Steps(12)
    read = await server.read(trail=ids(2))
    assert read.start == ReadFrom("step-1")
    assert (await proven(server.source, "r", read, RunMetrics(id="r", num_steps=10))).ended
    assert server.requests == 2


async def test_a_step_that_is_deleted_before_the_proof_leaves_it_to_the_next_visit() -> None:
    server = Steps(3)
    read = await server.read()
    server.rows = ["step-0"]
    assert await proven(server.source, "r", read, None) == read


async def test_a_lost_cursor_is_read_on_from_what_is_left() -> None:
    server = Steps(5)
    server.rows = ["step-0", "step-1", "step-4"]
    read = await server.read(trail=ids(4))
    assert (read.start, read.page.order) == (ReadFrom("step-1"), ("step-4",))


async def test_where_no_step_is_left_there_is_no_more_to_come() -> None:
    server = Steps(0)
    assert (await server.read(trail=ids(4))).ended
