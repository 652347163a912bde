"""What holds for whole runs: read from the golden cases, so that it holds for each of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from map.golden_cases import CASES, load, reading_of, settled_of
from measuring import each

from bridge.follow.reading import Closing, Decision, Outcome, SettledStep
from bridge.follow.state import FollowedRun, Sums
from bridge.map import timing
from bridge.map.instruments import CATALOGUE
from bridge.map.mapper import MapOptions, map_loose_step, map_run, map_steps
from bridge.map.run import SentStep, add_steps
from bridge.map.telemetry import Span, Telemetry
from bridge.map.totals import fold
from bridge.map.usage import usage_of
from bridge.source.models import Step

OPTIONS = MapOptions()
RUNS = [case for case in CASES if "visits" in load(case)]


@cache
def mapped(case: str) -> tuple[Telemetry, FollowedRun]:
    return map_anew(case)


def map_anew(case: str, **remembered: Any) -> tuple[Telemetry, FollowedRun]:
    """The case's last visit, as if it were the only one, with the run's own span."""
    visit = load(case)["visits"][-1]
    reading = reading_of(visit["reading"])
    row = reading.run
    known = FollowedRun(id=row.id, agent_id=row.agent_id, created_ns=0, first_seen=0, last_news=0, **remembered)
    done = map_steps(Decision(settled_of(visit["settled"], reading.steps), known), reading, OPTIONS)
    own = map_run(done.run, reading, Closing(visit.get("closing", "over")), OPTIONS)
    spans = done.telemetry.spans + own.spans
    return Telemetry(spans, done.telemetry.measurements + own.measurements), done.run


def by_id(spans: tuple[Span, ...]) -> dict[tuple[bytes, bytes], Span]:
    return {(span.trace_id, span.span_id): span for span in spans}


@pytest.mark.parametrize("case", RUNS)
def test_twice_the_same(case: str) -> None:
    assert map_anew(case) == mapped(case)


@pytest.mark.parametrize("case", RUNS)
def test_children_lie_within_their_parents(case: str) -> None:
    spans = mapped(case)[0].spans
    known = by_id(spans)
    for span in spans:
        parent = known.get((span.trace_id, span.parent_id))
        if parent:
            assert parent.start_ns <= span.start_ns <= span.end_ns <= parent.end_ns


@pytest.mark.parametrize("case", RUNS)
def test_only_a_tool_of_an_earlier_run_has_a_parent_elsewhere(case: str) -> None:
    spans = mapped(case)[0].spans
    known = by_id(spans)
    strays = [span for span in spans if span.parent_id and (span.trace_id, span.parent_id) not in known]
    assert all(span.name.startswith("execute_tool") for span in strays)
    assert not strays or case.startswith("old_step_id")


@pytest.mark.parametrize("case", RUNS)
def test_steps_do_not_overlap(case: str) -> None:
    steps = [span for span in mapped(case)[0].spans if span.name == "agent_step"]
    for before, after in pairwise(steps):
        assert before.end_ns <= after.start_ns


@pytest.mark.parametrize("case", RUNS)
def test_ids_are_valid(case: str) -> None:
    for span in mapped(case)[0].spans:
        assert len(span.trace_id) == 16
        assert any(span.trace_id)
        assert len(span.span_id) == 8
        assert any(span.span_id)
        assert len(span.parent_id) in {0, 8}


@pytest.mark.parametrize("case", RUNS)
def test_usage_is_on_the_chat_alone(case: str) -> None:
    for span in mapped(case)[0].spans:
        usage = [name for name in span.attributes if name.startswith("gen_ai.usage.")]
        assert not usage or span.name.startswith("chat")


@pytest.mark.parametrize("case", RUNS)
def test_an_error_has_a_type_and_nothing_else_has(case: str) -> None:
    for span in mapped(case)[0].spans:
        assert ("error.type" in span.attributes) is (span.status.name == "ERROR")
        assert len(span.status_message) <= 256


@pytest.mark.parametrize("case", RUNS)
def test_text_is_plain_and_can_be_encoded(case: str) -> None:
    for span in mapped(case)[0].spans:
        for value in (span.name, span.status_message, *span.attributes.values()):
            assert type(value) in {str, bool, int, float, tuple}
            str(value).encode()  # raises for a lone surrogate


@pytest.mark.parametrize("case", RUNS)
def test_measurements_are_of_known_instruments_and_sorted(case: str) -> None:
    measurements = mapped(case)[0].measurements
    for measurement in each(measurements):
        assert list(measurement.attributes) == sorted(measurement.attributes)
        assert not CATALOGUE[measurement.instrument].integer or isinstance(measurement.value, int)
        assert measurement.value >= 0
    assert fold(measurements)


@pytest.mark.parametrize("case", RUNS)
def test_every_step_is_counted_once(case: str) -> None:
    telemetry, run = mapped(case)
    steps = [span for span in telemetry.spans if span.name == "agent_step"]
    counted = sum(total.sum for (name, _), total in fold(telemetry.measurements).items() if name == "letta.steps")
    assert len(steps) == counted == run.sums.steps


def test_nothing_settled_changes_nothing() -> None:
    reading = reading_of(load("tool_called_then_answer")["visits"][0]["reading"])
    run = FollowedRun(id=reading.run.id, created_ns=0, first_seen=0, last_news=0)
    done = map_steps(Decision((), run), reading, OPTIONS)
    assert done.telemetry == Telemetry()
    assert done.run == run.model_copy(update={"agent_name": reading.agent_name})


def test_what_is_remembered_is_gone_on_with() -> None:
    """Trace, fence and sums of the steps sent before."""
    trace, late = "805f1b33711849bbdf4720b1c67e42e5", 1_795_302_100 * 10**9
    telemetry, run = map_anew("text_answer_without_tools", trace_id=trace, fence_ns=late)
    step, _, own = telemetry.spans
    assert {span.trace_id.hex() for span in telemetry.spans} == {trace}
    assert step.start_ns == late
    assert own.end_ns == run.fence_ns == step.end_ns


def test_a_tool_of_an_earlier_step_is_not_sent_again() -> None:
    telemetry, run = mapped("old_step_id_in_new_runs_tool_return")
    assert telemetry.spans[0].name == "execute_tool dangerous"
    again, _ = map_anew("old_step_id_in_new_runs_tool_return", tools_sent=run.tools_sent)
    assert [span.name for span in again.spans] == [span.name for span in telemetry.spans[1:]]


def test_the_last_failure_names_a_failed_runs_error() -> None:
    visit = load("failed_on_the_second_step")["visits"][0]
    _, run = mapped("failed_on_the_second_step")
    assert run.sums.error_type == "LLMServerError"
    assert map_run(run, reading_of(visit["reading"]), Closing.OVER, OPTIONS).spans[0].attributes["error.type"] == (
        "LLMServerError"
    )


def test_a_step_without_a_run_has_a_trace_of_its_own() -> None:
    step = Step(id="step-0fbc63cc-7831-455d-8245-00c81475b014", status="success")
    by_id_, by_trace = (
        map_loose_step(SettledStep(each, Outcome.SUCCESS), None, (), 10**18, OPTIONS).spans[0]
        for each in (step, replace(step, trace_id="805f1b33711849bbdf4720b1c67e42e5"))
    )
    assert by_id_.trace_id.hex() == "0fbc63cc7831455d824500c81475b014"
    assert by_trace.trace_id.hex() == "805f1b33711849bbdf4720b1c67e42e5"
    assert by_id_.parent_id == by_trace.parent_id == b""
    assert by_id_.links == by_trace.links == ()


def test_a_step_before_the_end_of_the_page_is_not_the_runs_last() -> None:
    """Without a length, only the last step of a run reaches to the run's end."""
    reading = reading_of(load("backlog_without_lengths")["visits"][0]["reading"])
    page = replace(reading, steps=reading.steps[:1], more=True)
    run = FollowedRun(id=reading.run.id, created_ns=0, first_seen=0, last_news=0)
    settled = (SettledStep(page.steps[0], Outcome.SUCCESS),)
    until_message = map_steps(Decision(settled, run), page, OPTIONS).run.fence_ns
    assert until_message == timing.ended_from(page.messages)
    until_run_end = map_steps(Decision(settled, run), replace(page, more=False), OPTIONS).run.fence_ns
    assert until_run_end > until_message


def test_a_tool_sent_before_its_runs_first_step_takes_that_steps_trace() -> None:
    visit = load("old_step_id_in_new_runs_tool_return")["visits"][0]
    reading = reading_of(visit["reading"])
    trace = "805f1b33711849bbdf4720b1c67e42e5"
    pending = replace(reading.steps[0], status="pending", trace_id=trace)
    run = FollowedRun(id=reading.run.id, created_ns=0, first_seen=0, last_news=0)
    done = map_steps(Decision((), run), replace(reading, steps=(pending,)), OPTIONS)
    assert [(span.name, span.trace_id.hex()) for span in done.telemetry.spans] == [("execute_tool dangerous", trace)]
    assert done.run.trace_id == trace


def test_sums_remember_the_last_error() -> None:
    usage = usage_of(Step(id="step-1", prompt_tokens=5, cached_input_tokens=3, prompt_tokens_details={}))
    failed, fine = SentStep(usage, Outcome.FAILED, "LLMServerError"), SentStep(usage, Outcome.SUCCESS, None)
    sums = add_steps(Sums(), (failed, fine))
    assert add_steps(add_steps(Sums(), (failed,)), (fine,)) == sums
    assert sums == Sums(steps=2, failed_steps=1, input_tokens=10, cache_read_tokens=6, error_type="LLMServerError")
