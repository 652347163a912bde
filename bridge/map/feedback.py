"""Feedback on a step: a `gen_ai.evaluation.result` in the context of the step's span.

Letta keeps no time of it, so it has none but the reading's.
"""

from __future__ import annotations

from typing import Final

from bridge.map import genai, ids, letta, values
from bridge.map.step import Place, identity
from bridge.map.telemetry import LogEvent, Severity
from bridge.source.models import Step

_NAME: Final = "feedback"
_SCORES: Final = {"positive": 1.0, "negative": 0.0}  # a thumb up or down; a value never seen has a label alone


def event(step: Step, place: Place, observed_ns: int, *, previous: str | None = None) -> LogEvent:
    """The event; the step has feedback.

    Args:
        step: its row.
        place: where its span went.
        observed_ns: when the bridge saw it, nanoseconds since the epoch.
        previous: what was told before, where it has changed.
    """
    own: values.Raws = {
        genai.EVALUATION_NAME: _NAME,
        genai.EVALUATION_LABEL: step.feedback,
        genai.EVALUATION_VALUE: _SCORES.get(step.feedback or ""),
        letta.FEEDBACK_PREVIOUS_VALUE: previous,
        letta.MODEL_HANDLE: step.model_handle,
    }
    return LogEvent(
        name=genai.EVALUATION_RESULT,
        time_ns=0,
        observed_ns=observed_ns,
        trace_id=place.trace_id,
        span_id=ids.span_id(place.trace_id, ids.STEP, step.id),
        severity=Severity.INFO,
        body=values.description(f"The feedback is {step.feedback}"),
        attributes=values.attributes({**step_attributes(step, place), **own}),
    )


def step_attributes(step: Step, place: Place) -> values.Raws:
    """What an event about a step shares with the step's span."""
    return {**identity(step), **place.layer(step.agent_id)}
