"""Why a span is red: Letta's statuses, stop reasons and errors as span status and error.type.

Letta never calls a step cancelled or abandoned (0.16.8): that is concluded before (`Outcome`), and what Letta says
stays beside it as the raw status. A status never seen before is text like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.follow.ended import ABANDONED, CANCELLED, FAILED, run_state
from bridge.follow.reading import SUCCESS, Closing, Outcome
from bridge.follow.state import Sums
from bridge.map import genai, values
from bridge.map.telemetry import Event, StatusCode
from bridge.source.models import Run, Step

TOOL_ERROR: Final = "tool_error"
_ERROR: Final = "error"
_CODE: Final = re.compile(r"([A-Z][A-Z0-9_]+):")  # "INTERNAL_SERVER_ERROR: OpenAI API error: ..."


class SpanStatus(NamedTuple):
    """A span's status; `error_type` is None exactly where the span is no error."""

    code: StatusCode = StatusCode.UNSET
    message: str = ""
    error_type: str | None = None


FINE: Final = SpanStatus()
_ABANDONED: Final = SpanStatus(StatusCode.ERROR, ABANDONED, ABANDONED)
_CANCELLED: Final = SpanStatus(StatusCode.ERROR, CANCELLED, CANCELLED)
_TOOL_FAILED: Final = SpanStatus(StatusCode.ERROR, TOOL_ERROR, TOOL_ERROR)


def step_status(step: Step, outcome: Outcome, *, cancelled_is_error: bool) -> SpanStatus:
    """Of a step's span, and of its chat's."""
    if outcome is SUCCESS:
        return FINE
    match outcome:
        case Outcome.FAILED:
            error_type = step.error_type or step.stop_reason or genai.ERROR_OTHER
            return _error(step_message(step) or error_type, error_type)
        case Outcome.CANCELLED:
            return _CANCELLED if cancelled_is_error else FINE
        case Outcome.ABANDONED:
            return _ABANDONED


def tool_status(status: str | None) -> SpanStatus:
    """Of one call's own return; what a tool says went wrong is content and stays out."""
    return _TOOL_FAILED if status == _ERROR else FINE


def run_status(run: Run, closing: Closing, sums: Sums, *, cancelled_is_error: bool) -> SpanStatus:
    """Of a run's own span, whatever its steps say."""
    state = run_state(run, closing, sums)
    if state == ABANDONED:
        return _ABANDONED
    if state == CANCELLED:
        return _CANCELLED if cancelled_is_error else FINE
    if state != FAILED:
        return FINE
    error = (run.metadata or {}).get("error")
    error_type = run.stop_reason or sums.error_type or _metadata_error_type(error) or genai.ERROR_OTHER
    return _error(_metadata_error_message(error) or error_type, error_type)


def step_message(step: Step) -> str | None:
    """What Letta keeps of the error; None where it says nothing."""
    return _text(step.error_data, "message")


def run_message(run: Run) -> str | None:
    """The same of a run."""
    return _metadata_error_message((run.metadata or {}).get("error"))


def exception_event(step: Step, at_ns: int) -> tuple[Event, ...]:
    """The error as Letta kept it, at the moment given; no event where there is none."""
    if not (step.error_type or step.error_data):
        return ()
    error_type, message, traceback = step.error_type, step_message(step), _text(step.error_data, "traceback")
    if not (error_type or message or traceback):
        return ()
    attributes = values.attributes(
        {
            genai.EXCEPTION_TYPE: error_type,
            genai.EXCEPTION_MESSAGE: values.message(message) if message else None,
            genai.EXCEPTION_STACKTRACE: values.stacktrace(traceback) if traceback else None,
        }
    )
    return (Event(genai.EXCEPTION, at_ns, attributes),)


def _error(message: str, error_type: str) -> SpanStatus:
    return SpanStatus(StatusCode.ERROR, values.description(message), error_type)


def _text(details: Mapping[str, Any] | None, key: str) -> str | None:
    value = details.get(key) if details else None
    return value if isinstance(value, str) and value else None


def _metadata_error_type(error: object) -> str | None:
    """A stream leaves an object, the others a text that begins with the error's code."""
    if isinstance(error, Mapping):
        return _text(error, "error_type")
    match = _CODE.match(error) if isinstance(error, str) else None
    return match[1] if match else None


def _metadata_error_message(error: object) -> str | None:
    if isinstance(error, Mapping):
        return _text(error, "detail") or _text(error, "message")
    return error if isinstance(error, str) else None
