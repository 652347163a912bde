"""A run waits for an approval: given, denied or cancelled, soon or days later; the gauge is right all the while."""

from pathlib import Path
from typing import Any

import pytest
from bridge_world import START, World, attribute
from late_world import DAY, HOUR, MINUTE, changes, counted, events, pass_time, play, said, sent, the, waiting

from bridge.demo import recording
from bridge.demo.recording import Change
from bridge.demo.standin.rows import Table

RUN_CHANGED = "letta.run.changed"
CANCELLED = {"status": "cancelled", "stop_reason": "cancelled"}
TIMES = {"completed_at", "run_start_ns"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def play_answered(world: World, *, after: float, approve: bool = True) -> list[str]:
    """The recording of an approval whose answer comes so many seconds later; one that is denied runs no tool."""
    whole = recording.load("approval")
    changes = [
        _postponed(change, after) if "run-2" in (change.id, change.run) else change
        for change in whole.changes
        if approve or change.id != "message-5"
    ]
    if not approve:
        changes = [_denied(change) if change.id == "message-4" else change for change in changes]
    return list(whole.model_copy(update={"changes": changes}).play(world.store, START))


def _postponed(change: Change, by: float) -> Change:
    values = {name: value + by if name in TIMES else value for name, value in change.set.items()}
    created_at = None if change.created_at is None else change.created_at + by
    return change.model_copy(update={"at": change.at + by, "created_at": created_at, "set": values})


def _denied(change: Change) -> Change:
    (shown,) = change.set["shown"]
    denied: list[dict[str, Any]] = [{**approval, "approve": False} for approval in shown["approvals"]]
    return change.model_copy(update={"set": {"shown": [{**shown, "approvals": denied, "approve": False}]}})


@pytest.mark.parametrize("after", [10 * MINUTE, 3 * DAY, 9 * DAY])
async def test_an_approval_given_later_is_a_run_of_its_own_and_the_gauge_falls(world: World, after: float) -> None:
    first, second = play_answered(world, after=after)
    await pass_time(world, 5 * MINUTE, every=10)
    assert await waiting(world) == 1
    await pass_time(world, after - 5 * MINUTE, every=6 * HOUR)
    assert await waiting(world) == 1
    await pass_time(world, 5 * MINUTE, every=10)
    assert await waiting(world) == 0
    assert world.delivered("invoke_agent", "letta.run.id") == sorted([first, second])
    (tool,) = world.spans("execute_tool")
    assert attribute(tool, "letta.run.id") == second
    await pass_time(world, DAY, every=HOUR)
    assert await waiting(world) == 0
    assert changes(world) == []
    assert await counted(world, "letta.tool.calls", "letta.tool.status") == {"success": 1}
    assert await counted(world, "letta.runs", "letta.run.stop_reason") == {"requires_approval": 1, "end_turn": 1}


async def test_an_approval_that_is_denied_days_later_runs_no_tool(world: World) -> None:
    play_answered(world, after=3 * DAY, approve=False)
    await pass_time(world, 3 * DAY, every=6 * HOUR)
    assert await waiting(world) == 1
    await pass_time(world, HOUR, every=10)
    assert await waiting(world) == 0
    assert world.spans("execute_tool") == []
    assert len(world.spans("invoke_agent")) == 2
    assert changes(world) == []


@pytest.mark.parametrize("after", [MINUTE, 2 * DAY, 20 * DAY])
async def test_an_approval_that_is_cancelled_is_told_within_the_hour_and_the_gauge_falls(
    world: World, after: float
) -> None:
    (run,) = play(world, "approval")[:1]
    world.store._coming = [change for change in world.store._coming if change.visible_at < START + 3]
    await sent(world)
    play(world, "text", at=world.clock.time + 10 * MINUTE)  # another agent's, behind which it is no longer listed
    await pass_time(world, after, every=HOUR)
    assert await waiting(world) == 1
    world.store.put(Table.RUNS, run, CANCELLED)
    await pass_time(world, 4 * HOUR, every=10 * MINUTE)
    assert await waiting(world) == 0
    (changed,) = events(world, RUN_CHANGED)
    assert said(changed)["letta.run.previous_stop_reason"] == "requires_approval"
    assert said(changed)["letta.run.status"] == "cancelled"
    await pass_time(world, 2 * DAY, every=HOUR)
    assert await waiting(world) == 0
    assert len(events(world, RUN_CHANGED)) == 1
    assert await counted(world, "letta.late_changes", "letta.change") == {"run_status": 1}


async def test_a_run_that_awaits_an_approval_is_looked_at_hourly(world: World) -> None:
    play(world, "approval")
    world.store._coming = [change for change in world.store._coming if change.visible_at < START + 3]
    await pass_time(world, 3 * HOUR, every=5 * MINUTE)
    world.requests.clear()
    await pass_time(world, 12 * HOUR, every=5 * MINUTE)
    assert 11 <= world.requests.count("/v1/runs/{id}/steps") <= 13


async def test_an_approval_that_was_given_is_looked_at_no_oftener_than_any_run(world: World) -> None:
    play(world, "approval")
    await pass_time(world, 3 * HOUR, every=5 * MINUTE)
    world.requests.clear()
    await pass_time(world, 12 * HOUR, every=5 * MINUTE)
    assert world.requests.count("/v1/runs/{id}/steps") <= 2 * 3


async def test_an_approval_whose_agent_was_deleted_is_awaited_no_more(world: World) -> None:
    play(world, "approval")
    world.store._coming = [change for change in world.store._coming if change.visible_at < START + 3]
    await sent(world)
    assert await waiting(world) == 1
    world.store.delete_agent(the(world, Table.AGENTS).id)
    await pass_time(world, 2 * HOUR, every=MINUTE)
    assert await waiting(world) == 0
    assert changes(world) == []
