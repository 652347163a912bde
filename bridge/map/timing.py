"""When things happened, laid out from what Letta does tell: it gives a step neither a start nor an end (0.16.8).

A step starts as early as it may: not before the one in front of it has ended, and late enough for its measured length
to reach its messages, which are dated at the step's end, to the second. So it ends before its run does, wherever that
is possible; a last step without a length ends with its run. Where these contradict each other, a measured length wins
over a date, and the order of steps over both. Pure: the same input gives the same nanoseconds, never negative, within
64 bits, with no two steps of a run overlapping.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from bridge.source.models import Message, Run, RunMetrics, StepMetrics

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000_000
_LAST_NS: Final = 2**64 - 1

# Dated when they were written down, not at the end of the step they belong to.
_NOT_AT_THE_END: Final = frozenset(
    {"user_message", "system_message", "approval_response_message", "event_message", "summary_message"}
)


# How a span's times came about: the value of `letta.timing`.
Timing = Literal["measured", "reconstructed", "estimated"]
MEASURED: Final = "measured"  # the server gave start and length
RECONSTRUCTED: Final = "reconstructed"  # the server measured the length, the start is laid out
ESTIMATED: Final = "estimated"  # the length is not known


class Interval(NamedTuple):
    """From start to end, nanoseconds since the epoch."""

    start_ns: int
    end_ns: int
    timing: Timing


class StepTimes(NamedTuple):
    """A step and what happened in it.

    Attributes:
        tool: the step's only tool, or the room that several had together.
    """

    step: Interval
    chat: Interval
    tool: Interval


class Fences(NamedTuple):
    """What bounds a step's interval, nanoseconds since the epoch.

    Attributes:
        not_before: the end of the step in front of it, or the run's start.
        ended_from: the date of its earliest message: it ended in that second or later. None without messages.
        run_ends: moments the run may have ended at, likeliest first; only for the run's last step.
    """

    not_before: int
    ended_from: int | None = None
    run_ends: tuple[int, ...] = ()

    def run_end(self) -> int | None:
        """The first of the run's ends that does not contradict the rest: a cancelled run may go on after its end."""
        floor = max(self.not_before, self.ended_from or 0)
        return next((end for end in self.run_ends if end >= floor), None)


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch, exact to the microsecond; a year that does not fit is held at the limit."""
    ns = (moment - _EPOCH) // _MICROSECOND * 1000
    return ns if 0 <= ns <= _LAST_NS else _fit(ns)


def clock_ns(seconds: float) -> int:
    """The bridge's own clock in nanoseconds."""
    return _fit(round(seconds * _SECOND))


def run_start_ns(run: Run, metrics: RunMetrics | None) -> int:
    """When the run's first step may have begun: as measured by the server, or when the run was created."""
    created = to_ns(run.created_at)
    return max(created, _length(metrics.run_start_ns) or 0) if metrics else created


def run_ends_ns(run: Run, metrics: RunMetrics | None) -> tuple[int, ...]:
    """When the run may have ended: as its row says, and as measured.

    A run that was cancelled keeps the completed_at of the cancel even if it goes on and completes (0.16.8).
    """
    ends = [to_ns(run.completed_at)] if run.completed_at else []
    if metrics and metrics.run_start_ns and metrics.run_ns and metrics.run_ns > 0:
        ends.append(metrics.run_start_ns + metrics.run_ns)
    return tuple(ends)


def ended_from(messages: Iterable[Message]) -> int | None:
    """The second in which a step's messages were made, which is when it ended; None where none tells."""
    dates = [m.date for m in messages if m.date is not None and m.message_type not in _NOT_AT_THE_END]
    return to_ns(min(dates)) if dates else None


def requested_at(messages: Iterable[Message]) -> int | None:
    """The second of the user's message, before which the step cannot have begun; None without one."""
    dates = [m.date for m in messages if m.date is not None and m.message_type == "user_message"]
    return to_ns(min(dates)) if dates else None


def lay_out(metrics: StepMetrics | None, fences: Fences, *, tools: int) -> StepTimes:
    """The times of a step, its LLM request and its tools.

    Args:
        metrics: the lengths the server measured, where it did.
        fences: what bounds the step.
        tools: how many tools ran in it; several share one length, the longest of them.
    """
    if metrics is None:
        return _unmeasured(fences)
    step = _step(metrics, fences)
    chat = _chat(metrics, step)
    return StepTimes(step, chat, _tool(metrics, step, chat, alone=tools <= 1))


def lay_out_loose(metrics: StepMetrics | None, messages: Iterable[Message], at_ns: int, *, tools: int) -> StepTimes:
    """The times of a step without a run.

    Args:
        metrics: the lengths the server measured, where it did.
        messages: the step's.
        at_ns: taken as its end where no message is dated.
        tools: how many tools ran in it.
    """
    messages = tuple(messages)
    end, request = ended_from(messages), requested_at(messages)
    length = (_length(metrics.step_ns) if metrics else None) or 0
    if metrics and metrics.step_start_ns:
        return lay_out(metrics, Fences(0, end), tools=tools)
    if end is not None or request is not None:
        floor = request if request is not None else max(0, (end or 0) - length)
        return lay_out(metrics, Fences(floor, end), tools=tools)
    times = lay_out(metrics, Fences(max(0, at_ns - length)), tools=tools)
    return StepTimes(*(interval._replace(timing=ESTIMATED) for interval in times))


def tool_before_run(run_start: int, returned_at: datetime | None) -> Interval:
    """When a tool ran that had waited for approval: somewhere between the approving run's start and its return."""
    return _interval(run_start, to_ns(returned_at) if returned_at else run_start, ESTIMATED)


def _unmeasured(fences: Fences) -> StepTimes:
    """The request may have taken all of the step; its tools are known to have ended with it."""
    start = fences.not_before
    step = _interval(start, max(start, _likely_end(fences)), ESTIMATED)
    return StepTimes(step, step, Interval(step.end_ns, step.end_ns, ESTIMATED))


def _step(metrics: StepMetrics, fences: Fences) -> Interval:
    given, length = _length(metrics.step_start_ns), _length(metrics.step_ns)
    start = fences.not_before
    if length is None:
        start = max(start, given or 0)
        parts = (_length(metrics.llm_request_ns) or 0) + (_length(metrics.tool_execution_ns) or 0)
        return _interval(start, max(start + parts, _likely_end(fences)), ESTIMATED)
    if given and given >= start:
        return _interval(given, given + length, MEASURED)
    start = max(start, (fences.ended_from or 0) - length)
    return _interval(start, start + length, RECONSTRUCTED)


def _likely_end(fences: Fences) -> int:
    """Of a step without a length: in the second of its messages, and for the last one no sooner than its run."""
    earliest, run_end = fences.ended_from, fences.run_end() if fences.run_ends else None
    if earliest is None:
        return run_end or 0
    return earliest if run_end is None else min(run_end, earliest + _SECOND - 1)


def _chat(metrics: StepMetrics, step: Interval) -> Interval:
    given, length = _length(metrics.llm_request_start_ns), _length(metrics.llm_request_ns)
    if length is None:
        end = max(step.start_ns, step.end_ns - (_length(metrics.tool_execution_ns) or 0))
        return _interval(step.start_ns, end, ESTIMATED)
    if given and step.start_ns <= given <= step.end_ns - length:
        return _interval(given, given + length, MEASURED)
    return _within(step, step.start_ns, length)


def _tool(metrics: StepMetrics, step: Interval, chat: Interval, *, alone: bool) -> Interval:
    length = _length(metrics.tool_execution_ns)
    if length is None:
        return _interval(step.end_ns, step.end_ns, ESTIMATED)
    laid_out = _within(step, chat.end_ns, length)
    return laid_out if alone else laid_out._replace(timing=ESTIMATED)


def _within(step: Interval, start: int, length: int) -> Interval:
    """From a moment of the step on; cut at its end where the parts that were measured are longer than the whole."""
    end = start + length
    return Interval(start, end, RECONSTRUCTED) if end <= step.end_ns else _rest(step, start)


def _rest(step: Interval, start: int) -> Interval:
    return Interval(start, step.end_ns, ESTIMATED)


def _interval(start: int, end: int, timing: Timing) -> Interval:
    if not 0 <= start <= end <= _LAST_NS:
        start = _fit(start)
        end = max(start, _fit(end))
    return Interval(start, end, timing)


def _fit(ns: int) -> int:
    return min(max(ns, 0), _LAST_NS)


def _length(ns: int | None) -> int | None:
    """A length that can be one: zero is, a negative number is not."""
    return ns if ns is not None and ns >= 0 else None
