"""A service for each agent: what names no agent stays with the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from export_samples import RESOURCE, log_event, span
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from receivers import log_records_of, spans_of

from bridge.export.encode import encode_batches, encode_spans
from bridge.export.logs import encode_log_batches
from bridge.map.telemetry import Span

SUPPORT = {"gen_ai.agent.id": "agent-1", "gen_ai.agent.name": "support"}
NAMELESS = {"gen_ai.agent.id": "agent-2"}


def named(resource: Resource) -> Mapping[str, str]:
    return {pair.key: pair.value.string_value for pair in resource.attributes}


def groups(payload: bytes) -> list[tuple[str, list[int]]]:
    """Service → the numbers of its spans."""
    return [
        (
            named(group.resource)["service.name"],
            [int.from_bytes(one.span_id, "big") for scope in group.scope_spans for one in scope.spans],
        )
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans
    ]


def mixed(count: int) -> Sequence[Span]:
    of: Sequence[Mapping[str, str]] = ({}, SUPPORT, NAMELESS)
    return [span(number, attributes=of[number % 3]) for number in range(1, count + 1)]


def test_one_group_for_each_agent_in_the_order_in_which_they_come_up() -> None:
    (batch,) = encode_batches(mixed(6), RESOURCE, per_agent=True)
    assert groups(batch) == [("support", [1, 4]), ("agent-2", [2, 5]), ("letta", [3, 6])]
    assert encode_spans(mixed(6), RESOURCE, per_agent=True) == batch


def test_all_else_of_the_resource_stays() -> None:
    (batch,) = encode_batches(mixed(3), RESOURCE, per_agent=True)
    support, _, deployment = ExportTraceServiceRequest.FromString(batch).resource_spans
    keys = [pair.key for pair in support.resource.attributes]
    assert keys == ["service.name", "host.cpus", "tags", "service.namespace"]
    assert named(support.resource)["service.namespace"] == "letta"
    assert "service.namespace" not in named(deployment.resource)
    assert {group.schema_url for group in (support, deployment)} == {"https://example.test/schema"}
    assert support.scope_spans[0].scope == deployment.scope_spans[0].scope


def test_without_the_setting_there_is_one_group() -> None:
    (batch,) = encode_batches(mixed(6), RESOURCE)
    assert groups(batch) == [("letta", [1, 2, 3, 4, 5, 6])]


def test_log_events_go_under_the_same_service() -> None:
    events = [log_event(1), log_event(2, attributes=SUPPORT), log_event(3, attributes=SUPPORT)]
    (batch,) = encode_log_batches(events, RESOURCE, per_agent=True)
    found = [
        (named(group.resource)["service.name"], len(group.scope_logs[0].log_records))
        for group in ExportLogsServiceRequest.FromString(batch).resource_logs
    ]
    assert found == [("letta", 1), ("support", 2)]


@pytest.mark.parametrize("max_bytes", [480, 1_000, 3_333, 20_000])
def test_batches_are_capped_by_bytes_and_lose_nothing(max_bytes: int) -> None:
    """Each new agent in a batch costs a resource: also that is counted."""
    spans = [
        span(number, attributes={"gen_ai.agent.name": f"agent {number % 7}", "text": "x" * (number * 37 % 150)})
        for number in range(1, 90)
    ]
    found = encode_batches(spans, RESOURCE, max_bytes=max_bytes, per_agent=True)
    assert max(len(batch) for batch in found) <= max_bytes
    assert sorted(one.name for batch in found for one in spans_of(batch)) == sorted(one.name for one in spans)
    assert all(numbers for batch in found for _, numbers in groups(batch))


@pytest.mark.parametrize("max_bytes", [500, 3_333])
def test_log_batches_too(max_bytes: int) -> None:
    events = [log_event(number, attributes={"gen_ai.agent.id": f"agent-{number % 5}"}) for number in range(1, 60)]
    found = encode_log_batches(events, RESOURCE, max_bytes=max_bytes, per_agent=True)
    assert max(len(batch) for batch in found) <= max_bytes
    bodies = [record.body.string_value for batch in found for record in log_records_of(batch)]
    assert sorted(bodies) == sorted(event.body for event in events)


def test_batches_are_capped_by_count() -> None:
    found = encode_batches(mixed(7), RESOURCE, max_spans=3, per_agent=True)
    assert [len(spans_of(batch)) for batch in found] == [3, 3, 1]


def test_an_agents_name_that_is_no_text_breaks_nothing() -> None:
    odd = [span(1, attributes={"gen_ai.agent.name": "a\ud800b"}), span(2, attributes={"gen_ai.agent.name": ""})]
    (batch,) = encode_batches(odd, RESOURCE, per_agent=True)
    assert groups(batch) == [("a�b", [1]), ("letta", [2])]
