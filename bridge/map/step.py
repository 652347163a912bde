"""A step's own span and its chat: `agent_step`, and below it `chat {model}`, which alone carries usage.

Every step gets a chat, a pending one too: Letta writes the step's row right before it asks the model, and the model,
the provider and the address have no other place. Its status is the step's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.follow.reading import Outcome, SettledStep
from bridge.map import genai, ids, letta, values
from bridge.map.status import SpanStatus, exception_event
from bridge.map.telemetry import Link, Span, SpanKind
from bridge.map.timing import StepTimes, Timing
from bridge.map.usage import Usage
from bridge.source.models import Step


@dataclass(frozen=True, slots=True)
class Place:
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


def step_place(step: Step, run: Place) -> Place:
    """The run's trace, except for a step that Letta keeps in another: a root there, linked to the run's span."""
    own = ids.usable_trace_id(step.trace_id)
    if own is None or run.parent_id == b"" or bytes.fromhex(own) == run.trace_id:
        return run
    return replace(run, trace_id=bytes.fromhex(own), parent_id=b"", links=(Link(run.trace_id, run.parent_id),))


def step_spans(
    settled: SettledStep, usage: Usage, times: StepTimes, status: SpanStatus, place: Place
) -> tuple[Span, Span]:
    """The step's span and its chat.

    Args:
        settled: the step and how it ended.
        usage: its tokens.
        times: its intervals.
        status: of both spans.
        place: where they go.
    """
    step = settled.step
    common: values.Raws = {
        **place.common(step_id=step.id, agent_id=step.agent_id, raw_trace_id=step.trace_id),
        letta.MODEL_HANDLE: step.model_handle,
        letta.STEP_STATUS: settled.outcome.value,
        genai.ERROR_TYPE: status.error_type,
    }
    own = Span(
        trace_id=place.trace_id,
        span_id=ids.span_id(place.trace_id, ids.STEP, step.id),
        parent_id=place.parent_id,
        name="agent_step",
        kind=SpanKind.INTERNAL,
        start_ns=times.step.start_ns,
        end_ns=times.step.end_ns,
        attributes=values.attributes({**common, **_step_attributes(settled, usage, times.step.timing)}),
        status=status.code,
        status_message=status.message,
        events=exception_event(step, times.step.end_ns),
        links=place.links,
    )
    chat = Span(
        trace_id=place.trace_id,
        span_id=ids.span_id(place.trace_id, ids.CHAT, step.id),
        parent_id=own.span_id,
        name=f"{genai.CHAT} {values.name(step.model)}" if step.model else genai.CHAT,
        kind=SpanKind.CLIENT,
        start_ns=times.chat.start_ns,
        end_ns=times.chat.end_ns,
        attributes=values.attributes({**common, **_chat_attributes(step, usage, times.chat.timing)}),
        status=status.code,
        status_message=status.message,
        events=exception_event(step, times.chat.end_ns),
    )
    return own, chat


def suspect(settled: SettledStep, usage: Usage) -> str | None:
    """What is odd about a success: one without a single token is a stream that broke off (0.16.8)."""
    return letta.NO_USAGE if settled.outcome is Outcome.SUCCESS and not usage.is_known else None


def _step_attributes(settled: SettledStep, usage: Usage, timing: Timing) -> values.Raws:
    step = settled.step
    return {
        letta.STEP_RAW_STATUS: step.status if step.status != settled.outcome.value else None,
        letta.STEP_STOP_REASON: step.stop_reason,
        letta.STEP_SUSPECT: suspect(settled, usage),
        letta.STEP_TAGS: step.tags,
        letta.STEP_ORIGIN: step.origin,
        letta.PROVIDER_CATEGORY: step.provider_category,
        letta.PROVIDER_ID: step.provider_id,
        letta.PROJECT_ID: step.project_id,
        letta.TRANSACTION_ID: step.tid,
        letta.REQUEST_ID: step.request_id,
        letta.TIMING: timing.value,
    }


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


def _chat_attributes(step: Step, usage: Usage, timing: Timing) -> values.Raws:
    address, port = genai.server(step.model_endpoint)
    provider = genai.provider_name(step.provider_name)
    return {
        genai.OPERATION_NAME: genai.CHAT,
        genai.PROVIDER_NAME: provider,
        genai.PEER_SERVICE: provider,
        letta.PROVIDER_NAME: step.provider_name,
        genai.REQUEST_MODEL: step.model,
        genai.FINISH_REASONS: (step.stop_reason,) if step.stop_reason else None,
        genai.SERVER_ADDRESS: address,
        genai.SERVER_PORT: port,
        **token_attributes(usage),
        letta.CONTEXT_WINDOW_LIMIT: step.context_window_limit,
        letta.CONTEXT_WINDOW_USED_RATIO: usage.used_ratio(step.context_window_limit),
        letta.TIMING: timing.value,
    }
