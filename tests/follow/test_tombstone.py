"""What is left of a closed run, and when it is looked at again."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from bridge.follow.reading import Closing
from bridge.follow.state import FollowedRun, Noted, Phase, Sums
from bridge.follow.tombstone import entomb, gone, next_look, reopened
from bridge.source.models import Run

T0 = 1_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WEEK = 7 * DAY


def closed(**fields: Any) -> FollowedRun:
    run = {"id": "run-1", "created_ns": 1, "phase": Phase.CLOSED, "first_seen": T0, "last_news": T0, **fields}
    return FollowedRun.model_validate(run)


def row(status: str = "completed", stop_reason: str | None = "end_turn") -> Run:
    return Run(id="run-1", status=status, stop_reason=stop_reason, created_at=datetime.fromtimestamp(T0, UTC))


def looks(*, awaits_approval: bool = False, until: float = WEEK, watch_for: float = WEEK) -> list[float]:
    """The ages at which a run that never changes is looked at."""
    run = entomb(closed(), row(), Closing.OVER, at=T0, watch_for=watch_for)
    ages = []
    while run.next_visit <= min(run.keep_until, T0 + until):
        ages.append(run.next_visit - T0)
        run = next_look(run, at=run.next_visit, watch_for=watch_for, awaits_approval=awaits_approval)
    return ages


def test_looks_come_ever_more_rarely_and_once_more_before_the_watch_ends() -> None:
    ages = looks()
    assert ages[0] == 5 * MINUTE
    assert all(later == 2 * sooner for sooner, later in pairwise(ages[:-1]))
    assert 0.9 * WEEK < ages[-1] < WEEK
    assert len(ages) < 14


def test_a_short_watch_has_its_one_look_too() -> None:
    assert looks(watch_for=4 * MINUTE) == [pytest.approx(3.8 * MINUTE)]


def test_an_approval_is_looked_for_hourly_and_after_the_watch_more_rarely_for_good() -> None:
    ages = looks(awaits_approval=True, until=5 * WEEK)
    gaps = [later - sooner for sooner, later in pairwise(ages)]
    assert max(gap for age, gap in zip(ages, gaps, strict=False) if age < WEEK) <= HOUR * 1.01
    assert HOUR * 4 < gaps[-1] < HOUR * 6


def test_a_watch_that_is_shortened_or_ended_counts_from_now() -> None:
    run = entomb(closed(), row(), Closing.OVER, at=T0, watch_for=WEEK)
    assert next_look(run, at=T0 + HOUR, watch_for=DAY, awaits_approval=False).keep_until == T0 + HOUR + DAY
    assert next_look(run, at=T0 + HOUR, watch_for=0, awaits_approval=True).keep_until == 0


def test_nothing_that_only_an_open_run_needs_is_left() -> None:
    run = closed(
        cursor="step-9",
        trail=("step-8", "step-9"),
        sent=("step-11",),
        waiting={"step-10": T0},
        seen="completed",
        sums=Sums(steps=9, failed_steps=1, input_tokens=5),
        noted={"step-9": Noted(feedback="positive")},
        server_ahead=3.0,
        span_sent=True,
    )
    tomb = entomb(run, row(), Closing.OVER, at=T0, watch_for=WEEK)
    left = tomb.model_dump(exclude_defaults=True)
    assert not left.keys() & {"trail", "sent", "waiting", "seen", "server_ahead", "told"}
    assert left["sums"] == {"steps": 9, "failed_steps": 1}
    assert (left["cursor"], tomb.noted) == ("step-9", run.noted)


@pytest.mark.parametrize(("status", "closing", "failed", "told"), [
    ("completed", Closing.OVER, 0, None),
    ("created", Closing.STALE, 0, ("abandoned", "end_turn")),
    ("created", Closing.OVER, 0, ("completed", "end_turn")),
    ("created", Closing.OVER, 1, ("failed", "end_turn")),
])  # fmt: skip
def test_what_was_told_is_kept_where_the_row_says_otherwise(
    status: str, closing: Closing, failed: int, told: tuple[str, str] | None
) -> None:
    run = closed(phase=Phase.DORMANT, sums=Sums(failed_steps=failed))
    tomb = entomb(run, row(status), closing, at=T0, watch_for=WEEK)
    assert tomb.told == told
    assert (tomb.keep_until, tomb.next_visit) == (0, T0 + 300), "a sleep has no end of its own"


def test_a_run_that_is_opened_again_is_due_at_once_and_its_span_stays_sent() -> None:
    run = reopened(closed(span_sent=True, keep_until=T0 + WEEK), at=T0 + DAY)
    assert (run.phase, run.next_visit, run.span_sent, run.keep_until) == (Phase.OPEN, T0 + DAY, True, 0)


def test_a_run_that_is_gone_is_not_watched_and_awaits_nothing() -> None:
    run = gone(closed(phase=Phase.OPEN, stop_reason="requires_approval", keep_until=T0 + WEEK))
    assert (run.phase, run.stop_reason, run.keep_until) == (Phase.CLOSED, None, 0)
