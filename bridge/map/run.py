"""A run's own span, `invoke_agent {agent}`: created_at to completed_at, with the sums over all its steps.

It is sent last, but its ids are known from the first step on. It never ends before its steps do: a run that goes on
after its cancel, or one that Letta never completes (0.16.8), ends with its last step and says so in `letta.timing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing, Outcome, Reading
from bridge.follow.state import FollowedRun, Sums
from bridge.map import genai, ids, letta, values
from bridge.map.status import SpanStatus
from bridge.map.telemetry import INTERNAL, Span
from bridge.map.timing import ESTIMATED, MEASURED, RECONSTRUCTED, Timing, to_ns
from bridge.map.usage import Usage
from bridge.source.models import Run


def run_span(
    run: FollowedRun, reading: Reading, closing: Closing, status: SpanStatus, metadata_keys: frozenset[str]
) -> Span:
    """The span.

    Args:
        run: all of its steps mapped.
        reading: the last look at it.
        closing: why it is due.
        status: of the span.
        metadata_keys: what of the run's metadata may leave.
    """
    row = reading.run
    trace_id = bytes.fromhex(run.trace_id or ids.run_trace_id(run.id))
    start = to_ns(row.created_at)
    end, timing = _end(row, run.fence_ns)
    agent_id = row.agent_id or run.agent_id
    state = run_state(row, closing, run.sums)
    own: values.Raws = {
        genai.OPERATION_NAME: genai.INVOKE_AGENT,
        genai.AGENT_ID: agent_id,
        genai.AGENT_NAME: run.agent_name,
        genai.CONVERSATION_ID: row.conversation_id,
        genai.ERROR_TYPE: status.error_type,
        letta.RUN_ID: run.id,
        letta.RUN_STATUS: state,
        letta.RUN_RAW_STATUS: row.status if row.status != state else None,
        letta.RUN_STOP_REASON: row.stop_reason,
        letta.RUN_BACKGROUND: row.background,
        letta.RUN_TOTAL_DURATION_NS: duration_ns(reading),
        letta.RUN_TTFT_NS: row.ttft_ns,
        letta.TIMING: timing,
    }
    agent = run.agent_name or agent_id
    return Span(
        trace_id=trace_id,
        span_id=run_span_id(trace_id, run.id),
        parent_id=b"",
        name=f"{genai.INVOKE_AGENT} {values.name(agent)}" if agent else genai.INVOKE_AGENT,
        kind=INTERNAL,
        start_ns=start,
        end_ns=max(start, end),
        layers=(
            values.attributes({**own, **_sums(run.sums), **_callback(row), **_metadata(row.metadata, metadata_keys)}),
        ),
        status=status.code,
        status_message=status.message,
    )


def run_span_id(trace_id: bytes, run_id: str) -> bytes:
    """The id of a run's span, which its steps name as their parent before it is sent."""
    return ids.span_id(trace_id, ids.RUN, run_id)


def duration_ns(reading: Reading) -> int | None:
    """How long the run took as the server measured it; the list and the metrics give the same number.

    Its own dates are no measure: a run that completes after its cancel keeps the time of the cancel (0.16.8).
    """
    if reading.run.total_duration_ns is not None:
        return reading.run.total_duration_ns
    return reading.run_metrics.run_ns if reading.run_metrics else None


class SentStep(NamedTuple):
    """What a step adds to its run's sums."""

    usage: Usage
    outcome: Outcome
    error_type: str | None


def add_steps(sums: Sums, steps: Sequence[SentStep]) -> Sums:
    """The sums with some more steps in them, oldest first."""
    if not steps:
        return sums
    usages, outcomes, error_types = zip(*steps, strict=True)
    input_, output, total, *details = (sum(filter(None, counts)) for counts in zip(*usages, strict=True))
    cache_read, cache_write, reasoning = details
    return Sums(
        steps=sums.steps + len(steps),
        failed_steps=sums.failed_steps + outcomes.count(Outcome.FAILED),
        input_tokens=sums.input_tokens + input_,
        output_tokens=sums.output_tokens + output,
        total_tokens=sums.total_tokens + total,
        cache_read_tokens=sums.cache_read_tokens + cache_read,
        cache_write_tokens=sums.cache_write_tokens + cache_write,
        reasoning_tokens=sums.reasoning_tokens + reasoning,
        error_type=next(filter(None, reversed(error_types)), sums.error_type),
    )


def _end(row: Run, fence_ns: int) -> tuple[int, Timing]:
    if row.completed_at is None:
        return fence_ns, ESTIMATED
    completed = to_ns(row.completed_at)
    return (completed, MEASURED) if completed >= fence_ns else (fence_ns, RECONSTRUCTED)


def _sums(sums: Sums) -> values.Raws:
    return {
        letta.RUN_STEPS: sums.steps,
        letta.RUN_FAILED_STEPS: sums.failed_steps,
        letta.RUN_INPUT_TOKENS: sums.input_tokens,
        letta.RUN_OUTPUT_TOKENS: sums.output_tokens,
        letta.RUN_TOTAL_TOKENS: sums.total_tokens,
        letta.RUN_CACHE_READ_TOKENS: sums.cache_read_tokens,
        letta.RUN_CACHE_WRITE_TOKENS: sums.cache_write_tokens,
        letta.RUN_REASONING_TOKENS: sums.reasoning_tokens,
    }


def _callback(row: Run) -> values.Raws:
    """What became of the run's callback; of its URL only the host, for the rest may be a secret."""
    if not row.callback_url:
        return {}
    address, _ = genai.server(row.callback_url)
    error = row.callback_error.replace(row.callback_url, address or "") if row.callback_error else None
    return {
        letta.RUN_CALLBACK_ADDRESS: address,
        letta.RUN_CALLBACK_SENT_AT: row.callback_sent_at.isoformat() if row.callback_sent_at else None,
        letta.RUN_CALLBACK_STATUS_CODE: row.callback_status_code,
        letta.RUN_CALLBACK_ERROR: values.description(error) if error else None,
    }


def _metadata(metadata: Mapping[str, Any] | None, allowed: frozenset[str]) -> values.Raws:
    if not metadata:
        return {}
    return {letta.RUN_METADATA + key: _scalar(metadata[key]) for key in sorted(allowed) if key in metadata}


def _scalar(value: object) -> values.Raw:
    """What is no plain value becomes its JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, sort_keys=True, default=str)
