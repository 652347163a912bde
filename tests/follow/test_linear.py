"""What a decision costs grows with what was read, and no faster: counted in calls, never timed."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest

from bridge.follow.decide import Policy, decide
from bridge.follow.reading import Reading
from bridge.follow.state import FollowedRun
from bridge.source.models import Message, Run, Step, StepMetrics

POLICY = Policy(settle=15, abandon_after=60, stale_after=3600)
AT = 1_000_000.0


def reading(count: int, *, pending: bool) -> Reading:
    """A page of a run that goes on: all of it complete, or behind a step that is not."""
    ids = [f"step-{number}" for number in range(count)]
    status = ["pending" if pending and not number else "success" for number in range(count)]
    return Reading(
        run=Run(id="run-1", status="running", created_at=datetime.fromtimestamp(AT, UTC)),
        steps=tuple(Step(id=id_, status=status[number], prompt_tokens=1) for number, id_ in enumerate(ids)),
        order=tuple(ids),
        at=AT,
        messages=tuple(Message(id=f"m-{id_}", step_id=id_) for id_ in ids),
        step_metrics={id_: StepMetrics(id=id_, step_ns=1) for id_ in ids},
    )


def calls(count: int, *, pending: bool) -> int:
    """How often a function is entered, or a generator goes on, for two visits that see the same."""
    counted = 0

    def count_one(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    read = reading(count, pending=pending)
    run = FollowedRun(id="run-1", created_ns=0, first_seen=AT, last_news=AT)
    before = sys.getprofile()
    sys.setprofile(count_one)
    try:
        decide(decide(run, read, POLICY).run, read, POLICY)
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize("pending", [False, True])
def test_twice_the_steps_are_twice_the_calls(*, pending: bool) -> None:
    assert calls(600, pending=pending) <= 2.2 * calls(300, pending=pending)


@pytest.mark.parametrize(
    "odd", [{}, {"tags": ("one", "two")}, {"prompt_tokens": 0}, {"feedback": "positive"}], ids=str
)
def test_a_long_run_is_no_more_to_remember_than_a_short_one(odd: dict[str, Any]) -> None:
    run = FollowedRun(id="run-1", created_ns=0, first_seen=AT, last_news=AT)
    sizes = []
    for visit in range(30):
        seen = reading(10, pending=False)
        steps = [Step(id=f"step-{visit:05}-{step.id}", status="pending") for step in seen.steps[:1]]
        done = [replace(step, id=f"step-{visit:04}-{step.id}", **odd) for step in seen.steps]
        order = tuple(step.id for step in [*done, *steps])
        messages = tuple(Message(id=f"m-{step.id}", step_id=step.id) for step in done)
        lengths = {step.id: StepMetrics(id=step.id, step_ns=1) for step in done}
        read = replace(
            seen, steps=(*done, *steps), order=order, messages=messages, step_metrics=lengths, at=AT + visit
        )
        decision = decide(run, read, POLICY)
        assert len(decision.settled) == 10
        run = decision.run
        sizes.append(len(run.model_dump_json(exclude_defaults=True)))
    assert sizes[-1] <= sizes[1] + 20
