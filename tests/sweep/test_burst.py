"""Many runs at once: what they cost the ticks after them, and that none is lost though few pages are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import httpx
import pytest
from bridge_world import START, Bridge, World
from test_requests import LONG_AGO, RUN, RUN_LIST, enter

from bridge.demo.standin.rows import Table

ONE_MINUTE = 12  # ticks, of which one walks down to the end of the overlap
OLD = "run-00000000-0000-4000-8000-0000000000"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ["BRIDGE_WATCH_FOR"] = "0"
    world.environ["BRIDGE_STEP_DURATIONS"] = "false"
    return world


class SlowTransport(httpx.AsyncBaseTransport):
    """Half a second of the bridge's clock for each answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport, world: World) -> None:
        self._inner, self._world = inner, world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._world.clock.time += 0.5
        return await self._inner.handle_async_request(request)


def add_old_runs(world: World, *, at: float) -> None:
    """Two runs that end the overlap: the list goes on below it."""
    for number in range(2):
        world.store.put(Table.RUNS, f"{OLD}0{number}", {"status": "completed"}, created_at=at, visible_at=at)


async def per_tick(world: World, bridge: Bridge, ticks: int) -> list[Counter[str]]:
    """What each of the next ticks asks for."""
    asked = []
    for _ in range(ticks):
        world.requests.clear()
        await bridge.sweep()
        asked.append(Counter(world.requests))
    return asked


@pytest.fixture
def small_pages() -> Iterator[None]:
    """A tenth of the usual ones."""
    with mock.patch.multiple("bridge.sweep.discovery", _FIRST_PAGE=10, FULL_PAGE=100):
        yield


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("runs", "most"), [(9, 1), (45, 1), (120, 2)])
@pytest.mark.parametrize("apart", [0.0, 1.0])
async def test_a_tick_after_a_burst_costs_a_request_and_of_more_than_a_full_page_another_once_a_minute(
    world: World, runs: int, most: int, apart: float
) -> None:
    add_old_runs(world, at=START - 3600)
    enter(world, runs=runs, steps=0, at=START - 200, apart=apart)
    async with world.bridge() as bridge:
        await bridge.drain()
        await bridge.sweep(times=ONE_MINUTE)
        asked = await per_tick(world, bridge, 3 * ONE_MINUTE)
    assert all(set(each) == {RUN_LIST} for each in asked)
    assert max(each[RUN_LIST] for each in asked) == most
    assert sum(each[RUN_LIST] for each in asked) == 3 * (ONE_MINUTE + most - 1)


@pytest.mark.usefixtures("small_pages")
async def test_a_zombie_among_them_costs_its_listing_and_no_page_more(world: World) -> None:
    add_old_runs(world, at=START - 3600)
    enter(world, runs=45, steps=0, at=START - 200, apart=1.0)
    world.store.put(Table.RUNS, OLD + "99", {"agent_id": None}, created_at=START - 199, visible_at=START - 199)
    async with world.bridge() as bridge:
        await bridge.sweep(times=10 * ONE_MINUTE)
        asked = await per_tick(world, bridge, 3 * ONE_MINUTE)
    assert max(each[RUN_LIST] for each in asked) == 2


async def test_a_short_list_is_not_walked_to_its_end_in_every_tick(world: World) -> None:
    enter(world, runs=30, steps=0, at=START - 200, apart=1.0)
    async with world.bridge() as bridge:
        await bridge.drain()
        await bridge.sweep(times=ONE_MINUTE)
        asked = await per_tick(world, bridge, ONE_MINUTE)
    assert sum(each[RUN_LIST] for each in asked) == ONE_MINUTE + 1, "once a minute an empty page proves its end"


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("late", "apart"), [(10.0, 0.3), (100.0, 3.0), (299.5, 8.0)])
async def test_a_run_that_shows_up_late_below_many_others_is_found_within_a_minute(
    world: World, late: float, apart: float
) -> None:
    add_old_runs(world, at=START - 3600)
    over = {"status": "completed", "stop_reason": "end_turn"}
    world.store.put(Table.RUNS, OLD + "99", over, created_at=START + 1, visible_at=START + 1 + late)
    enter(world, runs=65, steps=0, at=START - 12 * apart, apart=apart)
    async with world.bridge() as bridge:
        while world.clock.time < START + 1 + late:
            await bridge.sweep()
        await bridge.sweep(times=ONE_MINUTE + 1)
        assert await bridge.ledger.run(OLD + "99")


async def test_runs_that_wait_for_their_visit_are_shown_by_the_page(world: World) -> None:
    """A slow server: a sweep leaves most of a backlog to the next ones, and those have read no row of theirs."""
    world.environ["BRIDGE_LETTA_CONCURRENCY"] = "1"
    enter(world, runs=180, steps=1, at=LONG_AGO, apart=10.0)
    world.wrap_transport = lambda transport: SlowTransport(transport, world)
    async with world.bridge() as bridge:
        sweeps = 0
        while (await bridge.ledger.open_runs()).by_status or not sweeps:
            sweeps += 1
            await bridge.sweep()
        assert await bridge.total("letta.runs") == 180
    asked = Counter(world.requests)
    assert sweeps > 3
    assert asked[RUN] <= sweeps, "the newest of those that wait is not on the page below it"
    assert asked[RUN_LIST] <= 3 * sweeps
