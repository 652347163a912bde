"""A step's own span and its chat: `agent_step`, and below it `chat {model}`, which alone carries usage.

Every step gets a chat, a pending one too: Letta writes the step's row right before it asks the model, and the model,
the provider and the address have no other place. Its status is the step's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bridge.follow.reading import Outcome, SettledStep
from bridge.map import genai, ids, letta, values
from bridge.map.status import SpanStatus, exception_event
from bridge.map.telemetry import Attributes, Link, Span, SpanKind
from bridge.map.timing import Interval, StepTimes
from bridge.map.usage import Usage
from bridge.source.models import Step


class Place(NamedTuple):
    """Where a step's spans go and what they share with their run.

    Attributes:
        trace_id: the trace, 16 bytes.
        parent_id: the run's span in that trace; empty for a root.
        links: to the run's span, where the step keeps a trace of its own.
        run_id: None for a step without a run.
        agent_id: the run's, for a step that does not name its own.
    """

    trace_id: bytes
    parent_id: bytes = b""
    links: tuple[Link, ...] = ()
    run_id: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    conversation_id: str | None = None

    def common(self, *, step_id: str, agent_id: str | None = None, raw_trace_id: str | None = None) -> values.Raws:
        """The attributes that all spans of a step carry."""
        return {
            letta.STEP_ID: step_id,
            letta.RUN_ID: self.run_id,
            genai.AGENT_ID: agent_id or self.agent_id,
            genai.AGENT_NAME: self.agent_name,
            genai.CONVERSATION_ID: self.conversation_id,
            letta.TRACE_ID: raw_trace_id if raw_trace_id and not ids.usable_trace_id(raw_trace_id) else None,
        }


class Shared(NamedTuple):
    """What the spans of one step have in common.

    Attributes:
        place: where they go.
        attributes: on all of them, tools included.
        settled: the step and how it ended.
        status: of its own span and its chat's.
    """

    place: Place
    attributes: Attributes
    settled: SettledStep
    status: SpanStatus


def step_place(step: Step, run: Place) -> Place:
    """The run's trace, except for a step that Letta keeps in another: a root there, linked to the run's span."""
    own = ids.usable_trace_id(step.trace_id)
    if own is None or run.parent_id == b"" or bytes.fromhex(own) == run.trace_id:
        return run
    return run._replace(trace_id=bytes.fromhex(own), parent_id=b"", links=(Link(run.trace_id, run.parent_id),))


def shared_by(settled: SettledStep, status: SpanStatus, place: Place) -> Shared:
    """What the step's spans share; `place` is the step's own."""
    step = settled.step
    common = place.common(step_id=step.id, agent_id=step.agent_id, raw_trace_id=step.trace_id)
    attributes = values.attributes({**common, letta.STEP_STATUS: settled.outcome.value})
    return Shared(place, attributes, settled, status)


def step_spans(shared: Shared, usage: Usage, times: StepTimes) -> tuple[Span, Span]:
    """The step's span and its chat.

    Args:
        shared: what they have in common.
        usage: the step's tokens.
        times: its intervals.
    """
    own = step_span(shared, usage, times.step)
    return own, chat_span(shared, usage, times.chat, own.span_id)


def step_span(shared: Shared, usage: Usage, times: Interval) -> Span:
    """The step's span."""
    place, step, status = shared.place, shared.settled.step, shared.status
    own: values.Raws = {
        letta.MODEL_HANDLE: step.model_handle,
        genai.ERROR_TYPE: status.error_type,
        letta.STEP_RAW_STATUS: step.status if step.status != shared.settled.outcome else None,
        letta.STEP_STOP_REASON: step.stop_reason,
        letta.STEP_SUSPECT: suspect(shared.settled, usage),
        letta.STEP_TAGS: step.tags,
        letta.STEP_ORIGIN: step.origin,
        letta.PROVIDER_CATEGORY: step.provider_category,
        letta.PROVIDER_ID: step.provider_id,
        letta.PROJECT_ID: step.project_id,
        letta.TRANSACTION_ID: step.tid,
        letta.REQUEST_ID: step.request_id,
        letta.TIMING: times.timing.value,
    }
    return Span(
        place.trace_id,
        ids.span_id(place.trace_id, ids.STEP, step.id),
        place.parent_id,
        "agent_step",
        SpanKind.INTERNAL,
        times.start_ns,
        times.end_ns,
        {**shared.attributes, **values.attributes(own)},
        status.code,
        status.message,
        exception_event(step, times.end_ns),
        place.links,
    )


def chat_span(shared: Shared, usage: Usage, times: Interval, parent_id: bytes) -> Span:
    """The span of the step's LLM request; `parent_id` is the step's span."""
    place, step, status = shared.place, shared.settled.step, shared.status
    own: values.Raws = {
        genai.ERROR_TYPE: status.error_type,
        genai.FINISH_REASONS: (step.stop_reason,) if step.stop_reason else None,
        **token_attributes(usage),
        letta.CONTEXT_WINDOW_LIMIT: step.context_window_limit,
        letta.CONTEXT_WINDOW_USED_RATIO: usage.used_ratio(step.context_window_limit),
        letta.TIMING: times.timing.value,
    }
    asked = _asked(step.provider_name, step.model, step.model_handle, step.model_endpoint)
    return Span(
        place.trace_id,
        ids.span_id(place.trace_id, ids.CHAT, step.id),
        parent_id,
        asked.name,
        SpanKind.CLIENT,
        times.start_ns,
        times.end_ns,
        {**shared.attributes, **asked.attributes, **values.attributes(own)},
        status.code,
        status.message,
        exception_event(step, times.end_ns),
    )


def suspect(settled: SettledStep, usage: Usage) -> str | None:
    """What is odd about a success: one without a single token is a stream that broke off (0.16.8)."""
    return letta.NO_USAGE if settled.outcome is Outcome.SUCCESS and not usage.is_known else None


def token_attributes(usage: Usage) -> values.Raws:
    """The tokens of an LLM request, each under its name."""
    return {
        genai.INPUT_TOKENS: usage.input,
        genai.OUTPUT_TOKENS: usage.output,
        genai.CACHE_READ_TOKENS: usage.cache_read,
        genai.CACHE_CREATION_TOKENS: usage.cache_write,
        genai.REASONING_TOKENS: usage.reasoning,
        letta.TOTAL_TOKENS: usage.total,
    }


class _Asked(NamedTuple):
    """The name of a chat's span, and which model was asked where."""

    name: str
    attributes: Attributes


@lru_cache(maxsize=256)
def _asked(provider_name: str | None, model: str | None, model_handle: str | None, endpoint: str | None) -> _Asked:
    """Made once for each model: of a step's fields these are the ones that most steps have in common."""
    address, port = genai.server(endpoint)
    provider = genai.provider_name(provider_name)
    attributes: values.Raws = {
        genai.OPERATION_NAME: genai.CHAT,
        letta.MODEL_HANDLE: model_handle,
        genai.PROVIDER_NAME: provider,
        genai.PEER_SERVICE: provider,
        letta.PROVIDER_NAME: provider_name,
        genai.REQUEST_MODEL: model,
        genai.SERVER_ADDRESS: address,
        genai.SERVER_PORT: port,
    }
    return _Asked(f"{genai.CHAT} {values.name(model)}" if model else genai.CHAT, values.attributes(attributes))
