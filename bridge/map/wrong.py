"""A step or a run that failed, was cancelled or abandoned: its log event, and what alerts and people are shown of it.

Both are in the context of its span. Foreign text in the one line for a person has no line break and no control
character, and is cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from bridge.follow.ended import ABANDONED, CANCELLED, FAILED
from bridge.follow.state import Noted
from bridge.map import genai, ids, letta, values
from bridge.map.failures import Failure
from bridge.map.options import MapOptions
from bridge.map.status import SpanStatus, run_message, step_message
from bridge.map.step import Place
from bridge.map.telemetry import LogEvent, Severity
from bridge.source.models import Run, Step

OUTCOMES: Final = frozenset({FAILED, CANCELLED, ABANDONED})
_WHY: Final = {CANCELLED: "cancelled on request", ABANDONED: "Letta never said how it ended"}
_NS: Final = 1_000_000_000
_FEW: Final = 64  # characters of a name in the line for a person


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is told of it.

    Attributes:
        kind: of what.
        outcome: one of OUTCOMES.
        status: of its span.
        place: its trace, its run, its agent and conversation.
        span_id: of its span.
        stop_reason: Letta's.
        message: the error's whole message; None where nothing was said.
        step_id: None for a run.
        agent_id: the step's own, where it names one.
        model_handle: None for a run.
    """

    kind: Literal["step", "run"]
    outcome: str
    status: SpanStatus
    place: Place
    span_id: bytes
    stop_reason: str | None = None
    message: str | None = None
    step_id: str | None = None
    agent_id: str | None = None
    model_handle: str | None = None


def of_step(step: Step, outcome: str, status: SpanStatus, place: Place) -> Wrong:
    """Of a step; `place` is its own."""
    return Wrong(
        kind="step",
        outcome=outcome,
        status=status,
        place=place,
        span_id=ids.span_id(place.trace_id, ids.STEP, step.id),
        stop_reason=step.stop_reason,
        message=step_message(step),
        step_id=step.id,
        agent_id=step.agent_id,
        model_handle=step.model_handle,
    )


def of_run(run: Run, outcome: str, status: SpanStatus, place: Place) -> Wrong:
    """Of a run; `place` is its steps'."""
    return Wrong(
        kind="run",
        outcome=outcome,
        status=status,
        place=place,
        span_id=place.parent_id,
        stop_reason=run.stop_reason,
        message=run_message(run) if outcome == FAILED else None,
    )


def any_step(noted: Iterable[Noted]) -> bool:
    """Whether one of the steps went wrong, so that their run says nothing new."""
    return any(note.outcome in OUTCOMES for note in noted)


def failure(wrong: Wrong, seen_ns: int) -> Failure:
    """It as it is kept for alerts."""
    place = wrong.place
    return Failure(
        kind=wrong.kind,
        seen_at=seen_ns / _NS,
        status=wrong.outcome,
        error_type=_label(wrong.status.error_type),
        message=values.line(wrong.message),
        run_id=place.run_id,
        step_id=wrong.step_id,
        trace_id=place.trace_id.hex(),
        span_id=wrong.span_id.hex(),
        agent_id=_label(wrong.agent_id or place.agent_id),
        agent_name=_label(place.agent_name),
        model_handle=_label(wrong.model_handle),
    )


def event(wrong: Wrong, *, ended_ns: int, observed_ns: int, options: MapOptions) -> LogEvent:
    """It as a log event.

    Args:
        wrong: what is told.
        ended_ns: when its span ended.
        observed_ns: when the bridge saw it.
        options: the user's choices.
    """
    place = wrong.place
    of_step = wrong.kind == "step"
    attributes: values.Raws = {
        letta.STEP_ID: wrong.step_id,
        letta.RUN_ID: place.run_id,
        genai.AGENT_ID: wrong.agent_id or place.agent_id,
        genai.AGENT_NAME: place.agent_name,
        genai.CONVERSATION_ID: place.conversation_id,
        letta.MODEL_HANDLE: wrong.model_handle,
        letta.STEP_STATUS if of_step else letta.RUN_STATUS: wrong.outcome,
        letta.STEP_STOP_REASON if of_step else letta.RUN_STOP_REASON: wrong.stop_reason,
        genai.ERROR_TYPE: wrong.status.error_type,
        genai.EXCEPTION_MESSAGE: values.message(wrong.message) if wrong.message else None,
        letta.TRACE_URL: options.trace_url and options.trace_url.replace("{trace_id}", place.trace_id.hex()),
    }
    return LogEvent(
        name=(letta.STEP_EVENT if of_step else letta.RUN_EVENT) + wrong.outcome,
        time_ns=ended_ns,
        observed_ns=observed_ns,
        trace_id=place.trace_id,
        span_id=wrong.span_id,
        severity=_severity(wrong.outcome, options),
        body=_line(wrong),
        attributes=values.attributes(attributes),
    )


def _severity(outcome: str, options: MapOptions) -> Severity:
    if outcome != CANCELLED:
        return Severity.ERROR
    return Severity.WARN if options.cancelled_is_error else Severity.INFO


def _line(wrong: Wrong) -> str:
    """`Step failed: agent support, model openai/gpt-4o: LLMServerError: overloaded`."""
    agent = wrong.place.agent_name or wrong.agent_id or wrong.place.agent_id
    who = ", ".join(
        f"{what} {values.name(name)[:_FEW]}"
        for what, name in (("agent", agent), ("model", wrong.model_handle))
        if name
    )
    said = (wrong.status.error_type, wrong.message) if wrong.outcome == FAILED else (_WHY[wrong.outcome],)
    return values.line(": ".join(part for part in (f"{wrong.kind.title()} {wrong.outcome}", who, *said) if part))


def _label(value: str | None) -> str | None:
    """As it stands on metrics."""
    return value and values.name(value)
