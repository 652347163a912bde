"""Every field of a Step has its place, and no other: the table of docs as a test."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bridge.follow.reading import Outcome, SettledStep
from bridge.map.mapper import MapOptions, map_loose_step
from bridge.map.telemetry import Span, SpanKind, StatusCode
from bridge.source.models import Message, Step, ToolCall, ToolReturn

STEP = Step(
    id="step-1",
    origin="the-origin",
    organization_id="the-organization",
    provider_id="the-provider-id",
    run_id="the-run",
    agent_id="the-agent",
    provider_name="google_ai",
    provider_category="the-category",
    model="the-model",
    model_handle="the-handle",
    model_endpoint="https://the.endpoint.test:8443/v1",
    context_window_limit=1000,
    completion_tokens=20,
    prompt_tokens=100,
    total_tokens=125,
    cached_input_tokens=30,
    cache_write_tokens=40,
    reasoning_tokens=50,
    completion_tokens_details={"reasoning_tokens": 1},
    prompt_tokens_details={"cached_tokens": 2, "cache_read_tokens": 3, "cache_creation_tokens": 4},
    stop_reason="the-stop-reason",
    tags=("tag-1", "tag-2"),
    tid="the-transaction",
    trace_id="the-trace",
    request_id="the-request",
    messages=["the-deprecated-message"],
    feedback="positive",
    project_id="the-project",
    error_type="TheError",
    error_data={"message": "the message", "traceback": "the traceback", "details": "the details"},
    status="failed",
)
MESSAGES = (
    Message(
        id="message-1",
        step_id="step-1",
        message_type="tool_call_message",
        tool_calls=(ToolCall(name="the-tool", arguments="the arguments", tool_call_id="call-1"),),
    ),
    Message(
        id="message-2",
        step_id="step-1",
        message_type="tool_return_message",
        name="the-tool",
        tool_returns=(ToolReturn(status="error", tool_call_id="call-1"),),
    ),
)

ON_ALL = {
    "letta.step.id": "step-1",
    "letta.run.id": "the-run",
    "gen_ai.agent.id": "the-agent",
    "letta.trace_id": "the-trace",
    "letta.timing": "estimated",
}
ON_STEP_AND_CHAT = {
    "letta.model.handle": "the-handle",
    "letta.step.status": "failed",
    "error.type": "TheError",
}
ON_STEP = {
    "letta.step.stop_reason": "the-stop-reason",
    "letta.step.tags": ("tag-1", "tag-2"),
    "letta.step.origin": "the-origin",
    "letta.provider.category": "the-category",
    "letta.provider.id": "the-provider-id",
    "letta.project.id": "the-project",
    "letta.transaction.id": "the-transaction",
    "letta.request.id": "the-request",
}
ON_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "gcp.gemini",
    "letta.provider.name": "google_ai",
    "peer.service": "gcp.gemini",
    "gen_ai.request.model": "the-model",
    "gen_ai.response.finish_reasons": ("the-stop-reason",),
    "server.address": "the.endpoint.test",
    "server.port": 8443,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 30,
    "gen_ai.usage.cache_creation.input_tokens": 40,
    "gen_ai.usage.reasoning.output_tokens": 50,
    "letta.usage.total_tokens": 125,
    "letta.context_window.limit": 1000,
    "letta.context_window.used_ratio": 0.125,
}
ON_TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "the-tool",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": "call-1",
    "letta.tool.status": "error",
    "letta.step.status": "failed",
    "error.type": "tool_error",
}
EXCEPTION = {
    "exception.type": "TheError",
    "exception.message": "the message",
    "exception.stacktrace": "the traceback",
}


@pytest.fixture(name="spans")
def _spans() -> tuple[Span, Span, Span]:
    telemetry = map_loose_step(SettledStep(STEP, Outcome.FAILED), None, MESSAGES, 10**18, MapOptions())
    step, chat, tool = telemetry.spans
    return step, chat, tool


def test_step(spans: tuple[Span, Span, Span]) -> None:
    step = spans[0]
    assert (step.name, step.kind, step.parent_id) == ("agent_step", SpanKind.INTERNAL, b"")
    assert step.attributes == ON_ALL | ON_STEP_AND_CHAT | ON_STEP
    assert (step.status, step.status_message) == (StatusCode.ERROR, "the message")
    assert [(event.name, dict(event.attributes)) for event in step.events] == [("exception", EXCEPTION)]


def test_chat(spans: tuple[Span, Span, Span]) -> None:
    step, chat, _ = spans
    assert (chat.name, chat.kind, chat.parent_id) == ("chat the-model", SpanKind.CLIENT, step.span_id)
    assert chat.attributes == ON_ALL | ON_STEP_AND_CHAT | ON_CHAT
    assert (chat.status, chat.status_message) == (StatusCode.ERROR, "the message")
    assert [(event.name, dict(event.attributes)) for event in chat.events] == [("exception", EXCEPTION)]


def test_tool(spans: tuple[Span, Span, Span]) -> None:
    step, _, tool = spans
    assert (tool.name, tool.kind, tool.parent_id) == ("execute_tool the-tool", SpanKind.INTERNAL, step.span_id)
    assert tool.attributes == ON_ALL | ON_TOOL
    assert (tool.status, tool.status_message) == (StatusCode.ERROR, "tool_error")


def test_no_field_is_forgotten(spans: tuple[Span, Span, Span]) -> None:
    """A field added to the model needs a place, or to be named here with its reason."""
    elsewhere = {
        "id": "shown",
        "organization_id": "one per server",
        "messages": "always empty, and content",
        "feedback": "a signal of its own",
        "prompt_tokens_details": "fill what is null",
        "completion_tokens_details": "fill what is null",
        "error_data": "an event and the description",
        "model_endpoint": "address and port",
        "status": "shown",
    }
    assert [field.name for field in fields(STEP) if getattr(STEP, field.name) is None] == []
    shown = {str(value) for span in spans for value in _flat(span)}
    missing = {
        name
        for name, value in vars(STEP).items()
        if name not in elsewhere
        and not ({str(item) for item in (value if isinstance(value, tuple) else (value,))} <= shown)
    }
    assert not missing


def _flat(span: Span) -> list[object]:
    return [item for value in span.attributes.values() for item in (value if isinstance(value, tuple) else (value,))]
