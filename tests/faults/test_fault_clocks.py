"""Clocks that disagree, jump, or are not told; and what is asked to wait for how long."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from bridge_world import START, World
from faults.letta import RUN_LIST, LettaSide, dated, says
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, ticks

from bridge.export.answers import Accepted, Retryable

HOUR = 3600.0
AHEAD = [
    pytest.param(HOUR, marks=pytest.mark.fault("clock", "Letta's is an hour ahead"), id="ahead"),
    pytest.param(-HOUR, marks=pytest.mark.fault("clock", "Letta's is an hour behind"), id="behind"),
]


def without_date(headers: httpx.Headers) -> None:
    headers.pop("date", None)


def says_date(text: str) -> Callable[[httpx.Headers], None]:
    return lambda headers: headers.update({"date": text})


ODD_DATES = {
    "no Date header": without_date,
    "a Date header of garbage": says_date("yesterday, about tea time"),
    "a Date header that overflows": says_date("Thu, 01 Jan 1970 00:00:00 +99999999999999"),
    "a Date header without a zone": says_date("Fri, 15 Jan 2027 08:00:00 -0000"),
    "a Date header of 1970": says_date("Thu, 01 Jan 1970 00:00:00 GMT"),
    "a Date header of the year 9999": says_date("Fri, 31 Dec 9999 23:59:59 GMT"),
}
DATES = [pytest.param(change, marks=pytest.mark.fault("clock", kind), id=kind) for kind, change in ODD_DATES.items()]


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("start_from", ["now", "beginning"])
async def test_clocks_an_hour_apart(world: World, lines: Lines, ahead: float, start_from: str) -> None:
    world.environ["BRIDGE_START_FROM"] = start_from
    world.lettas_clock.ahead = ahead
    async with world.bridge() as bridge:
        await ticks(world, bridge, 1)
        play(world, "tool_ok", "llm_500", "multi_step", at=START + ahead + 10)
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.parametrize("ahead", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("change", DATES)
async def test_dates_that_tell_nothing(
    world: World, letta: LettaSide, lines: Lines, change: Callable[[httpx.Headers], None], ahead: float
) -> None:
    world.lettas_clock.ahead = ahead
    with letta.fault("/", dated(change)):
        async with world.bridge() as bridge:
            for _ in range(4):
                play(world, "tool_ok", "text", at=world.clock.time + ahead)
                await ticks(world, bridge, 3)
            await drained(world, bridge)
            await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("clock", "Letta's is set by an hour while runs are in flight")
@pytest.mark.parametrize(
    ("ahead", "dates"),
    [(HOUR, True), (-HOUR, True), (HOUR, False)],  # set back and never told: nobody could know
)
async def test_lettas_clock_is_set(
    world: World, letta: LettaSide, lines: Lines, ahead: float, *, dates: bool
) -> None:
    with letta.fault("/", dated(without_date if not dates else lambda _: None)):
        async with world.bridge() as bridge:
            play(world, "tool_ok", "multi_step")
            await ticks(world, bridge, 10)
            world.lettas_clock.ahead = ahead
            world.clock.time += 1
            play(world, "tool_ok", "llm_500", at=world.clock.time + ahead)
            await ticks(world, bridge, 10)
            world.lettas_clock.ahead = 0.0
            play(world, "text")
            await drained(world, bridge)
            await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("clock", "the bridge's own is set forward by an hour")
async def test_the_bridges_clock_is_set_forward(world: World, lines: Lines) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "6h"
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
        world.clock.time += HOUR
        world.lettas_clock.ahead = -HOUR
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("clock", "the bridge's own is set back by an hour")
async def test_the_bridges_clock_is_set_back(world: World, lines: Lines) -> None:
    async with world.bridge() as bridge:
        play(world, "tool_ok", "multi_step")
        await ticks(world, bridge, 2)
        world.clock.time -= HOUR
        world.lettas_clock.ahead = HOUR
        await ticks(world, bridge, 20)
        assert world.delivered("invoke_agent", "letta.run.id"), "an hour of waiting for nothing"
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.parametrize(
    ("header", "least"),
    [
        pytest.param("120", 120.0, marks=pytest.mark.fault("letta", "429 with Retry-After in seconds"), id="seconds"),
        pytest.param(
            "Fri, 15 Jan 2027 08:02:15 GMT",
            115.0,
            marks=pytest.mark.fault("letta", "429 with Retry-After as a date"),
            id="date",
        ),
        pytest.param(
            "9" * 30, 3500.0, marks=pytest.mark.fault("letta", "429 with a Retry-After past all time"), id="absurd"
        ),
        pytest.param(
            "soon", 0.0, marks=pytest.mark.fault("letta", "429 with a Retry-After of garbage"), id="garbage"
        ),
        pytest.param("-5", 0.0, marks=pytest.mark.fault("letta", "429 with a Retry-After before now"), id="past"),
    ],
)
async def test_letta_asks_to_wait(world: World, letta: LettaSide, lines: Lines, header: str, least: float) -> None:
    async with world.bridge() as bridge:
        await ticks(world, bridge, 3)
        busy = letta.fault(RUN_LIST, says(429, headers={"retry-after": header}), times=1)
        with busy:
            play(world, "tool_ok")
            await ticks(world, bridge, 1)
            asked, since = letta.requests, world.clock.time
            while letta.requests == asked:
                await ticks(world, bridge, 1)
                assert world.clock.time - since < 2 * HOUR, "silenced for good"
        assert world.clock.time - since >= least, "asked again before it was asked to"
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("Letta", "429")


@pytest.mark.fault("backend", "a Retry-After past all time")
async def test_a_backend_cannot_silence_the_bridge_for_good(world: World, lines: Lines) -> None:
    async with world.bridge() as bridge:
        world.sink.answer = lambda _: Retryable("busy", retry_after=1e12)
        play(world, "tool_ok")
        await ticks(world, bridge, 20)
        world.sink.answer = lambda _: Accepted()
        world.clock.time += HOUR
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("the backend", "busy", "again_in_seconds=3600")
