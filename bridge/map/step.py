"""A step's own span and its chat: `agent_step`, and below it `chat {model}`, which alone carries usage.

Every step gets a chat, a pending one too: Letta writes the step's row right before it asks the model, and the model,
the provider and the address have no other place. Its status is the step's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from bridge.follow.reading import SUCCESS, SettledStep
from bridge.map import genai, ids, letta, values
from bridge.map.series import AttributeValue
from bridge.map.status import SpanStatus, exception_event
from bridge.map.telemetry import CLIENT, INTERNAL, Attributes, Layer, Link, Span
from bridge.map.timing import Interval, StepTimes
from bridge.map.usage import Usage
from bridge.source.models import Step

_RUN: Final = (letta.RUN_ID, genai.AGENT_ID, genai.AGENT_NAME, genai.CONVERSATION_ID, letta.STEP_STATUS)
_STEP: Final = (
    letta.MODEL_HANDLE,
    genai.ERROR_TYPE,
    letta.STEP_RAW_STATUS,
    letta.STEP_STOP_REASON,
    letta.STEP_SUSPECT,
    letta.STEP_TAGS,
    letta.STEP_ORIGIN,
    letta.PROVIDER_CATEGORY,
    letta.PROVIDER_ID,
    letta.PROJECT_ID,
    letta.TIMING,
)
_CHAT: Final = (genai.ERROR_TYPE, genai.FINISH_REASONS, letta.CONTEXT_WINDOW_LIMIT, letta.TIMING)
_TOKENS: Final = (  # in the order of Usage
    genai.INPUT_TOKENS,
    genai.OUTPUT_TOKENS,
    letta.TOTAL_TOKENS,
    genai.CACHE_READ_TOKENS,
    genai.CACHE_CREATION_TOKENS,
    genai.REASONING_TOKENS,
)


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

    def layer(self, agent_id: str | None = None, outcome: str | None = None) -> Layer:
        """What the spans of all its steps carry that ended alike; `agent_id` is the step's own."""
        return values.shared(
            _RUN, (self.run_id, agent_id or self.agent_id, self.agent_name, self.conversation_id, outcome)
        )


class Shared(NamedTuple):
    """What the spans of one step have in common.

    Attributes:
        place: where they go.
        layers: on all of them, tools included.
        settled: the step and how it ended.
        status: of its own span and its chat's.
        suspect: see `suspect`.
    """

    place: Place
    layers: tuple[Layer, Layer]
    settled: SettledStep
    status: SpanStatus
    suspect: str | None


def step_place(step: Step, run: Place) -> Place:
    """The run's trace, except for a step that Letta keeps in another: a root there, linked to the run's span."""
    own = ids.usable_trace_id(step.trace_id)
    if own is None or run.parent_id == b"" or bytes.fromhex(own) == run.trace_id:
        return run
    return run._replace(trace_id=bytes.fromhex(own), parent_id=b"", links=(Link(run.trace_id, run.parent_id),))


def shared_by(settled: SettledStep, usage: Usage, status: SpanStatus, place: Place) -> Shared:
    """What the step's spans share; `place` is the step's own."""
    step = settled.step
    layers = (values.layer(identity(step)), place.layer(step.agent_id, str(settled.outcome)))
    return Shared(place, layers, settled, status, suspect(settled, usage))


def identity(step: Step) -> values.Raws:
    """What names the step itself; its run and its agent are the place's."""
    if not step.trace_id or ids.usable_trace_id(step.trace_id):
        return {letta.STEP_ID: step.id}
    return {letta.STEP_ID: step.id, letta.TRACE_ID: step.trace_id}


def step_spans(shared: Shared, usage: Usage, times: StepTimes) -> tuple[Span, Span]:
    """The step's span and its chat.

    Args:
        shared: what they have in common.
        usage: the step's tokens.
        times: its intervals.
    """
    own = step_span(shared, times.step)
    return own, chat_span(shared, usage, times.chat, own.span_id)


def step_span(shared: Shared, times: Interval) -> Span:
    """The step's span."""
    place, step, status = shared.place, shared.settled.step, shared.status
    told = (
        step.model_handle,
        status.error_type,
        step.status if step.status != shared.settled.outcome else None,
        step.stop_reason,
        shared.suspect,
        step.tags,
        step.origin,
        step.provider_category,
        step.provider_id,
        step.project_id,
        times.timing,
    )
    layers: tuple[Attributes, ...] = (*shared.layers, values.shared(_STEP, told))
    if step.tid or step.request_id:
        own = {letta.TRANSACTION_ID: step.tid, letta.REQUEST_ID: step.request_id}
        layers = (*layers, values.attributes(own))
    return Span(
        place.trace_id,
        ids.span_id(place.trace_id, ids.STEP, step.id),
        place.parent_id,
        "agent_step",
        INTERNAL,
        times.start_ns,
        times.end_ns,
        layers,
        status.code,
        status.message,
        exception_event(step, times.end_ns),
        place.links,
    )


def chat_span(shared: Shared, usage: Usage, times: Interval, parent_id: bytes) -> Span:
    """The span of the step's LLM request; `parent_id` is the step's span."""
    place, step, status = shared.place, shared.settled.step, shared.status
    limit = step.context_window_limit
    asked = _asked(step.provider_name, step.model, step.model_handle, step.model_endpoint)
    finish_reasons = (step.stop_reason,) if step.stop_reason else None
    told = values.shared(_CHAT, (status.error_type, finish_reasons, limit, times.timing))
    return Span(
        place.trace_id,
        ids.span_id(place.trace_id, ids.CHAT, step.id),
        parent_id,
        asked.name,
        CLIENT,
        times.start_ns,
        times.end_ns,
        (*shared.layers, asked.layer, told, _used(usage, limit)),
        status.code,
        status.message,
        exception_event(step, times.end_ns),
    )


def suspect(settled: SettledStep, usage: Usage) -> str | None:
    """What is odd about a success: one without a single token is a stream that broke off (0.16.8)."""
    return letta.NO_USAGE if settled.outcome is SUCCESS and not usage.is_known else None


def token_attributes(usage: Usage) -> values.Raws:
    """The tokens of an LLM request, each under its name."""
    return dict(zip(_TOKENS, usage, strict=True))


class _Asked(NamedTuple):
    """The name of a chat's span, and which model was asked where."""

    name: str
    layer: Layer


@lru_cache(maxsize=256)
def _asked(provider_name: str | None, model: str | None, model_handle: str | None, endpoint: str | None) -> _Asked:
    """Made once for each model."""
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
    return _Asked(f"{genai.CHAT} {values.name(model)}" if model else genai.CHAT, values.layer(attributes))


def _used(usage: Usage, limit: int | None) -> Attributes:
    """The tokens of a step, which are numbers of 64 bits, and the share of its window that they take."""
    told = zip(_TOKENS, usage, strict=True)
    used: dict[str, AttributeValue] = {name: count for name, count in told if count is not None}
    ratio = usage.used_ratio(limit)
    if ratio is not None:
        used[letta.CONTEXT_WINDOW_USED_RATIO] = ratio
    return used
