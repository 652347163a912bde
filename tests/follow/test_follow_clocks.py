"""Remembered times when the bridge's clock, or the server's, is set."""

from datetime import UTC, datetime
from typing import Any

from bridge.follow import clocks
from bridge.follow.reading import Reading
from bridge.follow.state import FollowedRun
from bridge.source.models import Run

T0 = 1_000_000.0
HOUR = 3600.0


def followed(**fields: Any) -> FollowedRun:
    times = {"first_seen": T0 - 100, "last_news": T0 - 50, "over_since": T0 - 10, "waiting": {"step-1": T0 - 5}}
    return FollowedRun.model_validate({"id": "run-1", "created_ns": 1, "server_ahead": 0.0, **times, **fields})


def reading(at: float, server_now: float | None) -> Reading:
    run = Run(id="run-1", created_at=datetime.fromtimestamp(T0, UTC))
    return Reading(run=run, steps=(), at=at, server_now=server_now)


def steady(run: FollowedRun, read: Reading) -> FollowedRun:
    """As a visit leaves it."""
    ahead = run.server_ahead if read.server_ahead is None else read.server_ahead
    return clocks.steady(run, read).model_copy(update={"server_ahead": ahead})


def ages(run: FollowedRun, at: float) -> tuple[float, float, float | None, float]:
    over = None if run.over_since is None else at - run.over_since
    return at - run.first_seen, at - run.last_news, over, at - run.waiting["step-1"]


def test_time_that_passes_by_both_clocks_passes() -> None:
    run = steady(followed(), reading(T0 + HOUR, T0 + HOUR))
    assert ages(run, T0 + HOUR) == (HOUR + 100, HOUR + 50, HOUR + 10, HOUR + 5)


def test_a_leap_of_the_bridges_clock_ages_nothing_and_its_return_neither() -> None:
    leapt = steady(followed(), reading(T0 + HOUR + 5, T0 + 5))
    assert ages(leapt, T0 + HOUR + 5) == (105, 55, 15, 10)
    back = steady(leapt, reading(T0 + 10, T0 + 10))
    assert ages(back, T0 + 10) == (110, 60, 20, 15)


def test_a_clock_that_is_set_back_begins_the_waits_anew() -> None:
    run = steady(followed(), reading(T0 - HOUR, T0 + 5))
    assert ages(run, T0 - HOUR) == (0, 0, 0, 0)


def test_a_leap_of_the_servers_clock_ages_nothing() -> None:
    run = steady(followed(), reading(T0 + 5, T0 + HOUR))
    assert ages(run, T0 + 5) == (105, 55, 15, 10)


def test_servers_whose_clocks_differ_behind_one_address_hold_no_run_open() -> None:
    run, at = followed(), T0
    for turn in range(100):
        at += 5
        run = steady(run, reading(at, at + (600 if turn % 2 else -600)))
    assert run.over_since is not None
    assert at - run.over_since > 300


def test_without_a_date_the_bridges_clock_counts() -> None:
    run = steady(followed(), reading(T0 + HOUR, None))
    assert ages(run, T0 + HOUR)[1] == HOUR + 50
    assert run.server_ahead == 0.0
