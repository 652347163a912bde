"""SIGTERM while Letta hangs: what was read is sent and committed, what is being read is dropped, at once."""

import asyncio
from pathlib import Path

import httpx
import pytest
from bridge_world import START, World
from late_world import counted, play

from bridge.demo.standin.rows import Table


class Hanging(httpx.AsyncBaseTransport):
    """Never answers a request whose path has `word` in it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, word: str) -> None:
        self._inner = inner
        self._word = word
        self.hangs = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._word in request.url.path:
            self.hangs.set()
            await asyncio.Event().wait()
        return await self._inner.handle_async_request(request)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ["BRIDGE_LETTA_CONCURRENCY"] = "1"
    return world


def hang(world: World, word: str) -> list[Hanging]:
    made: list[Hanging] = []

    def through(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        made.append(Hanging(inner, word))
        return made[-1]

    world.wrap_transport = through
    return made


async def test_what_was_read_is_sent_and_committed_and_the_rest_dropped(world: World) -> None:
    first, *_ = play(world, "text")
    second, *_ = play(world, "tool_ok", at=START + 1)  # the older one is visited first
    world.clock.time += 60
    made = hang(world, f"/{second}/steps")
    async with world.bridge() as bridge:
        sweep = asyncio.create_task(bridge.service.sweep())
        await asyncio.wait_for(made[0].hangs.wait(), 10)
        bridge.service.stop()
        report = await asyncio.wait_for(sweep, 5)
        assert (report.left, report.stopped, report.problem) == (True, True, None)
    assert world.delivered("agent_step", "letta.run.id") == [first]
    assert await counted(world, "letta.steps", "letta.step.status") == {"success": 1}
    hang(world, "nothing")
    async with world.bridge() as bridge:
        await bridge.drain()
    assert world.delivered("invoke_agent", "letta.run.id") == sorted([first, second])
    assert world.delivered("agent_step", "letta.step.id") == sorted(row.id for row in world.store.rows(Table.STEPS))
    assert sum((await counted(world, "letta.steps", "letta.step.status")).values()) == len(
        world.store.rows(Table.STEPS)
    )


@pytest.mark.parametrize("word", ["/v1/health/", "/v1/runs/"])
async def test_a_server_that_hangs_from_the_start_holds_nothing_up(world: World, word: str) -> None:
    made = hang(world, word)
    async with world.bridge() as bridge:
        tick = asyncio.create_task(bridge.service.tick())
        await asyncio.wait_for(made[0].hangs.wait(), 10)
        bridge.service.stop()
        await asyncio.wait_for(tick, 5)
        assert bridge.service.health.letta.answered_at is None, "nothing is known of it"


async def test_a_look_is_dropped_and_comes_again(world: World) -> None:
    (run,) = play(world, "text")
    async with world.bridge() as bridge:
        await bridge.drain()
    world.store.put(Table.STEPS, world.store.rows(Table.STEPS)[0].id, {"feedback": "positive"})
    world.clock.time += 3600
    made = hang(world, f"/{run}/steps")
    async with world.bridge() as bridge:
        sweep = asyncio.create_task(bridge.service.sweep())
        await asyncio.wait_for(made[0].hangs.wait(), 10)
        bridge.service.stop()
        await asyncio.wait_for(sweep, 5)
    hang(world, "nothing")
    async with world.bridge() as bridge:
        await bridge.service.sweep()
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"positive": 1}


async def test_a_sweep_that_is_cut_off_from_outside_is_not_taken_for_stopped(world: World) -> None:
    play(world, "text")
    world.clock.time += 60
    made = hang(world, "/steps")
    async with world.bridge() as bridge:
        sweep = asyncio.create_task(bridge.service.sweep())
        await asyncio.wait_for(made[0].hangs.wait(), 10)
        sweep.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweep
