"""What went wrong lately, each with the trace that shows it: what an alert links to and a person asks for first."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Failure(BaseModel):
    """A step or a run that failed, was cancelled or abandoned.

    A run is one only where none of its steps is: it says nothing new otherwise.

    Attributes:
        kind: of what.
        seen_at: when the bridge saw it, seconds since the epoch.
        status: failed, cancelled or abandoned.
        error_type: as on its span.
        message: one line for a person, cut as a span's status is; empty where nothing was said.
        run_id: None for a step without a run.
        step_id: None for a run.
        trace_id: 32 hexadecimal digits.
        span_id: of the step's or the run's span, 16 hexadecimal digits.
        agent_id: None where Letta names none.
        agent_name: None where it is not known.
        model_handle: None for a run.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["step", "run"]
    seen_at: float
    status: str
    error_type: str | None = None
    message: str = ""
    run_id: str | None = None
    step_id: str | None = None
    trace_id: str
    span_id: str
    agent_id: str | None = None
    agent_name: str | None = None
    model_handle: str | None = None
