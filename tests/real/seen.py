"""What a receiver shows, in one form for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SeenSpan:
    """A span as it can be read back: ids in hex, times in nanoseconds, status `unset`, `ok` or `error`.

    `kind` is empty where the receiver does not keep it, `parent_id` for a root.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Mapping[str, Any]

    @property
    def step_id(self) -> str:
        """Letta's step that the span is about, or an empty text."""
        return str(self.attributes.get("letta.step.id", ""))

    @property
    def run_id(self) -> str:
        """Letta's run that the span is about, or an empty text."""
        return str(self.attributes.get("letta.run.id", ""))

    @property
    def operation(self) -> str:
        """One of `invoke_agent`, `agent_step`, `chat`, `execute_tool`."""
        return self.name.split(" ")[0]


@dataclass(frozen=True)
class SeenEvent:
    """A log record as it can be read back, and the span it is about, ids in hex."""

    name: str
    trace_id: str
    span_id: str
    severity: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One value of one series at one time; of a histogram the sum of what was observed."""

    metric: str
    attributes: tuple[tuple[str, str], ...]  # sorted by name
    start_ns: int
    time_ns: int
    value: float
    cumulative: bool
