"""Whatever lengths and dates a server gives, in whatever disagreement: what the laid out times always hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.map.timing import (
    ESTIMATED,
    MEASURED,
    RECONSTRUCTED,
    Fences,
    Interval,
    StepTimes,
    ended_from,
    lay_out,
    lay_out_loose,
    requested_at,
    run_ends_ns,
    run_start_ns,
    to_ns,
)
from bridge.source.models import Message, Run, RunMetrics, StepMetrics

SECOND = 1_000_000_000
NOON = 1_795_305_600 * SECOND
LIMIT = 2**64 - 1
LONGEST = 2**63 - 1  # what a record can hold

lengths = st.none() | st.integers(-5, 20 * SECOND) | st.integers(0, LONGEST)
moments = st.none() | st.integers(NOON - 5 * SECOND, NOON + 60 * SECOND) | st.integers(-SECOND, LONGEST)
all_metrics = st.none() | st.builds(
    StepMetrics,
    id=st.just("step-1"),
    step_start_ns=moments,
    step_ns=lengths,
    llm_request_start_ns=moments,
    llm_request_ns=lengths,
    tool_execution_ns=lengths,
)
all_fences = st.builds(
    Fences,
    not_before=st.integers(NOON - SECOND, NOON + 30 * SECOND) | st.integers(0, LIMIT),
    ended_from=st.none() | st.integers(-5, 60).map(lambda seconds: NOON + seconds * SECOND),
    run_ends=st.lists(st.integers(NOON - SECOND, NOON + 90 * SECOND), max_size=2).map(tuple),
)
tool_counts = st.integers(0, 3)


def measured(step: int | None = None, llm: int | None = None, tool: int | None = None, **more: int) -> StepMetrics:
    return StepMetrics(id="step-1", step_ns=step, llm_request_ns=llm, tool_execution_ns=tool, **more)  # type: ignore[arg-type]


def message(type_: str, second: int | None = None) -> Message:
    date = datetime.fromtimestamp(NOON // SECOND + second, UTC) if second is not None else None
    return Message(id="message-1", message_type=type_, date=date)


def parts(times: StepTimes) -> tuple[Interval, Interval]:
    return times.chat, times.tool


@given(all_metrics, all_fences, tool_counts)
def test_nothing_is_negative_and_all_fits(metrics: StepMetrics | None, fences: Fences, tools: int) -> None:
    times = lay_out(metrics, fences, tools=tools)
    for interval in (times.step, *parts(times)):
        assert 0 <= interval.start_ns <= interval.end_ns <= LIMIT


@given(all_metrics, all_fences, tool_counts)
def test_parts_stay_inside_their_step(metrics: StepMetrics | None, fences: Fences, tools: int) -> None:
    times = lay_out(metrics, fences, tools=tools)
    for part in parts(times):
        assert times.step.start_ns <= part.start_ns
        assert part.end_ns <= times.step.end_ns
    assert times.chat.end_ns <= times.tool.start_ns


@given(st.lists(st.tuples(all_metrics, all_fences), min_size=2, max_size=8))
def test_steps_of_a_run_never_overlap(steps: list[tuple[StepMetrics | None, Fences]]) -> None:
    fence, laid_out = NOON, []
    for metrics, given_fences in steps:
        fences = Fences(fence, given_fences.ended_from, given_fences.run_ends)
        laid_out.append(lay_out(metrics, fences, tools=1).step)
        fence = laid_out[-1].end_ns
    for before, after in pairwise(laid_out):
        assert before.end_ns <= after.start_ns


@given(all_metrics, all_fences, tool_counts)
def test_same_input_same_nanoseconds(metrics: StepMetrics | None, fences: Fences, tools: int) -> None:
    again = replace(metrics) if metrics else None
    assert lay_out(metrics, fences, tools=tools) == lay_out(again, fences, tools=tools)


@given(st.integers(0, 20 * SECOND), all_fences)
def test_a_measured_length_is_kept(length: int, fences: Fences) -> None:
    step = lay_out(measured(length), fences, tools=0).step
    assert step.timing == RECONSTRUCTED
    if fences.not_before + 60 * SECOND < LIMIT:
        assert step.end_ns - step.start_ns == length


@given(st.integers(0, 20 * SECOND), st.integers(0, 30), st.integers(0, 5 * SECOND))
def test_ends_within_the_second_of_its_messages_where_the_length_allows(length: int, second: int, slack: int) -> None:
    """A step that ended in the second it is dated at, after some time in which nothing is known to have happened."""
    end = NOON + second * SECOND + 999_999_999
    fences = Fences(not_before=end - length - slack, ended_from=NOON + second * SECOND)
    laid_out = lay_out(measured(length), fences, tools=0).step
    assert NOON + second * SECOND <= laid_out.end_ns <= end


@given(st.integers(0, 20 * SECOND), st.integers(0, 3 * SECOND), st.integers(0, 3 * SECOND))
def test_last_step_ends_before_its_run_where_the_length_allows(length: int, slack: int, after: int) -> None:
    run_end = NOON + length + slack
    ended = (run_end - after) // SECOND * SECOND
    step = lay_out(measured(length), Fences(NOON, ended, (run_end,)), tools=0).step
    assert step.end_ns <= max(run_end, NOON + length)


@given(all_metrics, all_fences)
def test_measured_only_with_a_start_and_a_length(metrics: StepMetrics | None, fences: Fences) -> None:
    times = lay_out(metrics, fences, tools=1)
    if times.step.timing == MEASURED:
        assert metrics
        assert metrics.step_start_ns == times.step.start_ns
        assert metrics.step_ns is not None
    if times.step.timing == RECONSTRUCTED:
        assert metrics
        assert metrics.step_ns is not None


@given(
    all_metrics, st.lists(st.sampled_from([message("user_message", 3), message("reasoning_message", 9)])), tool_counts
)
def test_loose_steps_fit_too(metrics: StepMetrics | None, messages: list[Message], tools: int) -> None:
    times = lay_out_loose(metrics, messages, NOON, tools=tools)
    for interval in (times.step, *parts(times)):
        assert 0 <= interval.start_ns <= interval.end_ns <= LIMIT


def test_earliest_place_that_reaches_the_messages() -> None:
    step = lay_out(measured(2 * SECOND), Fences(NOON, NOON + 5 * SECOND), tools=0).step
    assert (step.start_ns, step.end_ns) == (NOON + 3 * SECOND, NOON + 5 * SECOND)


def test_a_runs_end_before_its_messages_is_not_believed() -> None:
    """A cancelled run keeps the time of the cancel, whatever it does later (0.16.8)."""
    fences = Fences(NOON, NOON + 6 * SECOND, (NOON + 2 * SECOND, NOON + 7 * SECOND))
    assert fences.run_end() == NOON + 7 * SECOND
    assert lay_out(None, fences, tools=0).step.end_ns == NOON + 7 * SECOND - 1


@pytest.mark.parametrize(
    ("fences", "end"),
    [
        (Fences(NOON), NOON),
        (Fences(NOON, NOON + 4 * SECOND), NOON + 4 * SECOND),
        (Fences(NOON, NOON - 1 * SECOND), NOON),
        (Fences(NOON, None, (NOON + 9 * SECOND,)), NOON + 9 * SECOND),
        (Fences(NOON, NOON + 4 * SECOND, (NOON + 4 * SECOND + 7,)), NOON + 4 * SECOND + 7),
        (Fences(NOON, NOON + 4 * SECOND, (NOON + 9 * SECOND,)), NOON + 5 * SECOND - 1),
    ],
)
def test_a_step_without_a_length_ends_where_it_is_known_to(fences: Fences, end: int) -> None:
    times = lay_out(None, fences, tools=1)
    assert times.step == Interval(NOON, end, ESTIMATED)
    assert times.chat == times.step
    assert times.tool == Interval(end, end, ESTIMATED)


def test_parts_that_were_measured_make_up_for_a_missing_whole() -> None:
    times = lay_out(measured(None, SECOND, 2 * SECOND), Fences(NOON), tools=1)
    assert times.step == Interval(NOON, NOON + 3 * SECOND, ESTIMATED)
    assert times.chat == Interval(NOON, NOON + SECOND, RECONSTRUCTED)
    assert times.tool == Interval(NOON + SECOND, NOON + 3 * SECOND, RECONSTRUCTED)


def test_a_chat_without_a_length_leaves_room_for_the_tool() -> None:
    times = lay_out(measured(5 * SECOND, None, 2 * SECOND), Fences(NOON), tools=1)
    assert times.chat == Interval(NOON, NOON + 3 * SECOND, ESTIMATED)
    assert times.tool == Interval(NOON + 3 * SECOND, NOON + 5 * SECOND, RECONSTRUCTED)


def test_several_tools_share_an_upper_bound() -> None:
    metrics = measured(5 * SECOND, SECOND, 2 * SECOND)
    assert lay_out(metrics, Fences(NOON), tools=1).tool.timing == RECONSTRUCTED
    assert lay_out(metrics, Fences(NOON), tools=2).tool.timing == ESTIMATED


def test_given_starts_are_believed() -> None:
    metrics = measured(5 * SECOND, SECOND, None, step_start_ns=NOON + 7, llm_request_start_ns=NOON + 9)
    times = lay_out(metrics, Fences(NOON, NOON + 30 * SECOND), tools=0)
    assert times.step == Interval(NOON + 7, NOON + 7 + 5 * SECOND, MEASURED)
    assert times.chat == Interval(NOON + 9, NOON + 9 + SECOND, MEASURED)


def test_a_given_start_without_a_length_is_an_estimate() -> None:
    times = lay_out(measured(None, step_start_ns=NOON + 7), Fences(NOON), tools=0)
    assert times.step == Interval(NOON + 7, NOON + 7, ESTIMATED)


def test_a_step_ends_with_its_messages_but_not_with_the_users_or_an_approval() -> None:
    messages = [
        message("user_message", 1),
        message("summary_message", 2),
        message("assistant_message", 8),
        message("tool_return_message", 9),
        message("tool_call_message"),
    ]
    assert ended_from(messages) == NOON + 8 * SECOND
    assert ended_from(messages[:2]) is None
    assert requested_at(messages) == NOON + SECOND
    assert requested_at(messages[1:]) is None


def test_a_run_starts_when_it_was_measured_to() -> None:
    run = Run(id="run-1", created_at=datetime.fromtimestamp(NOON // SECOND, UTC))
    assert run_start_ns(run, None) == NOON
    assert run_start_ns(run, RunMetrics(id="run-1")) == NOON
    assert run_start_ns(run, RunMetrics(id="run-1", run_start_ns=NOON + 5)) == NOON + 5
    assert run_start_ns(run, RunMetrics(id="run-1", run_start_ns=NOON - 5)) == NOON


def test_a_run_may_have_two_ends() -> None:
    run = Run(id="run-1", created_at=datetime.fromtimestamp(NOON // SECOND, UTC))
    ended = replace(run, completed_at=run.created_at + timedelta(seconds=2))
    metrics = RunMetrics(id="run-1", run_start_ns=NOON + 5, run_ns=3 * SECOND)
    assert run_ends_ns(run, None) == ()
    assert run_ends_ns(run, metrics) == (NOON + 3 * SECOND + 5,)
    assert run_ends_ns(ended, metrics) == (NOON + 2 * SECOND, NOON + 3 * SECOND + 5)


@pytest.mark.parametrize(
    ("moment", "ns"),
    [
        (datetime(2026, 11, 21, 23, 0, 4, 472932, UTC), 1_795_302_004_472_932_000),
        (datetime(1, 1, 1, tzinfo=UTC), 0),
        (datetime(9999, 12, 31, tzinfo=UTC), LIMIT),
    ],
)
def test_to_ns_is_exact_and_fits(moment: datetime, ns: int) -> None:
    assert to_ns(moment) == ns


def test_a_loose_step_ends_when_seen_where_nothing_dates_it() -> None:
    times = lay_out_loose(measured(SECOND), (), NOON, tools=0)
    assert times.step == Interval(NOON - SECOND, NOON, ESTIMATED)
    assert times.chat.timing == ESTIMATED


def test_a_loose_step_is_dated_by_its_messages() -> None:
    messages = [message("user_message", 3), message("assistant_message", 9)]
    by_messages = lay_out_loose(measured(2 * SECOND), messages, NOON + 3600 * SECOND, tools=0).step
    assert by_messages == Interval(NOON + 7 * SECOND, NOON + 9 * SECOND, RECONSTRUCTED)
    no_length = lay_out_loose(None, messages[1:], NOON + 3600 * SECOND, tools=0).step
    assert no_length == Interval(NOON + 9 * SECOND, NOON + 9 * SECOND, ESTIMATED)
    request_alone = lay_out_loose(measured(2 * SECOND), messages[:1], NOON + 3600 * SECOND, tools=0).step
    assert request_alone == Interval(NOON + 3 * SECOND, NOON + 5 * SECOND, RECONSTRUCTED)


def test_a_loose_step_with_a_given_start_needs_nothing_else() -> None:
    metrics = measured(2 * SECOND, step_start_ns=NOON)
    assert lay_out_loose(metrics, (), 0, tools=0).step == Interval(NOON, NOON + 2 * SECOND, MEASURED)
