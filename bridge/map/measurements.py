"""What a step, a tool or a run adds to the metrics.

Lengths are measured only where the server measured them, never from times that were laid out. A step without a single
token (it failed, it broke off) is no observation of token usage: its zeros would drown the rest. A histogram's
measurement names its span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing, Reading, SettledStep
from bridge.follow.state import Sums
from bridge.map import cost, genai, instruments, values
from bridge.map.run import duration_ns
from bridge.map.step import suspect
from bridge.map.telemetry import AttributeValue, Example, Measurement, Span
from bridge.map.tools import ToolRun
from bridge.map.usage import Usage
from bridge.source.models import Step, StepMetrics

AttributeSet = tuple[tuple[str, AttributeValue], ...]
Agent = tuple[str | None, str | None] | None  # id and name, where they stand on metrics

_NS: Final = 1_000_000_000
_MOST_TOKENS: Final = 10**9  # of one request; more is a mistake, and would spoil the total for good


def of_step(
    settled: SettledStep,
    usage: Usage,
    metrics: StepMetrics | None,
    *,
    error_type: str | None,
    spans: tuple[Span, Span],
    agent: Agent,
    priced: bool,
) -> Iterator[Measurement]:
    """Of the step and its LLM request.

    Args:
        settled: the step and how it ended.
        usage: its tokens.
        metrics: the lengths that the server measured.
        error_type: of its span, None where that is no error.
        spans: its own and its chat's.
        agent: whose it is.
        priced: whether its tokens are.
    """
    step, outcome = settled.step, settled.outcome.value
    own, chat = (_example(span) for span in spans)
    odd = suspect(settled, usage)
    counted = _set(instruments.STEPS, (error_type, step.model_handle, outcome, step.stop_reason, odd), agent)
    yield Measurement(instruments.STEPS, counted, 1)
    yield from of_usage(step, usage, agent, priced_at_ns=chat.time_ns if priced else None, example=chat)
    if metrics:
        provider = genai.provider_name(step.provider_name)
        request = (error_type, genai.CHAT, provider, step.model)
        yield from _seconds(instruments.OPERATION_DURATION, request, agent, metrics.llm_request_ns, chat)
        yield from _seconds(instruments.STEP_DURATION, (outcome,), agent, metrics.step_ns, own)


def of_usage(
    step: Step, usage: Usage, agent: Agent, *, priced_at_ns: int | None, example: Example | None = None
) -> Iterator[Measurement]:
    """Of the tokens alone: they may come after the step was sent.

    Args:
        step: its row.
        usage: its tokens.
        agent: whose it is.
        priced_at_ns: when the request was made; None where tokens are not priced.
        example: of its chat's span, where that is at hand.
    """
    yield from _tokens(step, usage, agent, example)
    ratio = usage.used_ratio(step.context_window_limit)
    if ratio is not None:
        attributes = _set(instruments.CONTEXT_WINDOW_USED_RATIO, (step.model_handle,), agent)
        yield Measurement(instruments.CONTEXT_WINDOW_USED_RATIO, attributes, ratio, example)
    if priced_at_ns is not None and usage.is_known:
        yield from _cost(step, usage, agent, priced_at_ns)


def of_feedback(value: str, agent: Agent) -> Measurement:
    """Of feedback that was given or changed."""
    return Measurement(instruments.FEEDBACK, _set(instruments.FEEDBACK, (value,), agent), 1)


def of_change(kind: str, agent: Agent) -> Measurement:
    """Of something that changed after it was sent."""
    return Measurement(instruments.LATE_CHANGES, _set(instruments.LATE_CHANGES, (kind,), agent), 1)


def of_tools(
    tools: Sequence[ToolRun], metrics: StepMetrics | None, spans: Sequence[Span], agent: Agent
) -> Iterator[Measurement]:
    """Of the tools of one step.

    Args:
        tools: all of them: several share one length, the longest's, which then is no measure of any.
        metrics: the lengths that the server measured.
        spans: theirs.
        agent: whose they are.
    """
    for tool, span in zip(tools, spans, strict=True):
        told = (tool.name and values.name(tool.name), tool.status)  # a model may make up any name, of any length
        yield Measurement(instruments.TOOL_CALLS, _set(instruments.TOOL_CALLS, told, agent), 1)
        if metrics and len(tools) == 1:
            yield from _seconds(instruments.TOOL_DURATION, told, agent, metrics.tool_execution_ns, _example(span))


def of_run(reading: Reading, closing: Closing, sums: Sums, span: Span, agent: Agent) -> Iterator[Measurement]:
    """Of a run that is over or given up, with the sums over all its steps."""
    state = run_state(reading.run, closing, sums)
    yield Measurement(instruments.RUNS, _set(instruments.RUNS, (state, reading.run.stop_reason), agent), 1)
    yield from _seconds(instruments.RUN_DURATION, (state,), agent, duration_ns(reading), _example(span))


def _tokens(step: Step, usage: Usage, agent: Agent, example: Example | None) -> Iterator[Measurement]:
    for type_, count in _by_type(usage):
        if _counts(count) and count:
            yield Measurement(instruments.TOKENS, _set(instruments.TOKENS, (step.model_handle, type_), agent), count)
    provider = genai.provider_name(step.provider_name)
    for type_, count in _by_type(usage)[:2]:
        if count is not None and _counts(count) and usage.is_known:
            attributes = _set(instruments.TOKEN_USAGE, (genai.CHAT, provider, step.model, type_), agent)
            yield Measurement(instruments.TOKEN_USAGE, attributes, count, example)


def _cost(step: Step, usage: Usage, agent: Agent, at_ns: int) -> Iterator[Measurement]:
    if not all(map(_counts, (usage.input or 0, usage.output or 0, usage.cache_read or 0, usage.cache_write or 0))):
        return
    dollars = cost.usd(step, usage, at_ns)
    if dollars is None:
        attributes = _set(instruments.UNPRICED_TOKENS, (step.model_handle,), agent)
        yield Measurement(instruments.UNPRICED_TOKENS, attributes, (usage.input or 0) + (usage.output or 0))
    else:
        yield Measurement(instruments.COST, _set(instruments.COST, (step.model_handle,), agent), dollars)


def _by_type(usage: Usage) -> Sequence[tuple[str, int | None]]:
    return (
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
    )


def _counts(count: int | None) -> bool:
    return count is not None and 0 <= count <= _MOST_TOKENS


def _seconds(
    instrument: str, told: tuple[str | None, ...], agent: Agent, ns: int | None, example: Example
) -> Iterator[Measurement]:
    if ns is not None and ns >= 0:
        yield Measurement(instrument, _set(instrument, told, agent), ns / _NS, example)


def _example(span: Span) -> Example:
    return Example(span.trace_id, span.span_id, span.end_ns)


@lru_cache(maxsize=8192)
def _set(instrument: str, told: tuple[str | None, ...], agent: Agent) -> AttributeSet:
    """The attributes that have a value, in the order of the instrument's. Few sets come up, ten a step: made once."""
    texts = dict(zip(instruments.CATALOGUE[instrument].attributes, told, strict=True))
    if agent:
        texts |= dict(zip(instruments.AGENT, agent, strict=True))
    named = {name: values.name(text) for name, text in sorted(texts.items()) if text is not None}
    return tuple(values.attributes(named).items())
