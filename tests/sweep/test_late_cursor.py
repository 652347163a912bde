"""What becomes of a run whose steps are deleted, or become visible late, while it is followed: nothing twice."""

from pathlib import Path
from typing import Any

import pytest
from bridge_world import START, World
from late_world import DAY, HOUR, MINUTE, counted, pass_time

from bridge.demo.standin.rows import Table
from bridge.follow.state import Phase

RUN = "run-00000000-0000-4000-8000-000000000001"
AGENT = "agent-00000000-0000-4000-8000-000000000001"
USAGE = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ |= {"BRIDGE_STEP_DURATIONS": "false", "BRIDGE_AGENT_NAMES": "false", "BRIDGE_SETTLE": "1s"}
    world.store.put(Table.RUNS, RUN, {"status": "running", "agent_id": AGENT}, created_at=START, visible_at=START)
    return world


def step_id(number: int) -> str:
    return f"step-00000000-0000-4000-8000-{number:012}"


def put(world: World, *numbers: int, **fields: Any) -> None:
    for number in numbers:
        row = {"run_id": RUN, "agent_id": AGENT, "status": "success", **USAGE, **fields}
        world.store.put(Table.STEPS, step_id(number), row, created_at=START + number)


def say(world: World, number: int, message: dict[str, Any]) -> None:
    """A message of a step, as old as that."""
    id_ = f"message-00000000-0000-4000-8000-{number:012}"
    shown = {"id": id_, "step_id": step_id(number), "run_id": RUN, **message}
    row = {"run_id": RUN, "step_id": step_id(number), "agent_id": AGENT, "shown": [shown]}
    world.store.put(Table.MESSAGES, id_, row, created_at=START + number)


def delete(world: World, *numbers: int) -> None:
    world.store.rows(Table.STEPS)
    for number in numbers:
        del world.store._tables[Table.STEPS][step_id(number)]


def end(world: World) -> None:
    world.store.put(Table.RUNS, RUN, {"status": "completed", "stop_reason": "end_turn"})


def delivered(world: World) -> list[str]:
    return world.delivered("agent_step", "letta.step.id")


async def steps_counted(world: World) -> float:
    return sum((await counted(world, "letta.steps", "letta.step.status")).values())


async def test_a_deleted_cursor_falls_back_to_the_newest_step_that_is_left(world: World) -> None:
    put(world, *range(1, 21))
    await pass_time(world, 30)
    delete(world, 17, 19, 20)
    await pass_time(world, 30)
    put(world, 21, 22)
    await pass_time(world, 30)
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(number) for number in range(1, 23)]
    assert await steps_counted(world) == 22
    assert len(world.spans("invoke_agent")) == 1


async def test_a_step_that_was_hidden_and_comes_back_is_not_sent_again(world: World) -> None:
    """A replica that lags behind: what it does not show yet is not gone."""
    put(world, *range(1, 6))
    await pass_time(world, 30)
    delete(world, 4, 5)
    await pass_time(world, 30)
    put(world, *range(4, 8))
    await pass_time(world, 30)
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(number) for number in range(1, 8)]
    assert await steps_counted(world) == 7


async def test_where_few_were_delivered_and_all_of_them_are_gone_the_rest_is_new(world: World) -> None:
    put(world, 1, 2, 3)
    await pass_time(world, 30)
    delete(world, 1, 2, 3)
    put(world, 4, 5)
    await pass_time(world, 30)
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(number) for number in range(1, 6)]
    assert await steps_counted(world) == 5


async def test_a_run_all_of_whose_steps_are_gone_is_closed_as_any_other(world: World) -> None:
    put(world, *range(1, 21))
    await pass_time(world, 30)
    delete(world, *range(1, 21))
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert len(delivered(world)) == 20
    assert len(world.spans("invoke_agent")) == 1


async def test_where_nobody_can_tell_new_from_delivered_the_run_becomes_a_dead_letter_in_time(world: World) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "1h"
    put(world, *range(1, 21))
    await pass_time(world, 30)
    delete(world, *range(11, 21))
    put(world, 21)
    await pass_time(world, 30 * MINUTE, every=MINUTE)
    async with world.bridge() as bridge:
        assert await bridge.ledger.dead_letter_count() == 0, "it may pass"
    await pass_time(world, 2 * HOUR, every=MINUTE)
    async with world.bridge() as bridge:
        (kept,) = await bridge.ledger.dead_letters()
        assert (kept.letter.kind, kept.letter.source) == ("remainder", RUN)
        assert "no longer known" in kept.letter.reason
        assert RUN.encode() in kept.letter.payload
        followed = await bridge.ledger.run(RUN)
        assert followed is not None
        assert followed.phase is Phase.CLOSED
    assert await steps_counted(world) == 20
    await pass_time(world, DAY, every=HOUR)
    async with world.bridge() as bridge:
        assert await bridge.ledger.dead_letter_count() == 1


@pytest.mark.parametrize("behind", [0, 1, 6])
async def test_a_step_that_becomes_visible_in_front_of_a_delivered_one_is_sent(world: World, behind: int) -> None:
    """As two steps of one instant do: the one with the lower id may be committed last."""
    put(world, *range(10, 21))
    await pass_time(world, 30)
    late = 20 - behind
    world.store.put(
        Table.STEPS,
        step_id(5),
        {"run_id": RUN, "agent_id": AGENT, "status": "success", **USAGE},
        created_at=START + late,
    )
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(number) for number in (5, *range(10, 21))]
    assert await steps_counted(world) == 12
    assert len(world.spans("invoke_agent")) == 1


async def test_a_step_that_becomes_visible_late_has_its_tools(world: World) -> None:
    """Its messages lie in front of those that are done with."""
    for number in (1, 3):
        put(world, number)
        say(world, number, {"message_type": "assistant_message", "content": "Done."})
    await pass_time(world, 30)
    put(world, 2)
    say(world, 2, {"message_type": "tool_call_message", "tool_calls": [{"name": "search", "tool_call_id": "call-1"}]})
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(number) for number in (1, 2, 3)]
    assert [span.name for span in world.spans("execute_tool")] == ["execute_tool search"]


async def test_a_deleted_message_cursor_costs_nothing(world: World) -> None:
    """As when an agent's messages are reset while its run goes on."""
    put(world, 1)
    say(world, 1, {"message_type": "assistant_message", "content": "Done."})
    await pass_time(world, 30)
    world.store._tables[Table.MESSAGES].clear()
    put(world, 2)
    end(world)
    await pass_time(world, 2 * MINUTE)
    assert delivered(world) == [step_id(1), step_id(2)]
    assert len(world.spans("invoke_agent")) == 1
