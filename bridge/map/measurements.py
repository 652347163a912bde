"""What a step, a tool or a run adds to the metrics.

Lengths are measured only where the server measured them, never from times that were laid out. A step without a single
token (it failed, it broke off) is no observation of token usage: its zeros would drown the rest. A histogram's
measurement names its span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing, Reading
from bridge.follow.state import Sums
from bridge.map import cost, genai, instruments, values
from bridge.map.run import duration_ns
from bridge.map.step import Shared
from bridge.map.telemetry import Example, Measurement, Span
from bridge.map.tools import ToolRun
from bridge.map.totals import AttributeSet
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
) -> list[Measurement]:
    """Of the step and its LLM request.

    Args:
        shared: the step, how it ended, and how its spans say so.
        usage: its tokens.
        metrics: the lengths that the server measured.
        spans: its own and its chat's.
        agent: whose it is.
        priced: whether its tokens are.
    """
    settled, error_type = shared.settled, shared.status.error_type
    step, chat = settled.step, _example(spans[1])
    told = (error_type, settled.outcome.value, step.stop_reason, shared.suspect)
    sets = _sets_of_step(told, step.model_handle, step.provider_name, step.model, agent)
    measured = [Measurement(instruments.STEPS, sets.steps, 1)]
    measured += of_usage(step, usage, agent, priced_at_ns=chat.time_ns if priced else None, example=chat)
    if metrics:
        measured += _seconds(instruments.OPERATION_DURATION, sets.request, metrics.llm_request_ns, chat)
        measured += _seconds(instruments.STEP_DURATION, sets.length, metrics.step_ns, _example(spans[0]))
    return measured


def of_usage(
    step: Step, usage: Usage, agent: Agent, *, priced_at_ns: int | None, example: Example | None = None
) -> list[Measurement]:
    """Of the tokens alone: they may come after the step was sent.

    Args:
        step: its row.
        usage: its tokens.
        agent: whose it is.
        priced_at_ns: when the request was made; None where tokens are not priced.
        example: of its chat's span, where that is at hand.
    """
    sets = _sets_of_usage(step.model_handle, step.provider_name, step.model, agent)
    by_type = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    measured = [
        Measurement(instruments.TOKENS, attributes, count)
        for attributes, count in zip(sets.tokens, by_type, strict=True)
        if count and 0 < count <= _MOST_TOKENS
    ]
    known = usage.is_known
    if known:
        measured += [
            Measurement(instruments.TOKEN_USAGE, attributes, count, example)
            for attributes, count in zip(sets.usage, by_type, strict=False)
            if count is not None and 0 <= count <= _MOST_TOKENS
        ]
    ratio = usage.used_ratio(step.context_window_limit)
    if ratio is not None:
        measured.append(Measurement(instruments.CONTEXT_WINDOW_USED_RATIO, sets.of_model, ratio, example))
    if known and priced_at_ns is not None and _can_be_priced(usage):
        measured.append(_cost(step, usage, sets.of_model, priced_at_ns))
    return measured


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
        name = tool.name and values.name(tool.name)  # a model may make up any name, of any length
        attributes = _set(instruments.TOOL_CALLS, (name, tool.status), agent)
        yield Measurement(instruments.TOOL_CALLS, attributes, 1)
        if metrics and len(tools) == 1:
            yield from _seconds(instruments.TOOL_DURATION, attributes, metrics.tool_execution_ns, _example(span))


def of_run(reading: Reading, closing: Closing, sums: Sums, span: Span, agent: Agent) -> Iterator[Measurement]:
    """Of a run that is over or given up, with the sums over all its steps."""
    state = run_state(reading.run, closing, sums)
    yield Measurement(instruments.RUNS, _set(instruments.RUNS, (state, reading.run.stop_reason), agent), 1)
    length = _set(instruments.RUN_DURATION, (state,), agent)
    yield from _seconds(instruments.RUN_DURATION, length, duration_ns(reading), _example(span))


def _can_be_priced(usage: Usage) -> bool:
    counts = (usage.input, usage.output, usage.cache_read, usage.cache_write)
    return all(not count or 0 < count <= _MOST_TOKENS for count in counts)


def _cost(step: Step, usage: Usage, of_model: AttributeSet, at_ns: int) -> Measurement:
    dollars = cost.usd(step, usage, at_ns)
    if dollars is None:
        return Measurement(instruments.UNPRICED_TOKENS, of_model, (usage.input or 0) + (usage.output or 0))
    return Measurement(instruments.COST, of_model, dollars)


def _seconds(instrument: str, attributes: AttributeSet, ns: int | None, example: Example) -> Sequence[Measurement]:
    """One, or none where the server measured nothing."""
    return (Measurement(instrument, attributes, ns / _NS, example),) if ns is not None and ns >= 0 else ()


def _example(span: Span) -> Example:
    return Example(span.trace_id, span.span_id, span.end_ns)


class _SetsOfStep(NamedTuple):
    """The attributes of what is measured of a step."""

    steps: AttributeSet
    request: AttributeSet
    length: AttributeSet


class _SetsOfUsage(NamedTuple):
    """The attributes of what is measured of its tokens.

    Attributes:
        tokens: by type, as in `_TOKEN_TYPES`.
        usage: of the first two types.
        of_model: of what only the model tells apart.
    """

    tokens: tuple[AttributeSet, ...]
    usage: tuple[AttributeSet, ...]
    of_model: AttributeSet


# Few sets come up, a dozen a step: they are made once, and looked up together.
@lru_cache(maxsize=1024)
def _sets_of_step(
    told: tuple[str | None, str, str | None, str | None],
    model_handle: str | None,
    provider_name: str | None,
    model: str | None,
    agent: Agent,
) -> _SetsOfStep:
    error_type, outcome, stop_reason, odd = told
    request = (error_type, genai.CHAT, genai.provider_name(provider_name), model)
    return _SetsOfStep(
        steps=_set(instruments.STEPS, (error_type, model_handle, outcome, stop_reason, odd), agent),
        request=_set(instruments.OPERATION_DURATION, request, agent),
        length=_set(instruments.STEP_DURATION, (outcome,), agent),
    )


@lru_cache(maxsize=1024)
def _sets_of_usage(
    model_handle: str | None, provider_name: str | None, model: str | None, agent: Agent
) -> _SetsOfUsage:
    asked = (genai.CHAT, genai.provider_name(provider_name), model)
    return _SetsOfUsage(
        tokens=tuple(_set(instruments.TOKENS, (model_handle, type_), agent) for type_ in _TOKEN_TYPES),
        usage=tuple(_set(instruments.TOKEN_USAGE, (*asked, type_), agent) for type_ in _TOKEN_TYPES[:2]),
        of_model=_set(instruments.COST, (model_handle,), agent),
    )


@lru_cache(maxsize=8192)
def _set(instrument: str, told: tuple[str | None, ...], agent: Agent) -> AttributeSet:
    """The attributes that have a value, in the order of the instrument's."""
    texts = dict(zip(instruments.CATALOGUE[instrument].attributes, told, strict=True))
    if agent:
        texts |= dict(zip(instruments.AGENT, agent, strict=True))
    named = {name: values.name(text) for name, text in sorted(texts.items()) if text is not None}
    return tuple(values.attributes(named).items())
