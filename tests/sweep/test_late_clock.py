"""The bridge's own clock is set while it runs: nothing stalls, and nothing is closed for time that never passed."""

from pathlib import Path

import pytest
from bridge_world import START, Bridge, World, attribute
from late_world import DAY, HOUR, MINUTE, counted, pass_time, play, sent, the

from bridge.demo.standin.rows import Table

A_FEW_SWEEPS = 12


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def set_clock(world: World, seconds: float) -> None:
    """The bridge's clock alone: Letta's, and the time that rows become visible, go on."""
    world.clock.time += seconds
    world.lettas_clock.ahead -= seconds


async def test_an_open_run_does_not_stall_when_the_clock_is_set_back_an_hour(world: World) -> None:
    play(world, "max_steps")
    async with world.bridge() as bridge:
        await bridge.sweep()
        set_clock(world, -HOUR)
        await bridge.sweep(times=A_FEW_SWEEPS)
    assert world.delivered("agent_step", "letta.step.id") == sorted(row.id for row in world.store.rows(Table.STEPS))
    assert len(world.spans("invoke_agent")) == 1


async def test_a_final_step_that_waits_does_not_wait_an_hour_more(world: World) -> None:
    play(world, "text")
    world.store._coming = [change for change in world.store._coming if change.visible_at < START + 1]
    async with world.bridge() as bridge:
        await bridge.sweep()
        world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"status": "success"})
        await bridge.sweep()
        set_clock(world, -HOUR)
        await bridge.sweep(times=A_FEW_SWEEPS)
    assert len(world.spans("agent_step")) == 1, "its stop reason never came"


async def test_after_an_outage_the_next_sweep_does_not_wait_an_hour(world: World) -> None:
    play(world, "text")
    async with world.bridge() as bridge:
        world.letta.database_down = True
        await bridge.service.tick()
        world.letta.database_down = False
        set_clock(world, -HOUR)
        world.requests.clear()
        await bridge.service.tick()
        assert world.requests


async def test_a_leap_of_an_hour_and_back_closes_nothing_as_stale(world: World) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "30m"
    play(world, "server_killed")
    async with world.bridge() as bridge:
        await bridge.sweep(times=A_FEW_SWEEPS)
        set_clock(world, HOUR)
        await bridge.sweep(times=A_FEW_SWEEPS)
        assert world.spans("invoke_agent") == []
        set_clock(world, -HOUR)
        await bridge.sweep(times=A_FEW_SWEEPS)
        assert world.spans("invoke_agent") == []
        await quiet(world, bridge, 25 * MINUTE)
        assert world.spans("invoke_agent") == []
        await quiet(world, bridge, 10 * MINUTE)
        assert len(world.spans("invoke_agent")) == 1, "half an hour of its own has passed now"


async def test_a_leap_of_an_hour_costs_no_step_its_messages_and_lengths(world: World) -> None:
    play(world, "multi_step")
    coming = sorted(world.store._coming)
    _, second, *_ = dict.fromkeys(change.id for change in coming if change.table is Table.STEPS)
    world.clock.time += 0.3
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        # The first step is final, and its run goes on.
        world.clock.time = min(change.visible_at for change in coming if change.id == second) + 0.01
        set_clock(world, HOUR)
        await bridge.service.sweep()
        assert world.spans("agent_step")
        await bridge.drain()
    assert {attribute(span, "letta.timing") for span in world.spans("agent_step")} == {"reconstructed"}
    assert len(world.spans("execute_tool")) == 4


async def test_a_clock_that_is_set_while_a_run_is_watched_tells_nothing_twice(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive"})
    for leap in (HOUR, -2 * HOUR, HOUR):
        await pass_time(world, 30 * MINUTE, every=MINUTE)
        set_clock(world, leap)
    await pass_time(world, DAY, every=HOUR)
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"positive": 1}
    assert len(world.spans("invoke_agent")) == 1


async def test_steps_without_a_run_are_not_sent_twice_when_the_clock_is_set(world: World) -> None:
    world.letta.global_steps = True
    loose = "step-00000000-0000-4000-8000-000000000001"
    world.store.put(Table.STEPS, loose, {"status": "failed", "agent_id": "agent-1"}, created_at=START)
    async with world.bridge() as bridge:
        await bridge.sweep(times=30)
        for leap in (HOUR, -HOUR, -HOUR, HOUR):
            set_clock(world, leap)
            await bridge.sweep(times=30)
        assert world.delivered("agent_step", "letta.step.id") == [loose]
        set_clock(world, -HOUR)
        another = "step-00000000-0000-4000-8000-000000000002"
        world.store.put(Table.STEPS, another, {"status": "failed", "agent_id": "agent-1"})
        await bridge.sweep(times=40)
        assert world.delivered("agent_step", "letta.step.id") == [loose, another]
        assert await bridge.total("letta.steps") == 2


async def quiet(world: World, bridge: Bridge, seconds: float) -> None:
    until = world.clock.time + seconds
    while world.clock.time < until:
        world.clock.time += 30
        await bridge.service.sweep()
