"""docs/telemetry.md is what the code makes of itself, and says of each kind of telemetry what can be on it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from map.golden_cases import CASES, load, reading_of, telemetry_of
from measuring import each

from bridge.export.gauges import gauge_points
from bridge.follow.late import Look, compare
from bridge.follow.notes import unusual
from bridge.follow.reading import Closing, Decision, Outcome, Reading, SettledStep
from bridge.follow.state import FollowedRun, Noted, Phase
from bridge.ledger.figures import OpenRuns
from bridge.map import instruments, letta
from bridge.map.attributes import ATTRIBUTES, LOG_EVENTS, METADATA, METRIC_ATTRIBUTES, SPAN_EVENTS, SPANS, Shape
from bridge.map.instruments import CATALOGUE, Kind
from bridge.map.late import map_late
from bridge.map.mapper import MapOptions, map_run, map_steps
from bridge.map.telemetry import Telemetry
from bridge.reference import own_metrics, reference
from bridge.source import models
from bridge.source.models import Run, Step

ROOT = Path(__file__).parent.parent.parent
ALL_ON = MapOptions(
    run_metadata=frozenset({"run_type"}), metrics_of_agents=True, cost=True, trace_url="http://traces/{trace_id}"
)
STEP = {
    "id": "step-1",
    "run_id": "run-1",
    "agent_id": "agent-1",
    "origin": "origin",
    "provider_id": "provider-1",
    "provider_name": "openai",
    "provider_category": "base",
    "model": "gpt-4o-mini",
    "model_handle": "openai/gpt-4o-mini",
    "model_endpoint": "https://api.openai.com/v1",
    "context_window_limit": 1000,
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "cached_input_tokens": 30,
    "cache_write_tokens": 0,
    "reasoning_tokens": 5,
    "stop_reason": "llm_api_error",
    "tags": ["one"],
    "tid": "tid",
    "trace_id": "not a trace",
    "request_id": "request",
    "feedback": "positive",
    "project_id": "project",
    "error_type": "LLMServerError",
    "error_data": {"message": "overloaded", "traceback": "Traceback"},
    "status": "odd",
}
NO_TOKENS: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
RUN = {
    "id": "run-1",
    "agent_id": "agent-1",
    "conversation_id": "conversation-1",
    "created_at": "2026-05-01T00:00:00Z",
    "completed_at": "2026-05-01T00:00:09Z",
    "status": "failed",
    "stop_reason": "error",
    "background": True,
    "metadata": {"run_type": "test", "error": {"detail": "it broke"}},
    "callback_url": "https://callback.test/path",
    "callback_sent_at": "2026-05-01T00:00:10Z",
    "callback_status_code": 500,
    "callback_error": "refused",
    "ttft_ns": 5,
    "total_duration_ns": 9_000_000_000,
}


def run(**changes: object) -> Run:
    return models.RUN.validate_python({**RUN, **changes})


def step(**changes: object) -> Step:
    return models.STEP.validate_python({**STEP, **changes})


def reading(row: Run, *steps: Step) -> Reading:
    order = tuple(one.id for one in steps)
    made = reading_of(
        {"run": models.RUN.dump_python(row, mode="json"), "agent_name": "support", "at": 1_777_600_000.0}
    )
    return replace(made, steps=steps, order=order)


def followed() -> FollowedRun:
    return FollowedRun(id="run-1", agent_id="agent-1", created_ns=0, first_seen=0, last_news=0)


def ended(row: Run, outcome: Outcome | None, closing: Closing = Closing.OVER) -> tuple[Telemetry, FollowedRun]:
    """A run of no step, or of one that ended like this."""
    settled = (SettledStep(step(), outcome),) if outcome else ()
    read = reading(row, *(one.step for one in settled))
    known = followed().model_copy(update={"noted": unusual(settled, Noted())})
    mapped = map_steps(Decision(settled, known, closing), read, ALL_ON)
    return mapped.telemetry.plus(map_run(mapped.run, read, closing, ALL_ON)), mapped.run


def changed(before: Step, now: Step, row: Run) -> Telemetry:
    """What a look tells of a run that was completed, and of its step."""
    settled = (SettledStep(before, Outcome.SUCCESS if before.status == "success" else Outcome.FAILED),)
    known = followed().model_copy(
        update={
            "phase": Phase.CLOSED,
            "cursor": before.id,
            "agent_name": "support",
            "status": "completed",
            "stop_reason": "end_turn",
            "noted": unusual(settled, Noted()),
        }
    )
    late = compare(known, Look(row, (now,), (now.id,), 1_777_700_000.0))
    return map_late(late, row, at=1_777_700_000.0, options=ALL_ON)


def everything() -> Iterator[Telemetry]:
    """All golden cases, and records that have whatever a record can have."""
    for case in CASES:
        yield from telemetry_of(load(case))
        yield from telemetry_of({**load(case), "options": {"metrics_of_agents": True, "cost": True}})
    for outcome in (Outcome.FAILED, Outcome.CANCELLED, Outcome.ABANDONED):
        yield ended(run(), outcome)[0]
    yield ended(run(), None)[0]
    yield ended(run(status="cancelled"), None)[0]
    yield ended(run(status="running"), None, Closing.STALE)[0]
    fine = step(status="success", error_type=None, error_data=None, stop_reason="length", feedback=None)
    yield changed(replace(fine, **NO_TOKENS), step(status="failed", tags=["two"]), run())
    yield changed(step(status="failed"), fine, run())


@pytest.fixture(name="sent", scope="module")
def _sent() -> list[Telemetry]:
    return list(everything())


def test_the_page_is_what_the_code_makes() -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert page == reference(), "python -m bridge.reference > docs/telemetry.md"


def test_the_command_prints_it() -> None:
    command = [sys.executable, "-m", "bridge.reference"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == reference()


@pytest.mark.parametrize("shape", SPANS, ids=lambda shape: shape.name.split()[0])
def test_attributes_of_spans(shape: Shape, sent: list[Telemetry]) -> None:
    kind = shape.name.split()[0]
    spans = [span for telemetry in sent for span in telemetry.spans if span.name.split()[0] == kind]
    assert listed(shape) == {named(name) for span in spans for name in span.attributes}


def test_attributes_of_events_within_spans(sent: list[Telemetry]) -> None:
    events = [event for telemetry in sent for span in telemetry.spans for event in span.events]
    assert shapes(SPAN_EVENTS) == seen((event.name, event.attributes) for event in events)


def test_attributes_of_log_events(sent: list[Telemetry]) -> None:
    events = [event for telemetry in sent for event in telemetry.events]
    assert shapes(LOG_EVENTS) == seen((event.name, event.attributes) for event in events)


def test_attributes_of_metrics(sent: list[Telemetry]) -> None:
    measured = [one for telemetry in sent for one in each(telemetry.measurements)]
    agent = set(instruments.AGENT)
    assert seen((one.instrument, dict(one.attributes)) for one in measured) == {
        name: {*instrument.attributes, *(agent if instrument.of_agents else ())}
        for name, instrument in CATALOGUE.items()
        if instrument.kind is not Kind.GAUGE
    }


def test_attributes_of_gauges(sent: list[Telemetry]) -> None:
    failures = [failure for telemetry in sent for failure in telemetry.failures]
    points = gauge_points(OpenRuns({}, None, 0), failures, now_ns=0, trace_url="http://traces/{trace_id}")
    found = {name: {key for labels in series for key, _ in labels} for name, series in points.items()}
    assert found == {
        name: set(instrument.attributes) for name, instrument in CATALOGUE.items() if instrument.kind is Kind.GAUGE
    }


def test_every_attribute_is_explained_and_no_other() -> None:
    used = {name for shape in (*SPANS, *SPAN_EVENTS, *LOG_EVENTS) for name in shape.attributes}
    assert used == set(ATTRIBUTES)
    on_metrics = {name for instrument in CATALOGUE.values() for name in instrument.attributes}
    assert on_metrics - used == set(METRIC_ATTRIBUTES)


def test_no_metric_of_the_bridge_is_forgotten() -> None:
    source = (ROOT / "bridge" / "observe.py").read_text(encoding="utf-8")
    named = re.findall(r'_(?:counter|gauge)\(\s*"([a-z_.]+)"|"letta_bridge\.([a-z_.]+)"', source)
    assert {metric.name for metric in own_metrics()} == {f"letta_bridge.{short or whole}" for short, whole in named}


def listed(shape: Shape) -> AbstractSet[str]:
    assert len(set(shape.attributes)) == len(shape.attributes)
    return set(shape.attributes)


def shapes(all_of: tuple[Shape, ...]) -> Mapping[str, AbstractSet[str]]:
    return {shape.name: listed(shape) for shape in all_of}


def seen(things: Iterable[tuple[str, Mapping[str, object]]]) -> Mapping[str, AbstractSet[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, attributes in things:
        found[name].update(attributes)
    return found


def named(name: str) -> str:
    return METADATA if name.startswith(letta.RUN_METADATA) else name
