"""Letta's records in, telemetry out: pure, with no clock, no randomness and no I/O.

The same records give the same spans to the last byte: ids, times, attributes. Nothing here raises for what a record
holds; what is missing is left out, what is odd passes through as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing, Decision, ForeignStep, Reading, SettledStep
from bridge.follow.state import FollowedRun
from bridge.map import feedback, ids, letta, measurements, timing, values, wrong
from bridge.map.failures import Failure
from bridge.map.options import MapOptions
from bridge.map.run import SentStep, add_steps, run_span, run_span_id
from bridge.map.status import run_status, step_status
from bridge.map.step import Place, shared_by, step_place, step_spans
from bridge.map.telemetry import LogEvent, Measurements, Span, Telemetry
from bridge.map.timing import Interval, StepTimes
from bridge.map.tools import Conversation, ToolRun, link_to_step, tool_span
from bridge.map.usage import usage_of
from bridge.source.models import Message, StepMetrics

__all__ = ["MapOptions", "Mapped", "map_loose_step", "map_run", "map_steps"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a visit's steps became, and the run with what it is to remember of them."""

    telemetry: Telemetry
    run: FollowedRun


def map_steps(decision: Decision, reading: Reading, options: MapOptions) -> Mapped:
    """The settled steps, in their order, and the tools that ran here for an earlier run's step.

    Args:
        decision: what to send, and the run as it was before.
        reading: what the visit read.
        options: the user's choices.
    """
    run = _named(decision.run, reading)
    out = _Harvest(options, timing.clock_ns(reading.at))
    talk = Conversation(reading.messages)
    trace_id = run.trace_id or ids.run_trace_id(run.id, _first_trace_id(decision, reading))
    place = _run_place(run, reading, bytes.fromhex(trace_id))
    run_start = timing.run_start_ns(reading.run, reading.run_metrics)
    waited = tuple(_waited(run, reading, talk))
    for foreign, tool in waited:
        out.add_waited(foreign, tool, timing.tool_before_run(run_start, tool.returned_at), place)
    fence = run.fence_ns or _first_fence(run_start, waited)
    for settled in decision.settled:
        metrics, tools = reading.step_metrics.get(settled.step.id), talk.tools_of(settled.step)
        times = timing.lay_out(metrics, _fences(settled, fence, talk, reading), tools=len(tools))
        out.add_step(settled, metrics, tools, times, place)
        fence = times.step.end_ns
    if not out.spans:
        return Mapped(Telemetry(), run)
    sent = (*run.tools_sent, *(tool.id for _, tool in waited))
    update = {"trace_id": trace_id, "sums": add_steps(run.sums, out.sent), "tools_sent": sent, "fence_ns": fence}
    return Mapped(out.telemetry(), run.model_copy(update=update))


def map_run(run: FollowedRun, reading: Reading, closing: Closing, options: MapOptions) -> Telemetry:
    """The run's own span and what it adds to the metrics.

    Args:
        run: as `map_steps` returned it.
        reading: what the last visit read.
        closing: why the span is due.
        options: the user's choices.
    """
    run = _named(run, reading)
    status = run_status(reading.run, closing, run.sums, cancelled_is_error=options.cancelled_is_error)
    span = run_span(run, reading, closing, status, options.run_metadata)
    place = _run_place(run, reading, span.trace_id)
    measured = (measurements.of_run(reading, closing, run.sums, span, agent_of(place, options)),)
    state = run_state(reading.run, closing, run.sums)
    if state not in wrong.OUTCOMES or wrong.any_step(run.noted.values()):
        return Telemetry((span,), measured)
    went, seen_ns = wrong.of_run(reading.run, state, status, place), timing.clock_ns(reading.at)
    event = wrong.event(went, ended_ns=span.end_ns, observed_ns=seen_ns, options=options)
    return Telemetry((span,), measured, (event,), (wrong.failure(went, seen_ns),))


def map_loose_step(
    settled: SettledStep,
    metrics: StepMetrics | None,
    messages: Sequence[Message],
    at_ns: int,
    options: MapOptions,
    *,
    place: Place | None = None,
) -> Telemetry:
    """A step by itself: the root of a trace of its own, unless its place is known.

    Args:
        settled: the step and how it ended.
        metrics: the lengths that the server measured.
        messages: the step's.
        at_ns: taken as its end where no message is dated, nanoseconds since the epoch.
        options: the user's choices.
        place: where its spans go; by default it belongs to no run.
    """
    step, out = settled.step, _Harvest(options, at_ns)
    tools = Conversation(messages).tools_of(step)
    times = timing.lay_out_loose(metrics, messages, at_ns, tools=len(tools))
    place = place or Place(bytes.fromhex(ids.run_trace_id(step.id, step.trace_id)), run_id=step.run_id)
    out.add_step(settled, metrics, tools, times, place)
    return out.telemetry()


@dataclass(slots=True)
class _Harvest:
    """What is mapped so far."""

    options: MapOptions
    observed_ns: int
    sent: list[SentStep] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    measured: list[Measurements] = field(default_factory=list)
    events: list[LogEvent] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def telemetry(self) -> Telemetry:
        return Telemetry(tuple(self.spans), tuple(self.measured), tuple(self.events), tuple(self.failures))

    def add_step(
        self,
        settled: SettledStep,
        metrics: StepMetrics | None,
        tools: Sequence[ToolRun],
        times: StepTimes,
        place: Place,
    ) -> None:
        step, usage, options = settled.step, usage_of(settled.step), self.options
        status = step_status(step, settled.outcome, cancelled_is_error=options.cancelled_is_error)
        place = step_place(step, place)
        shared = shared_by(settled, usage, status, place)
        own, chat = step_spans(shared, usage, times)
        self.spans += (own, chat)
        agent = agent_of(place, options, step.agent_id)
        self.measured += measurements.of_step(
            shared, usage, metrics, spans=(own, chat), agent=agent, priced=options.cost
        )
        if tools:
            below = Place(place.trace_id, own.span_id)
            ran = [tool_span(tool, times.tool, below, shared.layers) for tool in tools]
            self.spans += ran
            self.measured += measurements.of_tools(tools, metrics, ran, agent)
        if step.feedback:
            self.events.append(feedback.event(step, place, self.observed_ns))
            self.measured.append(measurements.of_feedback(step.feedback, agent))
        if settled.outcome in wrong.OUTCOMES:
            went = wrong.of_step(step, settled.outcome, status, place)
            self.events.append(wrong.event(went, ended_ns=own.end_ns, observed_ns=self.observed_ns, options=options))
            self.failures.append(wrong.failure(went, self.observed_ns))
        self.sent.append(SentStep(usage, settled.outcome, status.error_type))

    def add_waited(self, foreign: ForeignStep, tool: ToolRun, times: Interval, place: Place) -> None:
        """Below its step while that trace still grows, else below the run that it ran in, linked to the step."""
        trace_id = bytes.fromhex(foreign.trace_id)
        link = link_to_step(foreign.step_id, trace_id)
        if foreign.open:
            place = place._replace(trace_id=trace_id, parent_id=link.span_id)
        else:
            place = place._replace(links=(link,))
        own = values.layer({letta.STEP_ID: tool.step_id})
        span = tool_span(tool, times, place, (own, place.layer()))
        self.spans.append(span)
        self.measured += measurements.of_tools((tool,), None, (span,), agent_of(place, self.options))


def agent_of(place: Place, options: MapOptions, agent_id: str | None = None) -> measurements.Agent:
    """The agent for measurements; None where the user does not want it there."""
    return (agent_id or place.agent_id, place.agent_name) if options.metrics_of_agents else None


def _named(run: FollowedRun, reading: Reading) -> FollowedRun:
    """The run with its agent's name, once that is known: a name that changes later would split the run in two."""
    if run.agent_name or not reading.agent_name:
        return run
    return run.model_copy(update={"agent_name": reading.agent_name})


def _run_place(run: FollowedRun, reading: Reading, trace_id: bytes) -> Place:
    return Place(
        trace_id=trace_id,
        parent_id=run_span_id(trace_id, run.id),
        run_id=run.id,
        agent_id=reading.run.agent_id or run.agent_id,
        agent_name=run.agent_name,
        conversation_id=reading.run.conversation_id,
    )


def _first_trace_id(decision: Decision, reading: Reading) -> str | None:
    if decision.settled:
        return decision.settled[0].step.trace_id
    return reading.steps[0].trace_id if reading.steps else None


def _first_fence(run_start: int, waited: Sequence[tuple[ForeignStep, ToolRun]]) -> int:
    """Where the run's first step may begin: after the tools that had waited for the approval that this run is."""
    dates = [timing.to_ns(tool.returned_at) for _, tool in waited if tool.returned_at]
    return max([run_start, *dates])


def _fences(settled: SettledStep, fence: int, talk: Conversation, reading: Reading) -> timing.Fences:
    last = not reading.more and reading.steps and settled.step.id == reading.steps[-1].id
    return timing.Fences(
        not_before=fence,
        ended_from=timing.ended_from(talk.of(settled.step.id)),
        run_ends=timing.run_ends_ns(reading.run, reading.run_metrics) if last else (),
    )


def _waited(run: FollowedRun, reading: Reading, talk: Conversation) -> Iterator[tuple[ForeignStep, ToolRun]]:
    """Tools that ran in this run for a step of an earlier one, and are not sent yet."""
    sent = set(run.tools_sent)
    for step_id, foreign in reading.foreign_steps.items():
        for tool in talk.returned(step_id):
            if tool.id not in sent:
                sent.add(tool.id)
                yield foreign, tool
