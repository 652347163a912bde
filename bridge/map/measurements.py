"""What a step, a tool or a run adds to the metrics.

Lengths are measured only where the server measured them, never from times that were laid out. A step without a single
token (it failed, it broke off) is no observation of token usage: its zeros would drown the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing, Reading, SettledStep
from bridge.follow.state import Sums
from bridge.map import genai, instruments, letta, values
from bridge.map.run import duration_ns
from bridge.map.step import suspect
from bridge.map.telemetry import AttributeValue, Measurement
from bridge.map.tools import ToolRun
from bridge.map.usage import Usage
from bridge.source.models import Step, StepMetrics

AttributeSet = tuple[tuple[str, AttributeValue], ...]

# The names of each set, sorted, as those of a measurement are.
_STEP: Final = (
    genai.ERROR_TYPE,
    letta.MODEL_HANDLE,
    letta.STEP_STATUS,
    letta.STEP_STOP_REASON,
    letta.STEP_SUSPECT,
)
_STEP_STATUS: Final = (letta.STEP_STATUS,)
_MODEL: Final = (letta.MODEL_HANDLE,)
_TOKENS: Final = (letta.MODEL_HANDLE, letta.TOKEN_TYPE)
_REQUEST: Final = (genai.ERROR_TYPE, genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL)
_TOKEN_USAGE: Final = (genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL, genai.TOKEN_TYPE)
_TOOL: Final = (genai.TOOL_NAME, letta.TOOL_STATUS)
_RUN: Final = (letta.RUN_STATUS, letta.RUN_STOP_REASON)
_FEEDBACK: Final = (letta.FEEDBACK_VALUE,)
_CHANGE: Final = (letta.CHANGE,)
_RUN_STATUS: Final = (letta.RUN_STATUS,)

_NS: Final = 1_000_000_000
_MOST_TOKENS: Final = 10**9  # of one request; more is a mistake, and would spoil the total for good


def of_step(
    settled: SettledStep, usage: Usage, metrics: StepMetrics | None, error_type: str | None
) -> Iterator[Measurement]:
    """Of the step and its LLM request.

    Args:
        settled: the step and how it ended.
        usage: its tokens.
        metrics: the lengths that the server measured.
        error_type: of its span, None where that is no error.
    """
    step, outcome = settled.step, settled.outcome.value
    odd = suspect(settled, usage)
    counted = _set(_STEP, (error_type, step.model_handle, outcome, step.stop_reason, odd))
    yield Measurement(instruments.STEPS, counted, 1)
    yield from of_usage(step, usage)
    if metrics:
        request = _set(_REQUEST, (error_type, genai.CHAT, genai.provider_name(step.provider_name), step.model))
        yield from _seconds(instruments.OPERATION_DURATION, request, metrics.llm_request_ns)
        yield from _seconds(instruments.STEP_DURATION, _set(_STEP_STATUS, (outcome,)), metrics.step_ns)


def of_usage(step: Step, usage: Usage) -> Iterator[Measurement]:
    """Of the tokens alone: they may come after the step was sent."""
    yield from _tokens(step, usage)
    ratio = usage.used_ratio(step.context_window_limit)
    if ratio is not None:
        yield Measurement(instruments.CONTEXT_WINDOW_USED_RATIO, _set(_MODEL, (step.model_handle,)), ratio)


def of_feedback(value: str) -> Measurement:
    """Of feedback that was given or changed."""
    return Measurement(instruments.FEEDBACK, _set(_FEEDBACK, (value,)), 1)


def of_change(kind: str) -> Measurement:
    """Of something that changed after it was sent."""
    return Measurement(instruments.LATE_CHANGES, _set(_CHANGE, (kind,)), 1)


def of_tools(tools: Sequence[ToolRun], metrics: StepMetrics | None) -> Iterator[Measurement]:
    """Of the tools of one step.

    Args:
        tools: all of them: several share one length, the longest's, which then is no measure of any.
        metrics: the lengths that the server measured.
    """
    for tool in tools:
        attributes = _set(_TOOL, (tool.name, tool.status))
        yield Measurement(instruments.TOOL_CALLS, attributes, 1)
        if metrics and len(tools) == 1:
            yield from _seconds(instruments.TOOL_DURATION, attributes, metrics.tool_execution_ns)


def of_run(reading: Reading, closing: Closing, sums: Sums) -> Iterator[Measurement]:
    """Of a run that is over or given up, with the sums over all its steps."""
    state = run_state(reading.run, closing, sums)
    yield Measurement(instruments.RUNS, _set(_RUN, (state, reading.run.stop_reason)), 1)
    yield from _seconds(instruments.RUN_DURATION, _set(_RUN_STATUS, (state,)), duration_ns(reading))


def _tokens(step: Step, usage: Usage) -> Iterator[Measurement]:
    for type_, count in _by_type(usage):
        if count is not None and 0 < count <= _MOST_TOKENS:
            yield Measurement(instruments.TOKENS, _set(_TOKENS, (step.model_handle, type_)), count)
    provider = genai.provider_name(step.provider_name)
    for type_, count in _by_type(usage)[:2]:
        if count is not None and 0 <= count <= _MOST_TOKENS and usage.is_known:
            attributes = _set(_TOKEN_USAGE, (genai.CHAT, provider, step.model, type_))
            yield Measurement(instruments.TOKEN_USAGE, attributes, count)


def _by_type(usage: Usage) -> Sequence[tuple[str, int | None]]:
    return (
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
    )


def _seconds(instrument: str, attributes: AttributeSet, ns: int | None) -> Iterator[Measurement]:
    if ns is not None and ns >= 0:
        yield Measurement(instrument, attributes, ns / _NS)


@lru_cache(maxsize=4096)
def _set(names: tuple[str, ...], texts: tuple[str | None, ...]) -> AttributeSet:
    """The attributes that have a value. Few sets come up, ten of them a step: made once."""
    return tuple(values.attributes(dict(zip(names, texts, strict=True))).items())
