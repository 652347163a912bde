"""A run that was sent, then judged and cancelled by a real server: log events in its trace, and no second span."""

from __future__ import annotations

import pytest

from real.seen import SeenEvent
from real.world import LANES, Lane, World

pytestmark = pytest.mark.real


@pytest.fixture(scope="session", params=[name for name in LANES if name != "phoenix"])  # it takes no logs
def lane(world: World, request: pytest.FixtureRequest) -> Lane:
    """A bridge whose receiver takes logs."""
    return world.lanes[request.param]


def test_the_cancel_is_an_event_of_the_runs_span(world: World, lane: Lane) -> None:
    (span,) = [span for span in lane.spans if span.operation == "invoke_agent" and span.run_id == world.late]
    (event,) = _events(world, lane, "letta.run.changed")
    assert (event.trace_id, event.span_id) == (span.trace_id, span.span_id)
    assert event.attributes["letta.run.previous_status"] == "completed"
    assert event.attributes["letta.run.status"] == "cancelled"
    assert span.attributes["letta.run.status"] == "completed", "what was sent stays as it was"


def test_the_feedback_is_an_evaluation_in_the_steps_span(world: World, lane: Lane) -> None:
    (span,) = [span for span in lane.spans if span.operation == "agent_step" and span.run_id == world.late]
    (event,) = _events(world, lane, "gen_ai.evaluation.result")
    assert (event.trace_id, event.span_id) == (span.trace_id, span.span_id)
    assert event.attributes["gen_ai.evaluation.score.label"] == "negative"


def test_a_backend_without_logs_still_gets_every_span(world: World) -> None:
    """Phoenix has no route for them; that its spans are all there is for test_delivery to say."""
    assert "OTEL_LOGS_EXPORTER=none" in world.lanes["phoenix"].service.log()


def _events(world: World, lane: Lane, name: str) -> list[SeenEvent]:
    assert lane.events is not None
    return [event for event in lane.events if (event.name, event.attributes["letta.run.id"]) == (name, world.late)]
