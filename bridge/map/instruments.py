"""Every instrument that Letta's records feed, with its unit and its histogram bounds.

The bounds are fixed for good: totals in the ledger are counted by them, and buckets of other bounds cannot be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How an instrument's values add up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: as exported.
        kind: how its values add up.
        unit: in UCUM, as OpenTelemetry wants it.
        description: one sentence.
        bounds: upper bounds of a histogram's buckets, the last bucket has none; empty otherwise.
        integer: whether it counts whole things.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    bounds: tuple[float, ...] = ()
    integer: bool = False


# As the GenAI conventions give them (semantic-conventions v1.41).
_TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
_OPERATION_BOUNDS: Final = tuple(0.01 * 2**power for power in range(14))
# The same, doubled on to 22 minutes: a run or a tool takes longer than a request.
_LONG_BOUNDS: Final = tuple(0.01 * 2**power for power in range(18))
_RATIO_BOUNDS: Final = tuple(tenth / 10 for tenth in range(1, 11))

TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a count of words, not a secret
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
STEPS: Final = "letta.steps"
TOKENS: Final = "letta.tokens"
STEP_DURATION: Final = "letta.step.duration"
TOOL_DURATION: Final = "letta.tool.duration"
RUN_DURATION: Final = "letta.run.duration"
TOOL_CALLS: Final = "letta.tool.calls"
RUNS: Final = "letta.runs"
FEEDBACK: Final = "letta.feedback"
LATE_CHANGES: Final = "letta.late_changes"
CONTEXT_WINDOW_USED_RATIO: Final = "letta.context_window.used_ratio"
RUNS_OPEN: Final = "letta.runs.open"
RUN_OLDEST_OPEN_AGE: Final = "letta.run.oldest_open_age"
APPROVALS_WAITING: Final = "letta.approvals.waiting"


def _counter(name: str, unit: str, description: str) -> Instrument:
    return Instrument(name, Kind.COUNTER, unit, description, integer=True)


def _histogram(
    name: str, unit: str, description: str, bounds: tuple[float, ...], *, integer: bool = False
) -> Instrument:
    return Instrument(name, Kind.HISTOGRAM, unit, description, bounds, integer)


def _gauge(name: str, unit: str, description: str, *, integer: bool) -> Instrument:
    return Instrument(name, Kind.GAUGE, unit, description, integer=integer)


_ALL: Final = (
    _histogram(TOKEN_USAGE, "{token}", "Tokens of an LLM request, by type.", _TOKEN_BOUNDS, integer=True),
    _histogram(OPERATION_DURATION, "s", "Length of an LLM request as Letta measured it.", _OPERATION_BOUNDS),
    _counter(STEPS, "{step}", "Steps that are over."),
    _counter(TOKENS, "{token}", "Tokens, by type."),
    _histogram(STEP_DURATION, "s", "Length of a step as Letta measured it.", _LONG_BOUNDS),
    _histogram(TOOL_DURATION, "s", "Length of a tool alone in its step, as Letta measured it.", _LONG_BOUNDS),
    _histogram(RUN_DURATION, "s", "Length of a run as Letta measured it.", _LONG_BOUNDS),
    _counter(TOOL_CALLS, "{call}", "Tools that ran."),
    _counter(RUNS, "{run}", "Runs that are over."),
    _counter(FEEDBACK, "{feedback}", "Feedback that was given to steps."),
    _counter(LATE_CHANGES, "{change}", "Changes of runs and steps after their spans were sent, by kind."),
    _histogram(CONTEXT_WINDOW_USED_RATIO, "1", "Share of the context window that a step took.", _RATIO_BOUNDS),
    _gauge(RUNS_OPEN, "{run}", "Runs that are not over.", integer=True),
    _gauge(RUN_OLDEST_OPEN_AGE, "s", "Age of the oldest run that is not over.", integer=False),
    _gauge(APPROVALS_WAITING, "{run}", "Runs that stopped for an approval nobody has given yet.", integer=True),
)

CATALOGUE: Final = {instrument.name: instrument for instrument in _ALL}
