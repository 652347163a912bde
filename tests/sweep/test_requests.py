"""How many requests a run costs, from created to closed: counted by route, never timed."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import pytest
from bridge_world import START, World, spans_in

from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import _moment

STEPS, MESSAGES, STEP_METRICS = "/v1/runs/{id}/steps", "/v1/runs/{id}/messages", "/v1/steps/{id}/metrics"
RUN_LIST, RUN, RUN_METRICS, AGENT = "/v1/runs/", "/v1/runs/{id}", "/v1/runs/{id}/metrics", "/v1/agents/{id}"
LONG_AGO = START - 3600
AGENTS = 5


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ["BRIDGE_WATCH_FOR"] = "0"
    return world


def enter(world: World, *, runs: int, steps: int, at: float, step: float = 1.0, apart: float = 0.0) -> None:
    """Runs, so many seconds apart, with one step after the other, each so many seconds long."""
    first = at
    for number in range(1, runs + 1):
        at = first + (number - 1) * apart
        agent = _id("agent", number % AGENTS + 1)
        world.store.put(Table.AGENTS, agent, {"name": f"agent {number % AGENTS}"}, visible_at=at)
        own = {"agent_id": agent, "run_id": (run := _id("run", number << 64))}
        world.store.put(Table.RUNS, run, {"agent_id": agent, "created_at": _text(at)}, created_at=at, visible_at=at)
        world.store.put(Table.RUN_METRICS, run, {"agent_id": agent}, created_at=at, visible_at=at)
        for each in range(steps):
            _enter_step(world, (number << 64) + each + 1, own, at + each * step, step, last=each == steps - 1)
        end = at + steps * step
        measured = {"run_start_ns": round(at * 1e9), "run_ns": round(steps * step * 1e9), "num_steps": steps}
        world.store.put(Table.RUN_METRICS, run, measured, visible_at=end + 0.2)
        over = {"status": "completed", "stop_reason": "end_turn", "completed_at": _text(end), "total_duration_ns": 1}
        world.store.put(Table.RUNS, run, over, visible_at=end)


def _enter_step(world: World, number: int, own: dict[str, str], start: float, length: float, *, last: bool) -> None:
    step, message, end = _id("step", number), _id("message", number), start + length * 0.9
    tokens = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    final = {"status": "success", "stop_reason": "end_turn" if last else None, **tokens}
    shown = {"id": message, "date": _text(end), "message_type": "assistant_message", "step_id": step}
    world.store.put(Table.STEPS, step, own, created_at=start, visible_at=start)
    world.store.put(Table.STEPS, step, final, visible_at=end)
    world.store.put(Table.STEP_METRICS, step, {**own, "step_ns": 1}, created_at=start, visible_at=end)
    world.store.put(
        Table.MESSAGES, message, {**own, "step_id": step, "shown": [shown]}, created_at=end, visible_at=end
    )


def _id(kind: str, number: int) -> str:
    return f"{kind}-{uuid.UUID(int=number, version=4)}"


def _text(at: float) -> str:
    return _moment(at).isoformat().replace("+00:00", "Z")


async def followed(world: World, *, runs: int, steps: int, lengths: bool) -> Counter[str]:
    """The requests of a bridge that follows all runs to their ends, by route."""
    world.environ["BRIDGE_STEP_DURATIONS"] = str(lengths).lower()
    async with world.bridge() as bridge:
        await bridge.drain()
        assert await bridge.total("letta.runs") == runs
        assert await bridge.total("letta.steps") == runs * steps
    return Counter(world.requests)


@pytest.mark.parametrize("lengths", [False, True])
async def test_a_run_that_is_over_costs_two_requests(world: World, *, lengths: bool) -> None:
    enter(world, runs=25, steps=40, at=LONG_AGO)
    asked = await followed(world, runs=25, steps=40, lengths=lengths)
    assert asked[MESSAGES] == 25
    assert asked[STEPS] == 25, "the steps once: the last one tells that these are all"
    assert asked[RUN_METRICS] == (25 if lengths else 0), "when the run began"
    assert asked[STEP_METRICS] == (1000 if lengths else 0)
    assert asked[AGENT] == AGENTS
    assert asked[RUN] == 0, "the list has shown the run"
    assert asked.total() < (1100 if lengths else 100)


@pytest.mark.parametrize("lengths", [False, True])
async def test_a_run_of_one_step_costs_no_more(world: World, *, lengths: bool) -> None:
    enter(world, runs=50, steps=1, at=LONG_AGO)
    asked = await followed(world, runs=50, steps=1, lengths=lengths)
    assert asked[STEPS] == asked[MESSAGES] == 50
    assert asked[RUN_METRICS] == (50 if lengths else 0)
    assert asked[STEP_METRICS] == (50 if lengths else 0)
    assert asked[RUN] == 0


async def test_a_run_that_came_to_max_steps_costs_another_for_the_proof(world: World) -> None:
    enter(world, runs=5, steps=2, at=LONG_AGO)
    for row in world.store.rows(Table.STEPS):
        world.store.put(Table.STEPS, row.id, {"stop_reason": None})
    asked = await followed(world, runs=5, steps=2, lengths=False)
    assert asked[STEPS] == 10


async def test_a_backlog_of_short_runs_is_sent_in_ever_larger_batches(world: World) -> None:
    enter(world, runs=300, steps=1, at=LONG_AGO)
    await followed(world, runs=300, steps=1, lengths=False)
    batches = Counter(
        len([span for span in spans_in(each) if span.name == "agent_step"]) for each in world.sink.requests
    )
    assert batches == {64: 1, 128: 1, 108: 1}


async def test_a_long_run_costs_a_request_a_page(world: World) -> None:
    enter(world, runs=1, steps=2500, at=LONG_AGO - 2500)
    asked = await followed(world, runs=1, steps=2500, lengths=False)
    assert asked[STEPS] == 3, "three pages"
    assert asked[MESSAGES] <= 8, "a page that is full may leave out the rest of a step's"


async def test_a_run_that_is_followed_costs_a_look_a_sweep(world: World) -> None:
    enter(world, runs=5, steps=20, at=START + 1, step=4.0)
    asked = await followed(world, runs=5, steps=20, lengths=False)
    sweeps = asked[RUN_LIST]  # one each, or two while a run is active
    assert asked[STEPS] <= 5 * (sweeps / 2 + 3)
    assert asked[MESSAGES] <= 5 * 20
    assert asked[RUN] == asked[RUN_METRICS] == 0


async def test_a_tick_costs_two_requests_however_many_runs_there_were(world: World) -> None:
    enter(world, runs=150, steps=1, at=START - 150 * 60, apart=60)
    async with world.bridge() as bridge:
        await bridge.drain()
        world.requests.clear()
        await bridge.sweep(times=10)
        assert Counter(world.requests) == {RUN_LIST: 10}
        zombie = {"agent_id": _id("agent", 1), "created_at": _text(START)}
        world.store.put(Table.RUNS, _id("run", 1), zombie, created_at=START, visible_at=START)
        await bridge.sweep(times=100)  # found, and without news for so long that it is rarely looked at
        world.requests.clear()
        await bridge.sweep(times=5)
        assert Counter(world.requests)[RUN_LIST] == 10
        assert len(world.requests) <= 11, "of five ticks, one may look at the zombie"
