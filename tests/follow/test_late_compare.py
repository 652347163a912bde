"""What a look finds; what it tells is in the golden cases that begin with `late`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.follow.late import Late, Look, RunChange, compare, second_end
from bridge.follow.reading import Closing
from bridge.follow.state import FollowedRun, Phase
from bridge.source.models import STEP, Run, Step

T0 = 1_000_000.0


def closed(**fields: Any) -> FollowedRun:
    ended = {"phase": Phase.CLOSED, "status": "completed", "stop_reason": "end_turn", "span_sent": True}
    known = {
        "id": "run-1",
        "created_ns": 1,
        "first_seen": T0,
        "last_news": T0,
        "cursor": "step-2",
        "keep_until": 2 * T0,
    }
    return FollowedRun.model_validate({**known, **ended, **fields})


def row(status: str = "completed", stop_reason: str | None = "end_turn") -> Run:
    return Run(id="run-1", status=status, stop_reason=stop_reason, created_at=datetime.fromtimestamp(T0, UTC))


def step(number: int, **fields: Any) -> Step:
    counted = {"status": "success", "prompt_tokens": 1, "stop_reason": "end_turn"}
    return STEP.validate_python({"id": f"step-{number}", **counted, **fields})


def look(*steps: Step, run: Run | None = None) -> Look:
    return Look(run or row(), steps, tuple(one.id for one in steps), T0 + 300)


def test_nothing_new_is_nothing_told() -> None:
    late = compare(closed(), look(step(1, stop_reason=None), step(2)))
    assert not late
    assert late.run == closed()


def test_a_row_that_is_gone_is_no_change() -> None:
    assert not compare(closed(), look(step(2)))
    assert compare(closed(), look()).run.phase is Phase.CLOSED


def test_a_step_past_the_cursor_opens_the_run_again() -> None:
    run = compare(closed(), look(step(2), step(3, status="failed"))).run
    assert (run.phase, run.next_visit, run.noted) == (Phase.OPEN, T0 + 300, {})


def test_where_the_cursors_row_is_gone_nothing_is_taken_for_new() -> None:
    assert compare(closed(), look(step(1), step(3))).run.phase is Phase.CLOSED


def test_a_run_that_was_sent_without_a_step_opens_for_its_first() -> None:
    assert compare(closed(cursor=None), look(step(1))).run.phase is Phase.OPEN


@pytest.mark.parametrize(("end", "told"), [
    (row("failed", "error"), RunChange("completed", "end_turn", "failed", "error")),
    (row(), None),
])  # fmt: skip
def test_a_run_that_is_active_again_is_followed_and_tells_at_its_end(end: Run, told: RunChange | None) -> None:
    late = compare(closed(over_since=T0), look(step(1), step(2), run=row("running", None)))
    assert not late
    assert (late.run.phase, late.run.over_since) == (Phase.OPEN, None)
    assert late.run.told == ("completed", "end_turn")
    assert second_end(late.run, end, Closing.OVER) == Late(late.run, told)


def test_a_dormant_run_that_has_ended_is_followed_and_tells_at_its_end() -> None:
    asleep = closed(phase=Phase.DORMANT, status="created", stop_reason=None, told=("abandoned", None))
    late = compare(asleep, look(step(1), step(2), run=row("failed", "error")))
    assert not late
    assert (late.run.phase, late.run.next_visit) == (Phase.OPEN, T0 + 300)
    told = RunChange("abandoned", None, "failed", "error")
    assert second_end(late.run, row("failed", "error"), Closing.OVER) == Late(late.run, told)


@pytest.mark.parametrize("phase", [Phase.DORMANT, Phase.CLOSED])  # a zombie; a conversation's, over by its last step
def test_a_run_that_says_created_for_ever_stays_as_it_is(phase: Phase) -> None:
    known = closed(phase=phase, status="created", told=("completed", "end_turn"))
    assert compare(known, look(step(1), step(2), run=row("created"))) == Late(known)


def test_order_alone_makes_no_other_tags() -> None:
    tagged = compare(closed(), look(step(1), step(2, tags=["a", "b"]))).run
    assert not compare(tagged, look(step(1), step(2, tags=["b", "a"])))


def test_a_cancelled_stream_stays_cancelled_whatever_becomes_of_its_run() -> None:
    cut = step(2, status="pending", prompt_tokens=0, stop_reason=None)
    cancelled = compare(
        closed(status="cancelled", stop_reason="cancelled"), look(step(1), cut, run=row("cancelled", "cancelled"))
    )
    unknown = step(2, status="failed", error_type="Unknown", prompt_tokens=0, stop_reason=None)
    late = compare(cancelled.run, look(step(1), unknown, run=row("cancelled", "cancelled")))
    assert [change.after.outcome for change in late.of_steps] == ["cancelled"]
    assert not compare(late.run, look(step(1), unknown)).of_steps
