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
from bridge.follow.reading import Closing, Reading
from bridge.follow.state import Sums
from bridge.map import cost, genai, instruments, values
from bridge.map.run import duration_ns
from bridge.map.series import AttributeSet, SeriesGroup, SeriesKey
from bridge.map.step import Shared
from bridge.map.telemetry import Example, Measurements, Span
from bridge.map.tools import ToolRun
from bridge.map.usage import Usage
from bridge.source.models import Step, StepMetrics

Agent = tuple[str | None, str | None] | None  # id and name, where they stand on metrics

_NS: Final = 1_000_000_000
_TOKEN_TYPES: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
_MOST_TOKENS: Final = 10**9  # of one request; more is a mistake, and would spoil the total for good


def of_step(
    shared: Shared,
    usage: Usage,
    metrics: StepMetrics | None,
    *,
    spans: tuple[Span, Span],
    agent: Agent,
    priced: bool,
) -> Iterator[Measurements]:
    """Of the step and its LLM request.

    Args:
        shared: the step, how it ended, and how its spans say so.
        usage: its tokens.
        metrics: the lengths that the server measured.
        spans: its own and its chat's.
        agent: whose it is.
        priced: whether its tokens are.
    """
    settled = shared.settled
    step, outcome, chat = settled.step, str(settled.outcome), _example(spans[1])
    told = (shared.status.error_type, outcome, step.stop_reason, shared.suspect)
    group = _group_of_step(told, step.model_handle, step.provider_name, step.model, agent)
    tokens = _of_tokens(step, usage, priced_at_ns=chat.time_ns if priced else None)
    yield Measurements(group, (1, *tokens, _seconds(metrics.llm_request_ns) if metrics else None), chat)
    if metrics:
        length = _group(instruments.STEP_DURATION, (outcome,), agent)
        yield Measurements(length, (_seconds(metrics.step_ns),), _example(spans[0]))


def of_usage(step: Step, usage: Usage, agent: Agent, *, priced_at_ns: int | None) -> Measurements:
    """Of the tokens alone, which came after the step was sent.

    Args:
        step: its row.
        usage: its tokens.
        agent: whose it is.
        priced_at_ns: when the request was made; None where tokens are not priced.
    """
    group = _group_of_usage(step.model_handle, step.provider_name, step.model, agent)
    return Measurements(group, _of_tokens(step, usage, priced_at_ns=priced_at_ns))


def of_feedback(value: str, agent: Agent) -> Measurements:
    """Of feedback that was given or changed."""
    return Measurements(_group(instruments.FEEDBACK, (value,), agent), (1,))


def of_change(kind: str, agent: Agent) -> Measurements:
    """Of something that changed after it was sent."""
    return Measurements(_group(instruments.LATE_CHANGES, (kind,), agent), (1,))


def of_tools(
    tools: Sequence[ToolRun], metrics: StepMetrics | None, spans: Sequence[Span], agent: Agent
) -> Iterator[Measurements]:
    """Of the tools of one step.

    Args:
        tools: all of them: several share one length, the longest's, which then is no measure of any.
        metrics: the lengths that the server measured.
        spans: theirs.
        agent: whose they are.
    """
    seconds = _seconds(metrics.tool_execution_ns) if metrics and len(tools) == 1 else None
    for tool, span in zip(tools, spans, strict=True):
        yield Measurements(_group_of_tool(tool.name, tool.status, agent), (1, seconds), _example(span))


def of_run(reading: Reading, closing: Closing, sums: Sums, span: Span, agent: Agent) -> Measurements:
    """Of a run that is over or given up, with the sums over all its steps."""
    group = _group_of_run(run_state(reading.run, closing, sums), reading.run.stop_reason, agent)
    return Measurements(group, (1, _seconds(duration_ns(reading))), _example(span))


def _of_tokens(step: Step, usage: Usage, *, priced_at_ns: int | None) -> tuple[float | None, ...]:
    """In the order of `_keys_of_usage`."""
    likely = [count if count is not None and 0 <= count <= _MOST_TOKENS else None for count in usage]
    input_, output, _, cache_read, cache_write, reasoning = likely
    tokens = (input_ or None, output or None, cache_read or None, cache_write or None, reasoning or None)
    ratio = usage.used_ratio(step.context_window_limit)
    if not usage.is_known:
        return (*tokens, None, None, ratio, None, None)
    if priced_at_ns is None or (input_, output, cache_read, cache_write) != usage.priced:
        return (*tokens, input_, output, ratio, None, None)
    dollars = cost.usd(step, usage, priced_at_ns)
    return (*tokens, input_, output, ratio, dollars, (input_ or 0) + (output or 0) if dollars is None else None)


def _seconds(ns: int | None) -> float | None:
    """None where the server measured nothing."""
    return ns / _NS if ns is not None and ns >= 0 else None


def _example(span: Span) -> Example:
    return Example(span.trace_id, span.span_id, span.end_ns)


# Few groups come up: they are made once.
@lru_cache(maxsize=1024)
def _group_of_step(
    told: tuple[str | None, str, str | None, str | None],
    model_handle: str | None,
    provider_name: str | None,
    model: str | None,
    agent: Agent,
) -> SeriesGroup:
    error_type, outcome, stop_reason, odd = told
    request = (error_type, genai.CHAT, genai.provider_name(provider_name), model)
    return SeriesGroup(
        _key(instruments.STEPS, (error_type, model_handle, outcome, stop_reason, odd), agent),
        *_keys_of_usage(model_handle, provider_name, model, agent),
        _key(instruments.OPERATION_DURATION, request, agent),
    )


@lru_cache(maxsize=1024)
def _group_of_usage(
    model_handle: str | None, provider_name: str | None, model: str | None, agent: Agent
) -> SeriesGroup:
    return SeriesGroup(*_keys_of_usage(model_handle, provider_name, model, agent))


def _keys_of_usage(
    model_handle: str | None, provider_name: str | None, model: str | None, agent: Agent
) -> Iterator[SeriesKey]:
    asked = (genai.CHAT, genai.provider_name(provider_name), model)
    for type_ in _TOKEN_TYPES:
        yield _key(instruments.TOKENS, (model_handle, type_), agent)
    for type_ in _TOKEN_TYPES[:2]:
        yield _key(instruments.TOKEN_USAGE, (*asked, type_), agent)
    for instrument in (instruments.CONTEXT_WINDOW_USED_RATIO, instruments.COST, instruments.UNPRICED_TOKENS):
        yield _key(instrument, (model_handle,), agent)


@lru_cache(maxsize=1024)
def _group_of_tool(tool: str | None, status: str, agent: Agent) -> SeriesGroup:
    told = (tool, status)
    return SeriesGroup(_key(instruments.TOOL_CALLS, told, agent), _key(instruments.TOOL_DURATION, told, agent))


@lru_cache(maxsize=1024)
def _group_of_run(state: str, stop_reason: str | None, agent: Agent) -> SeriesGroup:
    return SeriesGroup(
        _key(instruments.RUNS, (state, stop_reason), agent), _key(instruments.RUN_DURATION, (state,), agent)
    )


@lru_cache(maxsize=1024)
def _group(instrument: str, told: tuple[str | None, ...], agent: Agent) -> SeriesGroup:
    return SeriesGroup(_key(instrument, told, agent))


def _key(instrument: str, told: tuple[str | None, ...], agent: Agent) -> SeriesKey:
    return instrument, _set(instrument, told, agent)


def _set(instrument: str, told: tuple[str | None, ...], agent: Agent) -> AttributeSet:
    """The attributes that have a value, in the order of the instrument's."""
    texts = dict(zip(instruments.CATALOGUE[instrument].attributes, told, strict=True))
    if agent:
        texts |= dict(zip(instruments.AGENT, agent, strict=True))
    named = {name: values.name(text) for name, text in sorted(texts.items()) if text is not None}
    return tuple(values.attributes(named).items())
