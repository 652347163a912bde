"""What Letta changes after the span was sent is told once, as an event and a counter, through restarts."""

from pathlib import Path

import pytest
from bridge_world import START, World, attribute, events_in, spans_in
from late_world import DAY, HOUR, MINUTE, changes, counted, events, pass_time, play, said, sent, the

from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer
from bridge.follow.state import Phase

EVALUATION, RUN_CHANGED, STEP_CHANGED = "gen_ai.evaluation.result", "letta.run.changed", "letta.step.changed"
CANCELLED = {"status": "cancelled", "stop_reason": "cancelled"}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_feedback_and_tags_given_days_later_are_an_event_and_a_count_in_the_steps_context(world: World) -> None:
    play(world, "text")
    await sent(world)
    spans = list(world.sink.accepted)
    (step,) = world.spans("agent_step")
    world.clock.time += 2 * DAY
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive", "tags": ["good"]})
    await pass_time(world, 5 * DAY, every=HOUR)
    (given,) = events(world, EVALUATION)
    assert (given.trace_id, given.span_id) == (step.trace_id, step.span_id)
    assert said(given)["gen_ai.evaluation.score.label"] == "positive"
    (changed,) = events(world, STEP_CHANGED)
    assert (changed.trace_id, changed.span_id) == (step.trace_id, step.span_id)
    assert world.sink.accepted == spans, "no second span"
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"positive": 1}
    assert await counted(world, "letta.late_changes", "letta.change") == {"feedback": 1, "tags": 1}


async def test_feedback_that_is_there_when_the_step_is_sent_is_no_late_change(world: World) -> None:
    play(world, "text")
    world.clock.time += 4
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "negative"})
    await pass_time(world, HOUR, every=MINUTE)
    (given,) = events(world, EVALUATION)
    (step,) = world.spans("agent_step")
    assert given.span_id == step.span_id
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"negative": 1}
    assert await counted(world, "letta.late_changes", "letta.change") == {}


async def test_feedback_that_changes_its_mind_is_told_each_time(world: World) -> None:
    play(world, "text")
    await sent(world)
    step = the(world, Table.STEPS).id
    for feedback in ("positive", "negative", None):
        world.store.put(Table.STEPS, step, {"feedback": feedback})
        await pass_time(world, HOUR, every=MINUTE)
    assert [said(event)["gen_ai.evaluation.score.label"] for event in events(world, EVALUATION)] == [
        "positive",
        "negative",
    ]
    (withdrawn,) = events(world, STEP_CHANGED)
    assert said(withdrawn)["letta.feedback.previous_value"] == "negative"
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"positive": 1, "negative": 1}
    assert await counted(world, "letta.late_changes", "letta.change") == {"feedback": 3}


async def test_a_cancel_within_the_overlap_is_noticed_by_the_listing_and_costs_one_request(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.clock.time = START + 2 * MINUTE
    await pass_time(world, 0)
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, CANCELLED)
    world.requests.clear()
    await pass_time(world, 0)
    assert world.requests.count("/v1/runs/{id}") == 0
    assert world.requests.count("/v1/runs/{id}/steps") == 1
    (changed,) = events(world, RUN_CHANGED)
    assert said(changed)["letta.run.previous_status"] == "completed"
    assert said(changed)["letta.run.status"] == "cancelled"
    assert changed.span_id == world.spans("invoke_agent")[0].span_id
    await pass_time(world, HOUR, every=MINUTE)
    assert await counted(world, "letta.late_changes", "letta.change") == {"run_status": 1}
    assert await counted(world, "letta.runs", "letta.run.status") == {"completed": 1}


@pytest.mark.parametrize(("after", "told"), [(0.8 * DAY, 1), (6.5 * DAY, 1), (7.5 * DAY, 0)])
async def test_a_cancel_is_told_while_the_run_is_watched_and_not_after(world: World, after: float, told: int) -> None:
    (run,) = play(world, "text")
    play(world, "text", at=START + 10 * MINUTE)  # behind which the other is no longer listed
    await pass_time(world, after, every=HOUR)
    world.store.put(Table.RUNS, run, CANCELLED)
    await pass_time(world, 2 * DAY, every=HOUR)
    assert len(events(world, RUN_CHANGED)) == told
    assert len(world.spans("invoke_agent")) == 2


async def test_a_run_that_changes_its_mind_while_it_settles_is_one_span_with_the_last_word(
    world: World,
) -> None:
    play(world, "text")
    world.clock.time += 8
    async with world.bridge() as bridge:
        await bridge.sweep()
        world.store.put(Table.RUNS, the(world, Table.RUNS).id, CANCELLED)
        await bridge.drain()
    await pass_time(world, DAY, every=HOUR)
    (run,) = world.spans("invoke_agent")
    assert attribute(run, "letta.run.status") == "cancelled"
    assert changes(world) == []


async def test_a_step_that_was_sent_as_cancelled_and_succeeds_brings_its_tokens_once(world: World) -> None:
    play(world, "text")
    world.store.put(Table.RUNS, the_run(world), CANCELLED, visible_at=START + 0.4)
    cut_off(world, at=START + 0.4)
    await sent(world)
    assert await counted(world, "letta.steps", "letta.step.status") == {"cancelled": 1}
    world.store.put(
        Table.STEPS, the(world, Table.STEPS).id, {"status": "success", "stop_reason": "end_turn", **USAGE}
    )
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, {"status": "completed", "stop_reason": "end_turn"})
    await pass_time(world, DAY, every=10 * MINUTE)
    (changed,) = events(world, STEP_CHANGED)
    assert said(changed)["letta.step.previous_status"] == "cancelled"
    assert said(changed)["letta.step.status"] == "success"
    assert said(changed)["gen_ai.usage.input_tokens"] == 1000
    assert len(events(world, RUN_CHANGED)) == 1
    assert len(world.spans("agent_step")) == 1
    assert await counted(world, "letta.steps", "letta.step.status") == {"cancelled": 1}
    assert await counted(world, "letta.tokens", "letta.token.type") == {"input": 1000, "output": 20}
    assert await counted(world, "letta.late_changes", "letta.change") == {
        "run_status": 1,
        "step_status": 1,
        "tokens": 1,
    }


async def test_a_step_that_was_abandoned_and_fails_days_later_says_why(world: World) -> None:
    play(world, "text")
    cut_off(world, at=START + 0.4)
    world.store.put(Table.RUNS, the_run(world), {"status": "completed"}, visible_at=START + 0.5)
    await sent(world)
    (step,) = world.spans("agent_step")
    assert attribute(step, "letta.step.status") == "abandoned"
    await pass_time(world, DAY, every=HOUR)
    failed = {"status": "failed", "error_type": "LLMServerError", "error_data": {"message": "upstream is down"}}
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, failed)
    await pass_time(world, 3 * DAY, every=HOUR)
    (changed,) = events(world, STEP_CHANGED)
    assert said(changed)["error.type"] == "LLMServerError"
    assert said(changed)["exception.message"] == "upstream is down"
    assert await counted(world, "letta.late_changes", "letta.change") == {"step_status": 1}


async def test_a_step_that_turns_up_in_a_closed_run_is_sent_and_the_runs_span_is_not_sent_again(world: World) -> None:
    (run_id,) = play(world, "text")
    await sent(world)
    await pass_time(world, DAY, every=HOUR)
    first = the(world, Table.STEPS)
    late = "step-00000000-0000-4000-8000-00000000000c"
    world.store.put(Table.STEPS, late, {**first.fields, "id": late}, created_at=START + 30)
    await pass_time(world, 2 * DAY, every=MINUTE * 10)
    assert world.delivered("agent_step", "letta.step.id") == sorted([first.id, late])
    assert world.delivered("invoke_agent", "letta.run.id") == [run_id]
    assert await counted(world, "letta.steps", "letta.step.status") == {"success": 2}
    assert await counted(world, "letta.runs", "letta.run.status") == {"completed": 1}
    async with world.bridge() as bridge:
        followed = await bridge.ledger.run(run_id)
        assert followed is not None
        assert followed.phase is Phase.CLOSED


async def test_a_zombie_that_was_sent_as_abandoned_and_ends_after_all_is_a_change(world: World) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "10m"
    play(world, "server_killed")
    await pass_time(world, HOUR, every=MINUTE)
    (run,) = world.spans("invoke_agent")
    assert attribute(run, "letta.run.status") == "abandoned"
    ended = {"status": "completed", "stop_reason": "end_turn", "completed_at": "2027-01-15T09:30:00"}
    world.store.put(Table.RUNS, the(world, Table.RUNS).id, ended)
    await pass_time(world, HOUR, every=MINUTE)
    (changed,) = events(world, RUN_CHANGED)
    assert said(changed)["letta.run.previous_status"] == "abandoned"
    assert said(changed)["letta.run.status"] == "completed"
    assert changed.span_id == run.span_id
    assert len(world.spans("invoke_agent")) == 1
    assert await counted(world, "letta.late_changes", "letta.change") == {"run_status": 1}
    assert await counted(world, "letta.runs", "letta.run.status") == {"abandoned": 1}


async def test_a_crash_between_yes_and_commit_resends_the_same_event_and_counts_it_once(world: World) -> None:
    play(world, "text")
    await sent(world)
    world.clock.time += HOUR
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive"})

    def die(_payload: bytes) -> Answer:
        raise KeyboardInterrupt

    world.sink.answer_logs = die
    with pytest.raises(KeyboardInterrupt):
        await pass_time(world, 0)
    world.sink.answer_logs = lambda _payload: Accepted()
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "negative"})
    await pass_time(world, 0)
    first, second = world.sink.log_requests
    assert first == second, "although the row has changed since"
    assert await counted(world, "letta.feedback", "letta.feedback.value") == {"positive": 1}


async def test_an_event_is_sent_after_the_spans_of_its_batch(world: World) -> None:
    order: list[str] = []

    def note(payload: bytes) -> Answer:
        order.extend(["span"] * len(spans_in(payload)))
        return Accepted()

    def note_event(payload: bytes) -> Answer:
        order.extend(["event"] * len(events_in(payload)))
        return Accepted()

    world.sink.answer, world.sink.answer_logs = note, note_event
    play(world, "text")
    world.clock.time += 4
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"feedback": "positive"})
    await sent(world)
    assert order.index("event") > order.index("span")


def the_run(world: World) -> str:
    """The id of the run that is being played, which may not be visible yet."""
    world.clock.time += 0.3
    return the(world, Table.RUNS).id


def cut_off(world: World, *, at: float) -> None:
    """Nothing that was still to come of what is being played comes; its step stays pending."""
    world.store._coming = [change for change in world.store._coming if change.visible_at <= at]
    world.clock.time = START + 1
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"status": "pending"})
