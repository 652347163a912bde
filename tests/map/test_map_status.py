"""Why a span is red."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.follow import ended
from bridge.follow.reading import Closing, Outcome
from bridge.follow.state import Sums
from bridge.map.status import SpanStatus, exception_event, run_status, step_status, tool_status
from bridge.map.telemetry import StatusCode
from bridge.source.models import Run, Step

FINE = SpanStatus()
CANCELLED = SpanStatus(StatusCode.ERROR, "cancelled", "cancelled")
ABANDONED = SpanStatus(StatusCode.ERROR, "abandoned", "abandoned")


def step(**fields: Any) -> Step:
    return Step(id="step-1", **fields)


def run(**fields: Any) -> Run:
    return Run(id="run-1", created_at=datetime(2026, 11, 21, tzinfo=UTC), **fields)


def error(message: str, error_type: str) -> SpanStatus:
    return SpanStatus(StatusCode.ERROR, message, error_type)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"error_type": "E", "stop_reason": "s", "error_data": {"message": "m"}}, error("m", "E")),
        ({"error_type": "E", "stop_reason": "s"}, error("E", "E")),
        ({"stop_reason": "s", "error_data": {"message": "m"}}, error("m", "s")),
        ({"stop_reason": "s", "error_data": {"message": None}}, error("s", "s")),
        ({"error_data": {"message": {"odd": 1}}}, error("_OTHER", "_OTHER")),
        ({}, error("_OTHER", "_OTHER")),
    ],
)
def test_failed_step(fields: dict[str, Any], status: SpanStatus) -> None:
    assert step_status(step(**fields), Outcome.FAILED, cancelled_is_error=True) == status


def test_other_outcomes_take_nothing_from_the_raw_error() -> None:
    raw = step(error_type="Unknown", error_data={"message": "Unknown error"}, stop_reason="error")
    assert step_status(raw, Outcome.SUCCESS, cancelled_is_error=True) == FINE
    assert step_status(raw, Outcome.CANCELLED, cancelled_is_error=True) == CANCELLED
    assert step_status(raw, Outcome.CANCELLED, cancelled_is_error=False) == FINE
    assert step_status(raw, Outcome.ABANDONED, cancelled_is_error=False) == ABANDONED


@pytest.mark.parametrize("status", ["success", "unknown", "postponed", None])
def test_tool_that_did_not_fail(status: str | None) -> None:
    assert tool_status(status) == FINE


def test_tool_that_failed() -> None:
    assert tool_status("error") == error("tool_error", "tool_error")


@pytest.mark.parametrize(
    ("status", "closing", "failed_steps", "state"),
    [
        ("completed", Closing.OVER, 0, "completed"),
        ("failed", Closing.OVER, 0, "failed"),
        ("cancelled", Closing.OVER, 0, "cancelled"),
        ("expired", Closing.OVER, 0, "expired"),
        (None, Closing.OVER, 0, None),
        ("created", Closing.OVER, 0, "completed"),
        ("running", Closing.OVER, 0, "completed"),
        ("created", Closing.STALE, 0, "abandoned"),
        ("completed", Closing.OVER, 1, "completed"),
        ("created", Closing.OVER, 1, "failed"),
        ("running", Closing.STALE, 1, "abandoned"),
    ],
)
def test_how_a_run_ended(status: str | None, closing: Closing, failed_steps: int, state: str | None) -> None:
    assert ended.run_state(run(status=status), closing, Sums(failed_steps=failed_steps)) == state


@pytest.mark.parametrize("stop_reason", ["end_turn", "max_steps", "max_tokens_exceeded", "requires_approval", None])
def test_completed_run_is_fine(stop_reason: str | None) -> None:
    failed_before = Sums(error_type="LLMServerError")
    status = run_status(
        run(status="completed", stop_reason=stop_reason), Closing.OVER, failed_before, cancelled_is_error=True
    )
    assert status == FINE


STREAM_ERROR = {"error_type": "llm_error", "message": "An error occurred.", "detail": "INTERNAL: why"}


@pytest.mark.parametrize(
    ("stop_reason", "step_error", "metadata_error", "status"),
    [
        ("llm_api_error", "LLMServerError", "INTERNAL: why", error("INTERNAL: why", "llm_api_error")),
        (None, "LLMServerError", "INTERNAL: why", error("INTERNAL: why", "LLMServerError")),
        (None, None, "INTERNAL_SERVER_ERROR: why", error("INTERNAL_SERVER_ERROR: why", "INTERNAL_SERVER_ERROR")),
        (None, None, STREAM_ERROR, error("INTERNAL: why", "llm_error")),
        (None, None, {"message": "An error occurred."}, error("An error occurred.", "_OTHER")),
        (None, None, "Error code: 500", error("Error code: 500", "_OTHER")),
        (None, None, None, error("_OTHER", "_OTHER")),
        (None, None, 42, error("_OTHER", "_OTHER")),
        ("max_tokens_exceeded", None, None, error("max_tokens_exceeded", "max_tokens_exceeded")),
    ],
)
def test_failed_run(
    stop_reason: str | None, step_error: str | None, metadata_error: object, status: SpanStatus
) -> None:
    failed = run(status="failed", stop_reason=stop_reason, metadata={"error": metadata_error})
    assert run_status(failed, Closing.OVER, Sums(error_type=step_error), cancelled_is_error=True) == status


def test_cancelled_run_whatever_its_stop_reason_still_says() -> None:
    cancelled = run(status="cancelled", stop_reason="requires_approval")
    assert run_status(cancelled, Closing.OVER, Sums(), cancelled_is_error=True) == CANCELLED
    assert run_status(cancelled, Closing.OVER, Sums(), cancelled_is_error=False) == FINE


def test_stale_run_is_abandoned() -> None:
    assert run_status(run(status="created"), Closing.STALE, Sums(), cancelled_is_error=False) == ABANDONED


def test_exception_event_keeps_what_letta_said() -> None:
    raw = step(error_type="E", error_data={"message": "m", "traceback": "t", "details": "d"})
    (event,) = exception_event(raw, 7)
    assert (event.name, event.time_ns) == ("exception", 7)
    assert event.attributes == {"exception.type": "E", "exception.message": "m", "exception.stacktrace": "t"}


@pytest.mark.parametrize("error_data", [None, {}, {"message": "", "traceback": None, "details": "d"}])
def test_no_error_no_event(error_data: dict[str, Any] | None) -> None:
    assert exception_event(step(error_data=error_data), 7) == ()
