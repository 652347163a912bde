"""Where the sweeps stand, as the service tells the status page."""

from pathlib import Path

import httpx
import pytest
from bridge_world import START, TICK, World

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer
from bridge.status.watched import Standing


class Breaks(httpx.AsyncBaseTransport):
    """Answers 500 to whatever has `part` in its path."""

    def __init__(self, inner: httpx.AsyncBaseTransport, part: str) -> None:
        self._inner = inner
        self._part = part

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._part in request.url.path:
            return httpx.Response(500, request=request)
        return await self._inner.handle_async_request(request)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_before_the_first_sweep(world: World) -> None:
    async with world.bridge() as bridge:
        assert bridge.service.watched().standing() == Standing(caught_up_at=START)


async def test_after_a_sweep_that_went_well(world: World) -> None:
    async with world.bridge() as bridge:
        await bridge.sweep(times=3)
        last = START + 2 * TICK
        assert bridge.service.watched().standing() == Standing(caught_up_at=last, swept_at=last)


async def test_a_sweep_under_way_says_since_when(world: World) -> None:
    async with world.bridge() as bridge:
        standing = bridge.service.watched().standing
        seen: list[Standing] = []

        def answer(_: bytes) -> Answer:
            seen.append(standing())
            return Accepted()

        world.sink.answer = answer
        recording.load("text").play(world.store, START - 60)
        await bridge.drain()
        assert seen
        assert all(one.sweeping_since is not None for one in seen)
        assert standing().sweeping_since is None


async def test_a_side_that_failed_is_tried_again_at_a_time_that_is_known(world: World) -> None:
    world.wrap_transport = lambda inner: Breaks(inner, "/v1/runs/")
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        standing = bridge.service.watched().standing()
        assert standing.retry_at is not None
        assert 0 < standing.retry_at - START < 10
        assert (standing.caught_up_at, standing.swept_at) == (START, START)


async def test_a_run_that_cannot_be_read_is_named_with_the_reason(world: World) -> None:
    for name in ("text", "tool_ok"):
        recording.load(name).play(world.store, START - 60)
    broken, *_ = (row.id for row in world.store.rows(Table.RUNS))
    world.wrap_transport = lambda inner: Breaks(inner, f"{broken}/steps")
    async with world.bridge() as bridge:
        await bridge.sweep(times=2)
        postponed = bridge.service.watched().standing().postponed
        assert list(postponed) == [broken]
        assert "500" in postponed[broken]
