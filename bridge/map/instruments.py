"""Every instrument that Letta's records feed, with its unit and its histogram bounds.

The bounds are fixed for good: totals in the ledger are counted by them, and buckets of other bounds cannot be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.map import genai, letta


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
        attributes: the names of what its series are told apart by, sorted; a series lacks those without a value.
        of_agents: whether the agent stands on it too where the user wants that.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    bounds: tuple[float, ...] = ()
    integer: bool = False
    attributes: tuple[str, ...] = ()
    of_agents: bool = True


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
COST: Final = "letta.cost"
UNPRICED_TOKENS: Final = "letta.cost.unpriced_tokens"
STEP_LAST_FAILURE: Final = "letta.step.last_failure.timestamp"
RUN_LAST_FAILURE: Final = "letta.run.last_failure.timestamp"
RUNS_OPEN: Final = "letta.runs.open"
RUN_OLDEST_OPEN_AGE: Final = "letta.run.oldest_open_age"
APPROVALS_WAITING: Final = "letta.approvals.waiting"


TRACE_ID: Final = "trace_id"  # as log lines and exemplars name it
AGENT: Final = (genai.AGENT_ID, genai.AGENT_NAME)

_REQUEST: Final = (genai.ERROR_TYPE, genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL)
_USAGE: Final = (genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL, genai.TOKEN_TYPE)
_STEP: Final = (
    genai.ERROR_TYPE,
    letta.MODEL_HANDLE,
    letta.STEP_STATUS,
    letta.STEP_STOP_REASON,
    letta.STEP_SUSPECT,
)
_TOOL: Final = (genai.TOOL_NAME, letta.TOOL_STATUS)
_FAILURE: Final = (genai.ERROR_TYPE, *AGENT)
_OF_TRACE: Final = (letta.TRACE_URL, TRACE_ID)


def _counter(name: str, unit: str, description: str, *attributes: str) -> Instrument:
    return Instrument(name, Kind.COUNTER, unit, description, integer=True, attributes=attributes)


def _histogram(
    name: str, unit: str, description: str, bounds: tuple[float, ...], *attributes: str, integer: bool = False
) -> Instrument:
    return Instrument(name, Kind.HISTOGRAM, unit, description, bounds, integer, attributes)


def _gauge(name: str, unit: str, description: str, *attributes: str, integer: bool) -> Instrument:
    return Instrument(name, Kind.GAUGE, unit, description, integer=integer, attributes=attributes, of_agents=False)


_ALL: Final = (
    _histogram(TOKEN_USAGE, "{token}", "Tokens of an LLM request, by type.", _TOKEN_BOUNDS, *_USAGE, integer=True),
    _histogram(
        OPERATION_DURATION, "s", "Length of an LLM request as Letta measured it.", _OPERATION_BOUNDS, *_REQUEST
    ),
    _counter(STEPS, "{step}", "Steps that are over.", *_STEP),
    _counter(TOKENS, "{token}", "Tokens, by type.", letta.MODEL_HANDLE, letta.TOKEN_TYPE),
    _histogram(STEP_DURATION, "s", "Length of a step as Letta measured it.", _LONG_BOUNDS, letta.STEP_STATUS),
    _histogram(TOOL_DURATION, "s", "Length of a tool alone in its step, as Letta measured it.", _LONG_BOUNDS, *_TOOL),
    _histogram(RUN_DURATION, "s", "Length of a run as Letta measured it.", _LONG_BOUNDS, letta.RUN_STATUS),
    _counter(TOOL_CALLS, "{call}", "Tools that ran.", *_TOOL),
    _counter(RUNS, "{run}", "Runs that are over.", letta.RUN_STATUS, letta.RUN_STOP_REASON),
    _counter(FEEDBACK, "{feedback}", "Feedback that was given to steps.", letta.FEEDBACK_VALUE),
    _counter(
        LATE_CHANGES, "{change}", "Changes of runs and steps after their spans were sent, by kind.", letta.CHANGE
    ),
    _histogram(
        CONTEXT_WINDOW_USED_RATIO,
        "1",
        "Share of the context window that a step took.",
        _RATIO_BOUNDS,
        letta.MODEL_HANDLE,
    ),
    Instrument(COST, Kind.COUNTER, "USD", "What tokens cost by their list price.", attributes=(letta.MODEL_HANDLE,)),
    _counter(
        UNPRICED_TOKENS, "{token}", "Tokens, input and output, of models without a list price.", letta.MODEL_HANDLE
    ),
    _gauge(
        STEP_LAST_FAILURE,
        "s",
        "When the last step was seen that failed, was cancelled or abandoned.",
        *sorted((*_FAILURE, letta.MODEL_HANDLE, letta.RUN_ID, letta.STEP_ID, letta.STEP_STATUS, *_OF_TRACE)),
        integer=False,
    ),
    _gauge(
        RUN_LAST_FAILURE,
        "s",
        "When the last run was seen that failed though none of its steps did.",
        *sorted((*_FAILURE, letta.RUN_ID, letta.RUN_STATUS, *_OF_TRACE)),
        integer=False,
    ),
    _gauge(RUNS_OPEN, "{run}", "Runs that are not over.", letta.RUN_STATUS, integer=True),
    _gauge(RUN_OLDEST_OPEN_AGE, "s", "Age of the oldest run that is not over.", integer=False),
    _gauge(APPROVALS_WAITING, "{run}", "Runs that stopped for an approval nobody has given yet.", integer=True),
)

CATALOGUE: Final = {instrument.name: instrument for instrument in _ALL}
