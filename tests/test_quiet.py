"""What a person finds in the log after a day: nothing of a quiet one, each problem once, a line a minute at most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridge_world import Bridge, World, spans_in
from structlog.testing import capture_logs

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer, PartlyRejected, Refused, Retryable, Unsupported

MINUTE, HOUR = 60, 3600
DAY = 24 * HOUR

Line = MutableMapping[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Life:
    """A service that ticks by the turned clock, and what it says from its first sweep on."""

    def __init__(self, world: World, bridge: Bridge) -> None:
        self._world = world
        self._service = bridge.service
        self.lines: list[tuple[float, Line]] = []

    async def goes_on(
        self, seconds: float, *, tick: float = 5, first: Callable[[float], None] = lambda _: None
    ) -> Sequence[Line]:
        """Tick for so long, exporting the metrics every minute; `first` is called before each tick."""
        clock, began = self._world.clock, self._world.clock.time
        exported = began
        said: list[Line] = []
        while clock.time < began + seconds:
            first(clock.time - began)
            with capture_logs() as found:
                await self._service.tick()
                if clock.time - exported >= MINUTE:
                    exported = clock.time
                    await self._service.export_metrics()
            shown = [line for line in found if line["log_level"] != "debug"]
            said += shown
            self.lines += [(clock.time, line) for line in shown]
            clock.time += tick
        return said


@asynccontextmanager
async def living(world: World) -> AsyncIterator[Life]:
    async with world.bridge() as bridge:
        life = Life(world, bridge)
        (first,) = await life.goes_on(1)
        assert first["event"] == "Letta answers"
        life.lines.clear()
        yield life


def play(world: World, name: str, *, ago: float = 0) -> None:
    recording.load(name).play(world.store, world.clock.now() - ago)


def every(seconds: float, play_one: Callable[[], None]) -> Callable[[float], None]:
    return lambda passed: play_one() if passed % seconds == 0 else None


def others(lines: Sequence[Line]) -> list[str]:
    """All but the lines of progress."""
    return [line["event"] for line in lines if line["event"] != "sent"]


async def test_an_idle_day_is_not_worth_a_word(world: World) -> None:
    async with living(world) as life:
        assert await life.goes_on(DAY, tick=MINUTE) == []


async def test_a_busy_quarter_of_an_hour_is_a_line_a_minute_at_most(world: World) -> None:
    async with living(world) as life:
        said = await life.goes_on(15 * MINUTE, first=every(20, lambda: play(world, "tool_ok")))
        assert others(said) == []
        assert 8 <= len(said) <= 15
        moments = [at for at, _ in life.lines]
        assert all(later - earlier >= MINUTE for earlier, later in pairwise(moments))
        assert sum(line["spans"] for line in said) >= len(world.sink.accepted) - 30


async def test_letta_down_for_an_hour_is_a_line_at_each_end(world: World) -> None:
    async with living(world) as life:
        world.letta.database_down = True
        (begun,) = await life.goes_on(HOUR)
        world.letta.database_down = False
        (ended,) = await life.goes_on(HOUR)
        assert (begun["log_level"], begun["waiting_for"]) == ("warning", "Letta")
        assert "doctor" in begun["meanwhile"]
        assert ended["event"] == "all is well again"
        assert 40 <= ended["failures"] <= 120  # backed off from, up to a minute
        assert HOUR <= ended["for_seconds"] <= HOUR + 2 * MINUTE


async def test_a_key_that_stops_working_is_an_error_that_says_what_to_set(world: World) -> None:
    async with living(world) as life:
        world.letta.api_key = "another"
        (begun,) = await life.goes_on(HOUR)
        assert begun["log_level"] == "error"
        assert "LETTA_API_KEY" in begun["event"]


async def test_a_backend_down_for_an_hour_is_a_line_at_each_end_for_spans_and_for_metrics(world: World) -> None:
    async with living(world) as life:
        world.sink.answer = world.sink.answer_metrics = lambda _: Retryable("POST /v1/traces: connection refused")
        begun = await life.goes_on(HOUR, tick=10, first=every(300, lambda: play(world, "tool_ok")))
        world.sink.answer = world.sink.answer_metrics = lambda _: Accepted()
        ended = await life.goes_on(10 * MINUTE, tick=10)
        assert len(others(begun)) == 2
        assert sorted(others(ended)) == ["all is well again", "metrics are taken again"]
        assert all(line["for_seconds"] >= HOUR - 2 * MINUTE for line in ended if line["event"] != "sent")


async def test_a_backend_that_flaps_every_ten_seconds_is_a_few_lines_and_not_two_for_each_flap(world: World) -> None:
    def flap(passed: float) -> None:
        down = passed % 10 < 5
        world.sink.answer = lambda _: Retryable("connection refused") if down else Accepted()
        if passed % 20 == 0:
            play(world, "text", ago=600)

    async with living(world) as life:
        said = others(await life.goes_on(20 * MINUTE, tick=2.5, first=flap))
        assert said == ["connection refused", "all is well again", "connection refused"]
        world.sink.answer = lambda _: Accepted()
        (ended,) = [line for line in await life.goes_on(20 * MINUTE, tick=10) if line["event"] != "sent"]
        assert ended["failures"] > 20


class Breaks(httpx.AsyncBaseTransport):
    """One run's steps are an error."""

    def __init__(self, inner: httpx.AsyncBaseTransport, run: Callable[[], str]) -> None:
        self._inner = inner
        self._run = run

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == f"/v1/runs/{self._run()}/steps":
            return httpx.Response(500, json={"detail": "An unknown error occurred"}, request=request)
        return await self._inner.handle_async_request(request)


async def test_a_run_that_cannot_be_read_is_said_once_while_others_go_on(world: World) -> None:
    broken = ""
    world.wrap_transport = lambda inner: Breaks(inner, lambda: broken)
    async with living(world) as life:
        play(world, "text", ago=600)
        (row,) = world.store.rows(Table.RUNS)
        broken = row.id
        said = await life.goes_on(3 * HOUR, tick=30, first=every(900, lambda: play(world, "text")))
        (line,) = [line for line in said if line["event"] != "sent"]
        assert line["run"] == broken
        assert "Letta's log" in line["event"]
        assert line["reason"]


async def test_what_every_batch_has_rejected_is_a_line_an_hour_with_how_often(world: World) -> None:
    world.sink.answer = lambda _: PartlyRejected(1, "attribute too long")
    async with living(world) as life:
        said = await life.goes_on(2 * HOUR + 60, tick=30, first=every(300, lambda: play(world, "text")))
        rejected = [line for line in said if line["event"] != "sent"]
        assert 1 <= len(rejected) <= 3
        assert all("dead-letters" in line["event"] and line["reason"] for line in rejected)


async def test_what_is_refused_for_good_again_and_again_is_a_line_an_hour_with_how_often(world: World) -> None:
    def bad(payload: bytes) -> Answer:
        return Refused("bad span") if any(span.name.startswith("chat") for span in spans_in(payload)) else Accepted()

    world.sink.answer = bad
    async with living(world) as life:
        said = await life.goes_on(2 * HOUR + 60, tick=30, first=every(300, lambda: play(world, "text")))
        refused = [line for line in said if line["event"] != "sent"]
        assert 2 <= len(refused) <= 3
        assert refused[1]["times"] >= 11
        assert all("dead-letters" in line["event"] and line["log_level"] == "error" for line in refused)


async def test_a_backend_without_log_events_is_said_once(world: World) -> None:
    world.sink.answer_logs = lambda _: Unsupported("404 at /v1/logs")
    async with living(world) as life:
        said = await life.goes_on(2 * HOUR, tick=30, first=every(300, lambda: play(world, "llm_500")))
        (event,) = others(said)
        assert "OTEL_LOGS_EXPORTER=none" in event


async def test_log_events_that_are_refused_for_good_are_a_line_an_hour(world: World) -> None:
    world.sink.answer_logs = lambda _: Refused("400")
    async with living(world) as life:
        said = await life.goes_on(2 * HOUR, tick=30, first=every(300, lambda: play(world, "llm_500")))
        assert 1 <= len(others(said)) <= 3


async def test_runs_that_are_deleted_while_they_go_on_are_a_line_an_hour(world: World) -> None:
    def one_more(passed: float) -> None:
        if passed % 300 == 0:
            play(world, "server_killed")
        elif passed % 300 == 60:
            for row in world.store.rows(Table.AGENTS):
                world.store.delete_agent(row.id)

    async with living(world) as life:
        said = await life.goes_on(2 * HOUR, tick=30, first=one_more)
        assert 1 <= len(others(said)) <= 2


async def test_what_changes_late_is_for_the_backend_and_not_for_the_log(world: World) -> None:
    def judge(passed: float) -> None:
        if passed % 600 == 0:
            play(world, "text")
            for row in world.store.rows(Table.STEPS)[:5]:
                world.store.put(Table.STEPS, row.id, {"feedback": "positive" if passed % 1200 else "negative"})

    async with living(world) as life:
        said = await life.goes_on(2 * HOUR, tick=30, first=judge)
        assert others(said) == []
        assert world.sink.events
