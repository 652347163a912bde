"""What is told of a step or run that went wrong, whatever the records hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from map.golden_cases import load, reading_of
from measuring import each

from bridge.follow.reading import Closing, Decision, Outcome, Reading, SettledStep
from bridge.follow.state import FollowedRun, Noted
from bridge.map import values
from bridge.map.instruments import CATALOGUE, Kind
from bridge.map.mapper import MapOptions, map_loose_step, map_run, map_steps
from bridge.map.telemetry import Severity, Telemetry
from bridge.source.models import STEP, Step

OPTIONS = MapOptions()
HOSTILE = "it\n\x1b[31m broke \ud800" + "x" * 5_000


def step(**fields: object) -> Step:
    return STEP.validate_python({"id": "step-1", "agent_id": "agent-1", "status": "failed", **fields})


def told(one: Step, outcome: Outcome = Outcome.FAILED, options: MapOptions = OPTIONS) -> Telemetry:
    return map_loose_step(SettledStep(one, outcome), None, (), 10**18, options)


def test_the_line_says_which_agent_which_model_and_why() -> None:
    failed = step(
        model_handle="openai/gpt-4o", error_type="LLMServerError", error_data={"message": "overloaded, try again"}
    )
    (event,), (failure,) = told(failed).events, told(failed).failures
    assert event.body == "Step failed: agent agent-1, model openai/gpt-4o: LLMServerError: overloaded, try again"
    assert (failure.message, failure.error_type) == ("overloaded, try again", "LLMServerError")


@pytest.mark.parametrize(
    ("outcome", "body"),
    [
        (Outcome.FAILED, "Step failed: agent agent-1: _OTHER"),
        (Outcome.CANCELLED, "Step cancelled: agent agent-1: cancelled on request"),
        (Outcome.ABANDONED, "Step abandoned: agent agent-1: Letta never said how it ended"),
    ],
)
def test_the_line_where_nothing_was_said(outcome: Outcome, body: str) -> None:
    telemetry = told(step(), outcome)
    assert [event.body for event in telemetry.events] == [body]
    assert [failure.message for failure in telemetry.failures] == [""]


def test_hostile_text_is_one_line_that_a_terminal_can_show() -> None:
    hostile = step(model_handle=HOSTILE, error_type=HOSTILE, error_data={"message": HOSTILE}, agent_id=HOSTILE)
    (event,), (failure,) = told(hostile).events, told(hostile).failures
    for line in (event.body, failure.message):
        assert line.isprintable()
        assert len(line) <= 256
    assert event.body.startswith("Step failed: agent it [31m broke")
    assert failure.model_dump_json()  # lone surrogates would make it raise
    assert len(str(event.attributes["exception.message"])) < 5_000


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [
        (Outcome.FAILED, Severity.ERROR),
        (Outcome.ABANDONED, Severity.ERROR),
        (Outcome.CANCELLED, Severity.WARN),
    ],
)
def test_severity(outcome: Outcome, severity: Severity) -> None:
    assert [event.severity for event in told(step(), outcome).events] == [severity]


def test_a_cancel_that_is_no_error_is_information_and_still_a_failure() -> None:
    telemetry = told(step(), Outcome.CANCELLED, MapOptions(cancelled_is_error=False))
    assert [event.severity for event in telemetry.events] == [Severity.INFO]
    assert [(failure.status, failure.error_type) for failure in telemetry.failures] == [("cancelled", None)]


def test_a_success_is_nothing_to_tell() -> None:
    telemetry = told(step(status="success"), Outcome.SUCCESS)
    assert (telemetry.events, telemetry.failures) == ((), ())


@pytest.mark.parametrize("cancelled_is_error", [True, False])
@pytest.mark.parametrize(
    ("outcome", "told_of_run"), [("success", 1), ("cancelled", 0), ("failed", 0), ("abandoned", 0)]
)
def test_a_run_is_told_only_where_none_of_its_steps_is(
    outcome: str, told_of_run: int, *, cancelled_is_error: bool
) -> None:
    reading, run = cancelled()
    noted = run.model_copy(update={"noted": {"step-1": Noted(outcome=outcome), "step-2": Noted()}})
    telemetry = map_run(noted, reading, Closing.OVER, MapOptions(cancelled_is_error=cancelled_is_error))
    assert (len(telemetry.events), len(telemetry.failures)) == (told_of_run, told_of_run)


def cancelled() -> tuple[Reading, FollowedRun]:
    reading = reading_of(load("run_without_steps")["visits"][0]["reading"])
    row = replace(reading.run, status="cancelled", stop_reason="cancelled")
    return replace(reading, run=row), FollowedRun(id=row.id, created_ns=0, first_seen=0, last_news=0)


def test_a_run_keeps_the_name_that_its_agent_had_first() -> None:
    """A rename in the middle, or a name that cannot be read once, does not split a run in two."""
    visit = load("tool_called_then_answer")["visits"][0]
    reading = reading_of(visit["reading"])
    run = FollowedRun(id=reading.run.id, created_ns=0, first_seen=0, last_news=0)
    settled = tuple(SettledStep(each, Outcome.SUCCESS) for each in reading.steps)
    first = map_steps(Decision(settled[:1], run), replace(reading, agent_name="before"), OPTIONS)
    second = map_steps(Decision(settled[1:], first.run), replace(reading, agent_name="after"), OPTIONS)
    last = map_run(second.run, replace(reading, agent_name=None), Closing.OVER, OPTIONS)
    spans = first.telemetry.plus(second.telemetry).plus(last).spans
    assert len(spans) > 4
    assert {span.attributes["gen_ai.agent.name"] for span in spans} == {"before"}
    assert spans[-1].name == "invoke_agent before"


def test_every_measurement_of_a_histogram_names_its_span() -> None:
    visit = load("tool_called_then_answer")["visits"][0]
    reading = reading_of(visit["reading"])
    run = FollowedRun(id=reading.run.id, created_ns=0, first_seen=0, last_news=0)
    settled = tuple(SettledStep(each, Outcome.SUCCESS) for each in reading.steps)
    mapped = map_steps(Decision(settled, run), reading, OPTIONS)
    telemetry = mapped.telemetry.plus(map_run(mapped.run, reading, Closing.OVER, OPTIONS))
    spans = {span.span_id: span for span in telemetry.spans}
    of = {
        "gen_ai.client.token.usage": "chat",
        "gen_ai.client.operation.duration": "chat",
        "letta.context_window.used_ratio": "chat",
        "letta.step.duration": "agent_step",
        "letta.tool.duration": "execute_tool",
        "letta.run.duration": "invoke_agent",
    }
    histograms = [one for one in each(telemetry.measurements) if CATALOGUE[one.instrument].kind is Kind.HISTOGRAM]
    assert {one.instrument for one in histograms} == set(of)
    for one in histograms:
        assert one.example is not None
        span = spans[one.example.span_id]
        assert span.name.split()[0] == of[one.instrument]
        assert (one.example.trace_id, one.example.time_ns) == (span.trace_id, span.end_ns)
    assert {one.example for one in each(telemetry.measurements) if one not in histograms} == {None}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("send_message", "send_message"),
        ("a" * 128, "a" * 128),
        ("a" * 129, "a" * 127 + "…"),
        ("two\nlines\x00", "two lines"),
        ("\ud800", "�"),
    ],
)
def test_names_of_operations_are_bounded(name: str, shown: str) -> None:
    assert values.name(name) == shown
