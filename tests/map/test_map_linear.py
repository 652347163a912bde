"""Twice the steps are twice the work, counted in calls: a run may have 20,000."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from opentelemetry.sdk.resources import Resource

from bridge.export.encode import encode_batches
from bridge.follow.reading import Closing, Decision, Outcome, Reading, SettledStep
from bridge.follow.state import FollowedRun
from bridge.map.mapper import MapOptions, map_run, map_steps
from bridge.map.telemetry import Telemetry
from bridge.map.totals import fold
from bridge.source.models import STEP, Message, Run, Step, StepMetrics, ToolCall, ToolReturn

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = 1_000_000_000
OPTIONS = MapOptions(cost=True)


def reading_of(count: int) -> Reading:
    """A run whose steps call a tool each."""
    ids = [f"step-{number}" for number in range(count)]
    messages = [message for at, id_ in enumerate(ids) for message in messages_of(id_, NOON + timedelta(seconds=at))]
    return Reading(
        run=Run(id="run-1", created_at=NOON, agent_id="agent-1", status="completed"),
        steps=tuple(step(id_) for id_ in ids),
        at=NOON.timestamp(),
        order=tuple(ids),
        messages=tuple(messages),
        step_metrics={
            id_: StepMetrics(id=id_, step_ns=SECOND, llm_request_ns=SECOND // 2, tool_execution_ns=SECOND // 4)
            for id_ in ids
        },
    )


def step(id_: str) -> Step:
    about = {"provider_name": "openai", "model": "gpt-4o-mini", "model_handle": "openai/gpt-4o-mini"}
    tokens = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020, "context_window_limit": 128_000}
    return STEP.validate_python({"id": id_, "run_id": "run-1", "status": "success", **about, **tokens})


def messages_of(step_id: str, date: datetime) -> tuple[Message, Message]:
    call, back = ToolCall(name="search", tool_call_id=f"call-{step_id}"), ToolReturn(tool_call_id=f"call-{step_id}")
    asked = Message(id=f"a-{step_id}", message_type="tool_call_message", tool_calls=(call,))
    answered = Message(id=f"b-{step_id}", message_type="tool_return_message", tool_returns=(back,), name="search")
    about: dict[str, Any] = {"step_id": step_id, "date": date}
    return replace(asked, **about), replace(answered, **about)


def mapped(reading: Reading) -> Telemetry:
    run = FollowedRun(id="run-1", created_ns=0, first_seen=0, last_news=0)
    settled = tuple(SettledStep(one, Outcome.SUCCESS) for one in reading.steps)
    done = map_steps(Decision(settled, run, Closing.OVER), reading, OPTIONS)
    return done.telemetry.plus(map_run(done.run, reading, Closing.OVER, OPTIONS))


def calls(work: Callable[[], object]) -> int:
    """How many calls it makes, of functions in Python and of those in C."""
    seen: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        seen[event] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen["call"] + seen["c_call"]


def test_mapping_and_counting_grow_with_the_steps_and_no_faster() -> None:
    few, many = reading_of(100), reading_of(400)
    fold(mapped(few).measurements)  # so that what is made once is there
    assert calls(lambda: fold(mapped(many).measurements)) < 4.1 * calls(lambda: fold(mapped(few).measurements))


def test_so_does_encoding() -> None:
    encode_batches(mapped(reading_of(400)).spans, Resource({}))  # so that what is made once is there
    few, many = mapped(reading_of(100)).spans, mapped(reading_of(400)).spans
    assert calls(lambda: encode_batches(many, Resource({}))) < 4.4 * calls(lambda: encode_batches(few, Resource({})))


def test_a_step_costs_a_bounded_number_of_calls() -> None:
    """A guard for the hot path: three spans, a dozen measurements; what grows here costs every step."""
    few, many = reading_of(100), reading_of(200)
    encode_batches(mapped(many).spans, Resource({}))

    def work(reading: Reading) -> None:
        encode_batches(mapped(reading).spans, Resource({}))

    a_step = (calls(lambda: work(many)) - calls(lambda: work(few))) / 100
    assert a_step < 480
