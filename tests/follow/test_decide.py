"""When a step may be sent and when a run is over, one named case each."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.follow.decide import Policy, decide
from bridge.follow.reading import Closing, Decision, Outcome, Reading
from bridge.follow.state import FollowedRun, Phase
from bridge.source.models import Message, Run, Step, StepMetrics

POLICY = Policy(settle=15, abandon_after=60, stale_after=3600)
T0 = 1_000_000.0
RUN_ID = "run-1"


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def a_run(status: str = "created", **fields: Any) -> Run:
    return Run(id=RUN_ID, status=status, created_at=moment(T0), agent_id="agent-1", **fields)


def a_step(number: int, status: str | None = "success", **fields: Any) -> Step:
    return Step(id=f"step-{number}", run_id=RUN_ID, status=status, **fields)


def followed(**fields: Any) -> FollowedRun:
    return FollowedRun(id=RUN_ID, created_ns=round(T0 * 1e9), first_seen=T0, last_news=T0, **fields)


def read(run: Run, *steps: Step, at: float = T0, whole: bool = True, **fields: Any) -> Reading:
    """A reading; `whole` gives every step its messages and lengths."""
    if whole:
        fields.setdefault("messages", tuple(Message(id=f"m-{step.id}", step_id=step.id) for step in steps))
        fields.setdefault("step_metrics", {step.id: StepMetrics(id=step.id, step_ns=1) for step in steps})
    return Reading(run=run, steps=steps, order=tuple(step.id for step in steps), at=at, **fields)


def outcomes(decision: Decision) -> list[tuple[str, Outcome]]:
    return [(settled.step.id, settled.outcome) for settled in decision.settled]


def test_a_step_with_all_its_belongings_is_sent_at_once() -> None:
    decision = decide(followed(), read(a_run(), a_step(1, stop_reason="end_turn")), POLICY)
    assert outcomes(decision) == [("step-1", Outcome.SUCCESS)]
    assert decision.run.cursor == "step-1"


@pytest.mark.parametrize("missing", ["messages", "step_metrics"])
def test_a_step_waits_for_what_belongs_to_it_but_no_longer_than_settle(missing: str) -> None:
    step = a_step(1, stop_reason="end_turn")
    empty: dict[str, Any] = {missing: () if missing == "messages" else {}}
    first = decide(followed(), read(a_run(), step, **empty), POLICY)
    assert outcomes(first) == []
    assert first.run.waiting == {"step-1": T0}
    assert outcomes(decide(first.run, read(a_run(), step, at=T0 + 14.9, **empty), POLICY)) == []
    last = decide(first.run, read(a_run(), step, at=T0 + 15, **empty), POLICY)
    assert outcomes(last) == [("step-1", Outcome.SUCCESS)]


def test_lengths_that_were_not_asked_for_are_not_waited_for() -> None:
    reading = read(a_run(), a_step(1, stop_reason="end_turn"), step_metrics={}, measured=False)
    assert outcomes(decide(followed(), reading, POLICY)) == [("step-1", Outcome.SUCCESS)]


def test_a_failed_step_has_no_messages_to_wait_for() -> None:
    step = a_step(1, "failed", error_type="LLMServerError", stop_reason="llm_api_error")
    assert outcomes(decide(followed(), read(a_run(), step, messages=()), POLICY)) == [("step-1", Outcome.FAILED)]


def test_the_last_step_waits_for_its_stop_reason_and_an_earlier_one_does_not() -> None:
    decision = decide(followed(), read(a_run(), a_step(1), a_step(2)), POLICY)
    assert outcomes(decision) == [("step-1", Outcome.SUCCESS)]
    assert decision.run.cursor == "step-1"


def test_a_pending_step_holds_the_cursor_and_not_its_neighbours() -> None:
    steps = (a_step(1), a_step(2, "pending"), a_step(3, stop_reason="end_turn"))
    decision = decide(followed(), read(a_run(), *steps), POLICY)
    assert outcomes(decision) == [("step-1", Outcome.SUCCESS), ("step-3", Outcome.SUCCESS)]
    assert (decision.run.cursor, decision.run.sent) == ("step-1", ("step-3",))


def test_a_final_step_that_waits_holds_the_ones_after_it() -> None:
    steps = (a_step(1), a_step(2, stop_reason="end_turn"))
    late = (Message(id="m-2", step_id="step-2"),)
    first = decide(followed(), read(a_run(), *steps, messages=late), POLICY)
    assert outcomes(first) == []
    assert set(first.run.waiting) == {"step-1", "step-2"}
    both = decide(first.run, read(a_run(), *steps, at=T0 + 15, messages=late), POLICY)
    assert [step for step, _ in outcomes(both)] == ["step-1", "step-2"]


def test_what_was_sent_past_the_cursor_is_not_sent_again_and_the_cursor_catches_up() -> None:
    run = followed(cursor="step-1", sent=("step-3",))
    decision = decide(run, read(a_run(), a_step(2), a_step(3, stop_reason="end_turn")), POLICY)
    assert outcomes(decision) == [("step-2", Outcome.SUCCESS)]
    assert (decision.run.cursor, decision.run.sent) == ("step-3", ())


@pytest.mark.parametrize(("run_status", "outcome"), [("cancelled", Outcome.CANCELLED), ("failed", Outcome.ABANDONED)])
def test_what_a_runs_end_leaves_pending_gets_a_grace_time(run_status: str, outcome: Outcome) -> None:
    run, step = a_run(run_status), a_step(1, "pending")
    first = decide(followed(), read(run, step), POLICY)
    assert outcomes(first) == []
    assert outcomes(decide(first.run, read(run, step, at=T0 + 59.9), POLICY)) == []
    assert outcomes(decide(first.run, read(run, step, at=T0 + 60), POLICY)) == [("step-1", outcome)]


def test_success_after_cancel_is_a_success() -> None:
    first = decide(followed(), read(a_run("cancelled"), a_step(1, "pending")), POLICY)
    second = decide(first.run, read(a_run("completed"), a_step(1, stop_reason="end_turn"), at=T0 + 20), POLICY)
    assert outcomes(second) == [("step-1", Outcome.SUCCESS)]
    assert second.closing is None, "the run changed its mind: it settles anew"
    assert second.run.over_since == T0 + 20


def test_a_cancelled_stream_fails_late_and_counts_as_cancelled() -> None:
    first = decide(followed(), read(a_run("cancelled"), a_step(1, "pending")), POLICY)
    failed = a_step(1, "failed", error_type="Unknown")
    assert outcomes(decide(first.run, read(a_run("cancelled"), failed, at=T0 + 9), POLICY)) == [
        ("step-1", Outcome.CANCELLED)
    ]


def test_an_unknown_failure_waits_for_the_runs_word() -> None:
    failed = a_step(1, "failed", error_type="Unknown")
    first = decide(followed(), read(a_run("running"), failed), POLICY)
    assert outcomes(first) == []
    assert outcomes(decide(first.run, read(a_run("failed"), failed, at=T0 + 1), POLICY)) == [
        ("step-1", Outcome.FAILED)
    ]


def test_a_run_is_closed_once_settled_after_its_end() -> None:
    run, step = a_run("completed", stop_reason="end_turn"), a_step(1, stop_reason="end_turn")
    first = decide(followed(), read(run, step), POLICY)
    assert first.closing is None
    assert T0 < first.run.next_visit <= T0 + 15
    later = decide(first.run, read(run, at=T0 + 15), POLICY)
    assert later.closing is Closing.OVER
    assert later.run.phase is Phase.CLOSED


def test_a_run_that_ended_long_ago_by_the_servers_clock_is_closed_once_a_page_brings_nothing() -> None:
    server = T0 + 3600  # an hour ahead of the bridge
    run = a_run("completed", completed_at=moment(server - 20))
    first = decide(followed(), read(run, a_step(1), server_now=server), POLICY)
    assert first.closing is None, "the page may have been cut short"
    assert first.run.next_visit == 0, "looked at again at once"
    assert decide(first.run, read(run, server_now=server), POLICY).closing is Closing.OVER


def test_a_run_that_ended_long_ago_is_closed_at_once_where_its_end_is_proven() -> None:
    run = a_run("completed", completed_at=moment(T0 - 20))
    reading = replace(read(run, a_step(1), server_now=T0), ended=True)
    decision = decide(followed(), reading, POLICY)
    assert (decision.closing, outcomes(decision)) == (Closing.OVER, [("step-1", Outcome.SUCCESS)])


def test_a_proven_end_closes_no_run_before_it_has_settled() -> None:
    run = a_run("completed", completed_at=moment(T0 - 14))
    reading = replace(read(run, a_step(1), server_now=T0), ended=True)
    assert decide(followed(), reading, POLICY).closing is None


def test_a_run_stays_open_while_a_step_of_it_does() -> None:
    run = a_run("failed", completed_at=moment(T0 - 30))
    decision = decide(followed(), read(run, a_step(1, "pending"), server_now=T0), POLICY)
    assert decision.closing is None
    assert decision.run.next_visit <= T0 + 30, "no later than its grace time ends"


def test_a_conversations_run_is_over_when_its_last_step_says_so() -> None:
    first = decide(followed(), read(a_run("created"), a_step(1, stop_reason="end_turn")), POLICY)
    later = decide(first.run, read(a_run("created"), at=T0 + 15), POLICY)
    assert later.closing is Closing.OVER
    assert later.run.phase is Phase.CLOSED, "it says created for ever"


def test_an_open_run_without_news_goes_stale_and_its_pending_step_with_it() -> None:
    run, step = a_run("created"), a_step(1, "pending")
    first = decide(followed(), read(run, step), POLICY)
    still = decide(first.run, read(run, step, at=T0 + 3599), POLICY)
    assert (still.closing, outcomes(still)) == (None, [])
    stale = decide(still.run, read(run, step, at=T0 + 3600), POLICY)
    assert (stale.closing, outcomes(stale)) == (Closing.STALE, [("step-1", Outcome.ABANDONED)])
    assert stale.run.phase is Phase.DORMANT, "it may yet go on"


def test_news_keep_a_run_from_going_stale() -> None:
    first = decide(followed(), read(a_run("created"), a_step(1, "pending")), POLICY)
    news = decide(first.run, read(a_run("running"), a_step(1, "pending"), at=T0 + 4000), POLICY)
    assert news.closing is None
    assert news.run.last_news == T0 + 4000


def test_a_quiet_run_is_visited_ever_more_rarely() -> None:
    reading = read(a_run("created"), a_step(1, "pending"))
    state = decide(followed(), reading, POLICY).run
    gaps = []
    while state.next_visit < T0 + 3000:
        at = max(state.next_visit, state.last_visit + 5)
        gaps.append(at - state.last_visit)
        state = decide(state, read(a_run("created"), a_step(1, "pending"), at=at), POLICY).run
    assert gaps == sorted(gaps)
    assert gaps[-1] > 100
    assert len(gaps) < 60


def test_a_full_page_goes_on_at_once_and_does_not_close() -> None:
    decision = decide(
        followed(),
        read(a_run("completed", completed_at=moment(T0 - 99)), a_step(1), more=True, server_now=T0),
        POLICY,
    )
    assert decision.closing is None
    assert decision.run.next_visit < T0


def test_a_step_that_could_not_be_read_moves_the_cursor_once_it_is_kept() -> None:
    reading = read(a_run(), a_step(2, stop_reason="end_turn"))
    torn = Reading(
        run=reading.run,
        steps=reading.steps,
        order=("step-1", "step-2"),
        at=T0,
        messages=reading.messages,
        step_metrics=reading.step_metrics,
    )
    assert decide(followed(sent=("step-1",)), torn, POLICY).run.cursor == "step-2"


@pytest.mark.parametrize(("status", "error", "outcome"), [
    (None, None, Outcome.SUCCESS),
    ("never_seen", None, Outcome.SUCCESS),
    ("never_seen", "SomeError", Outcome.FAILED),
    ("cancelled", None, Outcome.CANCELLED),
])  # fmt: skip
def test_a_status_never_seen_is_final_and_judged_by_its_error(
    status: str | None, error: str | None, outcome: Outcome
) -> None:
    step = a_step(1, status, error_type=error, stop_reason="x")
    assert outcomes(decide(followed(), read(a_run(), step), POLICY)) == [("step-1", outcome)]
