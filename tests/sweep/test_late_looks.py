"""Looks at closed runs: how many, how often, within which budget, and what becomes of those that fail."""

from pathlib import Path

import httpx
import pytest
from bridge_world import START, World
from late_world import DAY, HOUR, MINUTE, changes, events, pass_time, play, said, sent, the, waiting

from bridge.demo.standin.rows import Table
from bridge.follow.state import Phase

STEPS = "/v1/runs/{id}/steps"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_quiet_server_whose_runs_are_all_past_the_watch_costs_two_requests_a_tick(world: World) -> None:
    for number in range(30):
        play(world, "text", at=START - 9 * DAY + 60 * number)
    play(world, "server_killed", at=START - 9 * DAY)
    world.environ["BRIDGE_STALE_AFTER"] = "1m"
    await sent(world)
    world.clock.time += 8 * DAY
    async with world.bridge() as bridge:
        await bridge.sweep(times=200)  # what is still due from the days that nobody was there
        world.requests.clear()
        await bridge.sweep(times=20)
    assert world.requests == ["/v1/runs/"] * 2 * 20


async def test_a_run_is_looked_at_about_a_dozen_times_a_week(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.requests.clear()
    await pass_time(world, 3 * HOUR, every=5 * MINUTE)
    await pass_time(world, 9 * DAY, every=2 * HOUR)
    assert 9 <= world.requests.count(STEPS) <= 13


async def test_nothing_is_looked_at_again_when_nothing_is_to_be_watched(world: World) -> None:
    world.environ["BRIDGE_WATCH_FOR"] = "0"
    play(world, "text")
    await sent(world)
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive"})
    world.requests.clear()
    await pass_time(world, DAY, every=HOUR)
    assert world.requests.count(STEPS) == 0
    assert changes(world) == []


async def test_a_dormant_run_that_ends_past_the_end_of_the_active_list_is_followed_again(world: World) -> None:
    world.wrap_transport = lambda letta: CapsPages(letta, 20)
    world.environ["BRIDGE_STALE_AFTER"] = "1m"
    (run,) = play(world, "server_killed")
    for number in range(1, 22):
        play(world, "server_killed", at=START + number)
    await sent(world)
    world.store.put(Table.RUNS, run, {"status": "failed", "stop_reason": "error"})
    await pass_time(world, HOUR, every=MINUTE)
    (event,) = events(world, "letta.run.changed")
    assert (said(event)["letta.run.id"], said(event)["letta.run.status"]) == (run, "failed")


async def test_looks_take_a_fifth_of_the_request_budget(world: World) -> None:
    for number in range(40):
        play(world, "text", at=START + number)
    await sent(world)
    world.clock.time += HOUR
    world.environ["BRIDGE_LETTA_REQUESTS_PER_SECOND"] = "100"
    world.environ["BRIDGE_POLL_INTERVAL"] = "200ms"
    async with world.bridge() as bridge:
        await bridge.sweep()
        spent = []
        for _ in range(6):
            world.requests.clear()
            await bridge.sweep()
            spent.append(len(world.requests) - world.requests.count("/v1/runs/"))
    assert sum(spent) == 4 * len(spent), spent
    assert max(spent) <= 5


async def test_a_sweep_that_has_runs_to_visit_first_looks_at_none(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.clock.time += HOUR
    for number in range(150):
        play(world, "text", at=world.clock.time - 60 + number / 10)
    world.environ["BRIDGE_AGENT_NAMES"] = "false"
    async with world.bridge() as bridge:
        bridge.service._sweep._limits = bridge.service._sweep._limits.__class__(4, 0.0, look_requests=100)
        report = await bridge.service.sweep()
        assert report.left
        looks = await bridge.ledger.looks(now=world.clock.time, limit=10)
        assert len(looks) == 1, "it is still to come"


async def test_a_run_that_is_gone_is_dropped_from_the_watch_without_a_word(world: World) -> None:
    (run,) = play(world, "text")
    await sent(world)
    world.store.delete_agent(the(world, Table.AGENTS).id)
    world.clock.time += HOUR
    await pass_time(world, 0)
    async with world.bridge() as bridge:
        followed = await bridge.ledger.run(run)
        assert followed is not None
        assert (followed.phase, followed.keep_until) == (Phase.CLOSED, 0.0)
    assert changes(world) == []
    assert await waiting(world) == 0


class CapsPages(httpx.AsyncBaseTransport):
    """Gives no more rows a page than so many, whatever was asked for."""

    def __init__(self, inner: httpx.AsyncBaseTransport, rows: int) -> None:
        self._inner = inner
        self._rows = rows

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "limit" in request.url.params:
            limit = min(int(request.url.params["limit"]), self._rows)
            request.url = request.url.copy_set_param("limit", limit)
        return await self._inner.handle_async_request(request)


class Breaks(httpx.AsyncBaseTransport):
    """Answers 500 for one path."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.path = "none"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.path in request.url.path:
            return httpx.Response(500, json={"detail": "An unknown error occurred"})
        return await self._inner.handle_async_request(request)


async def test_a_look_that_fails_costs_no_other_and_comes_again(world: World) -> None:
    broken, whole = *play(world, "text"), *play(world, "tool_ok", at=START + 1)
    await sent(world)
    for step in world.store.rows(Table.STEPS):
        world.store.put(Table.STEPS, step.id, {"feedback": "positive"})
    steps = {row.id for row in world.store.rows(Table.STEPS) if row.fields["run_id"] == whole}
    world.clock.time += HOUR
    breaks: list[Breaks] = []

    def through(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        breaks.append(Breaks(inner))
        breaks[-1].path = broken
        return breaks[-1]

    world.wrap_transport = through
    async with world.bridge() as bridge:
        report = await bridge.service.sweep()
        assert report.problem is None
        assert len(events(world, "gen_ai.evaluation.result")) == len(steps)
        breaks[-1].path = "none"
        world.clock.time += 3 * HOUR
        await bridge.service.sweep()
        assert len(events(world, "gen_ai.evaluation.result")) == len(steps) + 1


async def test_a_tombstone_is_small(world: World) -> None:
    runs = [run for name in ("text", "multi_step", "tool_ok") for run in play(world, name)]
    async with world.bridge() as bridge:
        await bridge.drain()
        for run in runs:
            followed = await bridge.ledger.run(run)
            assert followed is not None
            assert len(followed.model_dump_json(exclude_defaults=True)) < 650
