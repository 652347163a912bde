"""What one visit to a run has read, and what was decided about it: plain data between source, follow and map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.follow.state import FollowedRun
from bridge.source.models import Message, Run, RunMetrics, Step, StepMetrics


class Outcome(StrEnum):
    """How a step ended, as far as the bridge can tell; Letta itself never says cancelled (0.16.8)."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


SUCCESS: Final = Outcome.SUCCESS  # Python 3.11 takes as long to look up a member of an enum as to call a function


class Closing(StrEnum):
    """Why a run's own span is due."""

    OVER = "over"  # it ended, and everything that belongs to it had time to arrive
    STALE = "stale"  # still active by its status, but without news for longer than the limit


@dataclass(frozen=True, slots=True)
class ForeignStep:
    """Where a tool belongs that ran in this run for a step of an earlier one (it waited for approval).

    Attributes:
        step_id: the earlier step.
        run_id: the earlier run.
        trace_id: the trace the earlier step was or will be sent in, 32 hex digits.
        open: whether the ledger still follows that run, so that its trace is still growing.
    """

    step_id: str
    run_id: str | None
    trace_id: str
    open: bool


@dataclass(frozen=True, slots=True)
class ReadFrom:
    """Where a page of steps begins: after this step, or at the run's first where it is None."""

    step_id: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """All that one visit read of one run.

    Attributes:
        run: the run's row, read before its steps.
        steps: the steps after the cursor, oldest first; one page. It may begin with steps that are delivered.
        order: ids of everything on that page, steps that could not be read included.
        more: whether the server is likely to have further steps after this page.
        ended: whether it is proven that it has none.
        measured: whether lengths were asked for at all in this visit.
        messages: the run's messages after the message cursor, oldest first, of all steps.
        step_metrics: by step id; a step is missing where the budget did not reach or the row is not there yet.
        run_metrics: None where not read.
        agent_name: None where not known.
        foreign_steps: by step id, for tool returns whose step is not this run's.
        at: the bridge's clock when the reading began, seconds since the epoch.
        server_now: the server's own clock by its Date header, seconds since the epoch; None without one.
        start: where the page begins; None for after the run's cursor.
    """

    run: Run
    steps: tuple[Step, ...]
    at: float
    order: tuple[str, ...] = ()
    more: bool = False
    ended: bool = False
    measured: bool = True
    messages: tuple[Message, ...] = ()
    step_metrics: Mapping[str, StepMetrics] = field(default_factory=dict)
    run_metrics: RunMetrics | None = None
    agent_name: str | None = None
    foreign_steps: Mapping[str, ForeignStep] = field(default_factory=dict)
    server_now: float | None = None
    start: ReadFrom | None = None

    @property
    def server_ahead(self) -> float | None:
        """Seconds that the server's clock was ahead of the bridge's."""
        return None if self.server_now is None else self.server_now - self.at


class SettledStep(NamedTuple):
    """A step that is over and whose belongings have arrived or were waited for: ready to be sent, once."""

    step: Step
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reading leads to.

    Attributes:
        settled: the steps to send now, oldest first.
        run: the run as it is to be remembered once those are delivered.
        closing: set when the run's own span is due as well.
    """

    settled: tuple[SettledStep, ...]
    run: FollowedRun
    closing: Closing | None = None
