"""An hour and a day without Letta, without the backend, without both: by a turned clock."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator

import httpx
import pytest
from bridge_world import Bridge, World
from faults.letta import LettaSide, raises
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, ticks

from bridge.export.answers import Accepted, Retryable

HOUR, DAY = 3600.0, 86_400.0
_WORK_EVERY = 600.0  # seconds between two messages to an agent meanwhile
_TICK = 15.0
_MOST_AN_HOUR = 100  # attempts: the backoff goes up to a minute
_MOST_MEMORY = 2 << 20  # bytes that a batch and its surroundings may take more than before


def outage(side: str, lasts: float) -> object:
    length = "a day" if lasts == DAY else "an hour"
    return pytest.param(lasts, marks=pytest.mark.fault(side, f"away for {length}"), id=length.replace(" ", "-"))


@contextlib.contextmanager
def away(world: World) -> Iterator[None]:
    """No backend."""
    world.sink.answer = lambda _: Retryable("http://backend.test: Connection refused")
    yield
    world.sink.answer = lambda _: Accepted()


def refused(letta: LettaSide) -> contextlib.AbstractContextManager[object]:
    """No Letta; its runs go on being written, by a server that only the bridge cannot reach."""
    return letta.fault("/", raises(httpx.ConnectError("Connection refused")))


async def lasting(world: World, bridge: Bridge, seconds: float) -> int:
    """Let the time pass, with work; returns by how many bytes the memory in use grew after the first tenth of it."""
    begun = world.clock.time
    base = 0
    while (passed := world.clock.time - begun) < seconds:
        if passed % _WORK_EVERY == 0:
            play(world, "text")
        if not base and passed >= seconds / 10:
            base = tracemalloc.get_traced_memory()[0]
        await ticks(world, bridge, 1, every=_TICK)
    return tracemalloc.get_traced_memory()[0] - base


@pytest.mark.parametrize("lasts", [outage("letta", HOUR), outage("letta", DAY)])
async def test_letta_is_away(world: World, letta: LettaSide, lines: Lines, lasts: float) -> None:
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
        with refused(letta):
            before = letta.requests
            await lasting(world, bridge, lasts)
            assert 10 < letta.requests - before <= _MOST_AN_HOUR * lasts / HOUR
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("Letta cannot be reached")


@pytest.mark.parametrize("lasts", [outage("backend", HOUR), outage("backend", DAY)])
async def test_the_backend_is_away(world: World, letta: LettaSide, lines: Lines, lasts: float) -> None:
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
        with away(world):
            play(world, "text")
            await ticks(world, bridge, 4)
            sent, read = len(world.sink.requests), letta.requests
            await lasting(world, bridge, lasts)
            assert 10 < len(world.sink.requests) - sent <= _MOST_AN_HOUR * lasts / HOUR
            assert letta.requests - read < 50, "Letta is the buffer, and is left alone"
            assert len(set(world.sink.requests[sent + 1 :])) == 1, "the one batch, byte for byte"
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("the backend", "Connection refused")


@pytest.mark.fault("backend", "away together with Letta for a day")
async def test_both_are_away(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
        with away(world):
            await lasting(world, bridge, HOUR)
            with refused(letta):
                await lasting(world, bridge, DAY)
            await lasting(world, bridge, HOUR)
        with refused(letta):
            await lasting(world, bridge, HOUR)
        await drained(world, bridge)
        await assert_promise(world, bridge)
    assert len(lines.troubles) == 2, "one line a side"


@pytest.mark.fault("letta", "away for a day, with a restart of the bridge every hour")
async def test_restarts_while_letta_is_away(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
    with refused(letta):
        for _ in range(24):
            async with world.bridge() as bridge:
                await lasting(world, bridge, HOUR)
    async with world.bridge() as bridge:
        await drained(world, bridge)
        await assert_promise(world, bridge)


@pytest.mark.fault("backend", "away for an hour: memory stays flat")
async def test_memory_stays_flat_while_the_backend_is_away(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        play(world, *["multi_step"] * 20)
        await ticks(world, bridge, 2)
        with away(world):
            world.sink.requests = _Counted()
            tracemalloc.start()
            try:
                grown = await lasting(world, bridge, HOUR)
            finally:
                tracemalloc.stop()
        assert grown < _MOST_MEMORY
        await drained(world, bridge)
        await assert_promise(world, bridge)


class _Counted(list[bytes]):
    """Forgets what it is given: here it is the bridge's memory that counts."""

    def append(self, _: bytes) -> None:
        return
