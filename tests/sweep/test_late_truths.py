"""The other slow truths: what is never over, what never comes, what contradicts itself. Each is counted once."""

from pathlib import Path

import pytest
from bridge_world import START, World, attribute, spans_in
from late_world import DAY, HOUR, MINUTE, changes, counted, events, pass_time, play, said, sent, the

from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer, Retryable

USAGE = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
LOOSE = "step-00000000-0000-4000-8000-000000000001"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def only_until(world: World, seconds: float) -> None:
    """Nothing of what is played comes later than so many seconds after the start."""
    world.store._coming = [change for change in world.store._coming if change.visible_at <= START + seconds]


async def test_a_step_that_is_pending_for_an_hour_is_one_step_in_the_end(world: World) -> None:
    play(world, "text")
    only_until(world, 0.5)
    await pass_time(world, HOUR, every=30)
    assert world.sink.accepted == []
    async with world.bridge() as bridge:
        assert (await bridge.ledger.open_runs()).by_status == {"created": 1}
    ended = {"status": "success", "stop_reason": "end_turn", **USAGE}
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, ended)
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, {"status": "completed", "stop_reason": "end_turn"})
    await pass_time(world, HOUR, every=30)
    (step,) = world.spans("agent_step")
    assert attribute(step, "letta.step.status") == "success"
    assert len(world.spans("invoke_agent")) == 1
    assert await counted(world, "letta.steps", "letta.step.status") == {"success": 1}
    assert changes(world) == []


async def test_a_step_that_its_run_left_pending_is_abandoned_once(world: World) -> None:
    play(world, "text")
    only_until(world, 0.5)
    await pass_time(world, 30)
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, {"status": "failed", "completed_at": None})
    await pass_time(world, 40)
    assert world.spans("agent_step") == [], "its grace time is not over"
    await pass_time(world, DAY, every=HOUR)
    (step,) = world.spans("agent_step")
    assert attribute(step, "letta.step.status") == "abandoned"
    assert await counted(world, "letta.steps", "letta.step.status") == {"abandoned": 1}
    assert await counted(world, "letta.runs", "letta.run.status") == {"failed": 1}
    assert changes(world) == []


@pytest.mark.parametrize(("come", "timing", "measured"), [(10.0, "reconstructed", 1), (HOUR, "estimated", 0)])
async def test_lengths_that_arrive_late_are_waited_for_as_long_as_anything(
    world: World, come: float, timing: str, measured: int
) -> None:
    play(world, "text")
    metrics = [change for change in world.store._coming if change.table is Table.STEP_METRICS]
    world.store._coming = [change for change in world.store._coming if change.table is not Table.STEP_METRICS]
    for change in metrics:
        world.store.put(change.table, change.id, change.fields, visible_at=START + come)
    await pass_time(world, 2 * MINUTE)
    await pass_time(world, 2 * HOUR, every=MINUTE)
    (step,) = world.spans("agent_step")
    assert attribute(step, "letta.timing") == timing
    async with world.bridge() as bridge:
        durations = [
            total.count
            for (name, _), total in (await bridge.ledger.totals()).items()
            if name == "letta.step.duration"
        ]
    assert sum(durations) == measured
    assert changes(world) == []


async def test_lengths_that_never_come_hold_nothing_up(world: World) -> None:
    play(world, "text")
    world.store._coming = [change for change in world.store._coming if change.table is not Table.STEP_METRICS]
    await pass_time(world, MINUTE)
    (step,) = world.spans("agent_step")
    assert attribute(step, "letta.timing") == "estimated"
    assert len(world.spans("invoke_agent")) == 1


async def test_a_run_that_fails_while_all_its_steps_succeeded_is_red_alone(world: World) -> None:
    play(world, "text")
    world.clock.time += 10
    failed = {"status": "failed", "stop_reason": "error", "metadata": {"error": "INTERNAL: the stream broke"}}
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, failed)
    await pass_time(world, DAY, every=HOUR)
    (run,), (step,) = world.spans("invoke_agent"), world.spans("agent_step")
    assert attribute(run, "error.type") == "error"
    assert attribute(step, "letta.step.status") == "success"
    assert await counted(world, "letta.runs", "letta.run.status") == {"failed": 1}
    assert await counted(world, "letta.steps", "letta.step.status") == {"success": 1}
    assert changes(world) == []


async def test_a_run_that_fails_after_it_was_sent_as_completed_is_a_warning(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, {"status": "failed", "stop_reason": "error"})
    await pass_time(world, DAY, every=HOUR)
    (changed,) = events(world, "letta.run.changed")
    assert changed.severity_text == "WARN"
    assert said(changed)["letta.run.status"] == "failed"
    assert world.spans("agent_step")[0].trace_id == changed.trace_id


async def test_a_step_without_a_run_is_sent_once_through_restarts_with_its_feedback(world: World) -> None:
    world.letta.global_steps = True
    fields = {"status": "failed", "error_type": "LLMServerError", "agent_id": "agent-1", "feedback": "negative"}
    world.store.put(Table.STEPS, LOOSE, fields, created_at=START, visible_at=START)
    for _ in range(6):
        await pass_time(world, 2 * MINUTE)
    assert world.delivered("agent_step", "letta.step.id") == [LOOSE]
    (given,) = events(world, "gen_ai.evaluation.result")
    assert given.span_id == world.spans("agent_step")[0].span_id
    assert await counted(world, "letta.steps", "letta.step.status") == {"failed": 1}
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"negative": 1}


async def test_an_outage_of_the_backend_delays_a_late_change_and_loses_none(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive"})
    taken: list[int] = []

    def take(payload: bytes) -> Answer:
        taken.append(len(spans_in(payload)))
        return Accepted()

    world.sink.answer = take
    world.sink.answer_logs = lambda _payload: Retryable("away")
    await pass_time(world, HOUR, every=MINUTE)
    assert changes(world) == []
    world.sink.answer_logs = lambda _payload: Accepted()
    await pass_time(world, HOUR, every=MINUTE)
    assert len(events(world, "gen_ai.evaluation.result")) == 1
    assert len(set(world.sink.log_requests)) == 1, "the same bytes each time"
    assert taken == [], "no span was sent again"
