"""Letta behind a real socket: connections that break, hang, drip and close."""

from __future__ import annotations

import pytest
from bridge_world import World
from faults import wire
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, survived, ticks

SLOW = {"BRIDGE_LETTA_TIMEOUT": "400ms"}
BREAKS = {
    "a connection reset before the answer": wire.resets,
    "a connection reset in the body": wire.resets_in_the_body,
    "a body shorter than its content-length": wire.ends_in_the_body,
    "a body that ends between two chunks": wire.ends_between_chunks,
    "a connection closed at once": wire.hangs_up_at_once,
    "no answer, ever": wire.never_answers,
    "an answer that stops in the body": wire.hangs_in_the_body,
    "an answer byte by byte": wire.drips,
    "something that speaks no HTTP": wire.speaks_no_http,
    "headers without end": wire.sends_endless_headers,
    "a redirect in circles": wire.redirects_in_circles,
}


@pytest.mark.parametrize(
    "breaks",
    [pytest.param(breaks, marks=pytest.mark.fault("letta", kind), id=kind) for kind, breaks in BREAKS.items()],
)
async def test_a_broken_connection(world: World, lines: Lines, breaks: wire.Breaks) -> None:
    world.environ |= SLOW
    async with wire.Wire(world) as letta, world.bridge() as bridge:
        await survived(world, bridge, letta.fault(breaks))
        await assert_promise(world, bridge)
    lines.assert_one("Letta")


@pytest.mark.fault("letta", "the server is away: connections are refused")
async def test_a_server_that_is_away(world: World, lines: Lines) -> None:
    play(world, "tool_ok", "llm_500")
    async with wire.Wire(world) as letta, world.bridge() as bridge:
        await ticks(world, bridge, 2)
        await letta.hang_up()
        play(world, "text")
        await ticks(world, bridge, 20)
        await letta.listen()
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("Letta cannot be reached", "Connection refused", "Is the server running")


@pytest.mark.fault("letta", "a connection that was closed while it was kept alive")
async def test_connections_closed_while_idle_cost_nothing(world: World, lines: Lines) -> None:
    play(world, "tool_ok", "multi_step")
    async with wire.Wire(world, closing=True) as _, world.bridge() as bridge:
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "an answer that comes twice")
async def test_an_answer_twice_is_not_taken_for_the_next_one(world: World, lines: Lines) -> None:
    async with wire.Wire(world) as letta, world.bridge() as bridge:
        await survived(world, bridge, letta.fault(wire.says_what_nobody_asked))
        await assert_promise(world, bridge)
    lines.assert_quiet()
