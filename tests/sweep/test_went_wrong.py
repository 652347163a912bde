"""What fails, is cancelled or abandoned is told once: one failure for alerts and one log event, by a whole bridge."""

from __future__ import annotations

from pathlib import Path

import pytest
from bridge_world import START, World, attribute
from late_world import DAY, HOUR, pass_time, play, said, sent, the
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from bridge.demo.standin.rows import Table
from bridge.map.failures import Failure

ENDS = {
    "text": None,
    "tool_raises": None,
    "llm_500": "letta.step.failed",
    "tool_then_500": "letta.step.failed",
    "cancelled_in_tool": "letta.run.cancelled",
    "stream_cancelled": "letta.step.cancelled",
    "server_killed": "letta.step.abandoned",
}


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


async def failures(world: World) -> list[Failure]:
    async with world.bridge() as bridge:
        return list(await bridge.ledger.failures())


@pytest.mark.parametrize(("recording", "event"), ENDS.items())
async def test_each_end_is_told_once(world: World, recording: str, event: str | None) -> None:
    play(world, recording)
    await pass_time(world, HOUR, every=30.0)
    await pass_time(world, 2 * DAY, every=HOUR)
    kept = await failures(world)
    assert [f"letta.{failure.kind}.{failure.status}" for failure in kept] == ([event] if event else [])
    assert [record.event_name for record in world.sink.events] == ([event] if event else [])
    if not kept:
        return
    (failure,), (record,) = kept, world.sink.events
    spans = {span.span_id: span for span in world.sink.accepted}
    about = spans[record.span_id]
    assert (failure.trace_id, failure.span_id) == (about.trace_id.hex(), about.span_id.hex())
    assert (record.trace_id, record.time_unix_nano) == (about.trace_id, about.end_time_unix_nano)
    assert said(record)["letta.run.id"] == failure.run_id == the(world, Table.RUNS).id
    assert failure.error_type == attribute(about, "error.type") == said(record)["error.type"]
    assert failure.seen_at >= START


async def test_a_run_cancelled_before_its_first_step_is_told_once(world: World) -> None:
    ends = {"status": "cancelled", "stop_reason": "cancelled"}
    world.store.put(Table.RUNS, "run-7a3f905e-963a-4685-b0f8-b8effc10fc11", ends)
    await pass_time(world, HOUR, every=30.0)
    assert [(failure.kind, failure.status) for failure in await failures(world)] == [("run", "cancelled")]
    assert [event.event_name for event in world.sink.events] == ["letta.run.cancelled"]


async def test_what_fails_late_is_a_failure_too(world: World) -> None:
    play(world, "text")
    await sent(world)
    assert await failures(world) == []
    step = the(world, Table.STEPS)
    world.store.put(Table.STEPS, step.id, {"status": "failed", "error_type": "LLMServerError"})
    await pass_time(world, DAY, every=HOUR)
    (failure,) = await failures(world)
    assert (failure.kind, failure.status, failure.step_id) == ("step", "failed", step.id)
    assert failure.seen_at > START
    assert [event.event_name for event in world.sink.events] == ["letta.step.changed"]


async def test_spans_and_events_go_under_their_agents_service(world: World) -> None:
    world.environ |= {"BRIDGE_SERVICE_PER_AGENT": "true", "OTEL_SERVICE_NAME": "our-letta"}
    play(world, "llm_500")
    await sent(world)
    resources = [
        group.resource
        for payload in world.sink.requests
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans
    ]
    resources += [
        group.resource
        for payload in world.sink.log_requests
        for group in ExportLogsServiceRequest.FromString(payload).resource_logs
    ]
    (run,) = world.spans("invoke_agent")
    name = attribute(run, "gen_ai.agent.name")
    assert name
    assert {(_named(each, "service.name"), _named(each, "service.namespace")) for each in resources} == {
        (name, "our-letta")
    }


async def test_a_failed_step_that_is_tagged_later_is_not_told_again(world: World) -> None:
    play(world, "llm_500")
    await sent(world)
    world.store.put(Table.STEPS, the(world, Table.STEPS).id, {"tags": ["seen"]})
    await pass_time(world, DAY, every=HOUR)
    assert [event.event_name for event in world.sink.events] == ["letta.step.failed", "letta.step.changed"]
    assert len(await failures(world)) == 1


def _named(resource: Resource, name: str) -> str:
    return {pair.key: pair.value.string_value for pair in resource.attributes}[name]
