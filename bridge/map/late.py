"""What changed after its span was sent: log events in that span's context, and counters. Pure.

Letta keeps no time of a change, so an event has none but the look's. It says what was told before and what is now; a
change for the worse is a warning, and a failure like any other. Tokens that come late are counted when they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.follow.ended import ABANDONED, CANCELLED, FAILED
from bridge.follow.late import Late, RunChange, StepChange
from bridge.follow.reading import Closing, Outcome
from bridge.follow.state import FollowedRun
from bridge.map import feedback, genai, ids, letta, measurements, timing, values, wrong
from bridge.map.mapper import MapOptions, agent_of
from bridge.map.run import run_span_id
from bridge.map.status import exception_event, run_status, step_status
from bridge.map.step import Place, step_place, token_attributes
from bridge.map.telemetry import LogEvent, Measurements, Severity, Telemetry
from bridge.map.usage import usage_of
from bridge.source.models import Run

_RUN_STATUS: Final = "run_status"
_STEP_STATUS: Final = "step_status"
_TOKENS: Final = "tokens"
_TAGS: Final = "tags"
_FEEDBACK: Final = "feedback"


def map_late(late: Late, row: Run, *, at: float, options: MapOptions) -> Telemetry:
    """The changes as events and measurements.

    Args:
        late: what has changed, and the run.
        row: the run's row.
        at: the bridge's clock when it was read, seconds since the epoch.
        options: the user's choices.
    """
    place, observed_ns = _place(late.run, row), timing.clock_ns(at)
    events: list[LogEvent] = []
    measured: list[Measurements] = []
    asked_ns = late.run.fence_ns or timing.to_ns(row.created_at)
    if late.of_run:
        events.append(_run_event(late.of_run, place, observed_ns, options))
        measured.append(measurements.of_change(_RUN_STATUS, agent_of(place, options)))
    for change in late.of_steps:
        events += _step_events(change, step_place(change.step, place), observed_ns, options)
        measured += _measured(change, agent_of(place, options, change.step.agent_id), options, asked_ns)
    failures = tuple(wrong.failure(went, observed_ns) for went in _went_wrong(late, row, place, options))
    return Telemetry(measurements=tuple(measured), events=tuple(events), failures=failures)


def _went_wrong(late: Late, row: Run, place: Place, options: MapOptions) -> Iterator[wrong.Wrong]:
    """What is told as wrong now, and was not told as that before."""
    for change in late.of_steps:
        step, outcome = change.step, Outcome(change.after.outcome)
        if outcome in wrong.OUTCOMES and outcome != change.before.outcome:
            status = step_status(step, outcome, cancelled_is_error=options.cancelled_is_error)
            yield wrong.of_step(step, outcome, status, step_place(step, place))
    told = late.of_run
    if told is None or told.status == told.previous_status or wrong.any_step(late.run.noted.values()):
        return
    if told.status in wrong.OUTCOMES:
        closing = Closing.STALE if told.status == ABANDONED else Closing.OVER
        status = run_status(row, closing, late.run.sums, cancelled_is_error=options.cancelled_is_error)
        yield wrong.of_run(row, told.status, status, place)


def _place(run: FollowedRun, row: Run) -> Place:
    trace_id = bytes.fromhex(run.trace_id or ids.run_trace_id(run.id))
    return Place(
        trace_id=trace_id,
        parent_id=run_span_id(trace_id, run.id),
        run_id=run.id,
        agent_id=row.agent_id or run.agent_id,
        agent_name=run.agent_name,
        conversation_id=row.conversation_id,
    )


def _run_event(change: RunChange, place: Place, observed_ns: int, options: MapOptions) -> LogEvent:
    before, now = change.previous_status, change.status
    told, tells = _named(before, change.previous_stop_reason), _named(now, change.stop_reason)
    attributes: values.Raws = {
        letta.RUN_ID: place.run_id,
        genai.AGENT_ID: place.agent_id,
        genai.AGENT_NAME: place.agent_name,
        genai.CONVERSATION_ID: place.conversation_id,
        letta.RUN_PREVIOUS_STATUS: before,
        letta.RUN_STATUS: now,
        letta.RUN_PREVIOUS_STOP_REASON: change.previous_stop_reason,
        letta.RUN_STOP_REASON: change.stop_reason,
    }
    return LogEvent(
        name=letta.RUN_CHANGED,
        time_ns=0,
        observed_ns=observed_ns,
        trace_id=place.trace_id,
        span_id=place.parent_id,
        severity=_severity(before, now, options),
        body=values.description(f"The run was told as {told} and is now {tells}"),
        attributes=values.attributes(attributes),
    )


def _step_events(change: StepChange, place: Place, observed_ns: int, options: MapOptions) -> Iterator[LogEvent]:
    """Feedback that was withdrawn is no result of an evaluation, so it is a change like the others."""
    withdrawn = change.of_feedback and not change.step.feedback
    if change.of_status or change.of_tokens or change.of_tags or withdrawn:
        yield _step_event(change, place, observed_ns, options)
    if change.of_feedback and not withdrawn:
        yield feedback.event(change.step, place, observed_ns, previous=change.before.feedback)


def _step_event(change: StepChange, place: Place, observed_ns: int, options: MapOptions) -> LogEvent:
    step, before, now = change.step, change.before, change.after
    attributes: dict[str, values.Raw] = {
        **feedback.step_attributes(step, place),
        letta.MODEL_HANDLE: step.model_handle,
    }
    said: list[str] = []
    if change.of_status:
        attributes |= _status_attributes(change, options)
        told, tells = _named(before.outcome, before.stop_reason), _named(now.outcome, step.stop_reason)
        said.append(f"was told as {told} and is now {tells}")
    if change.of_tokens:
        attributes |= token_attributes(usage_of(change.step))
        said.append("has its tokens")
    if change.of_tags:
        attributes |= {letta.STEP_PREVIOUS_TAGS: before.tags, letta.STEP_TAGS: now.tags}
        said.append("has other tags")
    if change.of_feedback and not now.feedback:
        attributes[letta.FEEDBACK_PREVIOUS_VALUE] = before.feedback
        said.append("has its feedback withdrawn")
    return LogEvent(
        name=letta.STEP_CHANGED,
        time_ns=0,
        observed_ns=observed_ns,
        trace_id=place.trace_id,
        span_id=ids.span_id(place.trace_id, ids.STEP, step.id),
        severity=_severity(before.outcome, now.outcome, options),
        body=values.description(f"The step {', '.join(said)}"),
        attributes=values.attributes(attributes),
    )


def _status_attributes(change: StepChange, options: MapOptions) -> values.Raws:
    step, before, outcome = change.step, change.before, Outcome(change.after.outcome)
    status = step_status(step, outcome, cancelled_is_error=options.cancelled_is_error)
    exception = exception_event(step, 0) if outcome is Outcome.FAILED else ()
    return {
        letta.STEP_PREVIOUS_STATUS: before.outcome,
        letta.STEP_STATUS: outcome.value,
        letta.STEP_PREVIOUS_STOP_REASON: before.stop_reason,
        letta.STEP_STOP_REASON: step.stop_reason,
        letta.STEP_PREVIOUS_ERROR_TYPE: before.error_type,
        genai.ERROR_TYPE: status.error_type,
        **{name: value for event in exception for name, value in event.attributes.items()},
    }


def _measured(
    change: StepChange, agent: measurements.Agent, options: MapOptions, asked_ns: int
) -> Iterator[Measurements]:
    """Late tokens are priced as of the end of the run's last step, which is all that is known of their time."""
    if change.of_status:
        yield measurements.of_change(_STEP_STATUS, agent)
    if change.of_tokens:
        yield measurements.of_change(_TOKENS, agent)
        priced_at_ns = asked_ns if options.cost else None
        yield measurements.of_usage(change.step, usage_of(change.step), agent, priced_at_ns=priced_at_ns)
    if change.of_tags:
        yield measurements.of_change(_TAGS, agent)
    if change.of_feedback:
        yield measurements.of_change(_FEEDBACK, agent)
        if change.after.feedback:
            yield measurements.of_feedback(change.after.feedback, agent)


def _severity(before: str | None, now: str | None, options: MapOptions) -> Severity:
    bad = {FAILED, ABANDONED} | ({CANCELLED} if options.cancelled_is_error else set())
    return Severity.WARN if now in bad and before not in bad else Severity.INFO


def _named(status: str | None, reason: str | None) -> str:
    return f"{status or 'unknown'} ({reason})" if reason else f"{status or 'unknown'}"
