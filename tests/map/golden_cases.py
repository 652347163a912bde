"""A golden case: a folder with an input.json, which says why it is odd, and the expected.json that it becomes.

`visits` holds one reading after another of the same run; each goes on with what the one before left behind.
`looks` come after the run was closed, each with what it read. `loose` is a step without a run. Nulls are trimmed from
the records; they mean the same as a missing field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from measuring import each
from pydantic import TypeAdapter

from bridge.follow.late import Look, compare
from bridge.follow.notes import unusual
from bridge.follow.reading import Closing, Decision, ForeignStep, Outcome, Reading, SettledStep
from bridge.follow.state import FollowedRun, Phase
from bridge.follow.tombstone import entomb
from bridge.map.late import map_late
from bridge.map.mapper import MapOptions, map_loose_step, map_run, map_steps
from bridge.map.telemetry import Link, LogEvent, Measurement, Severity, Span, Telemetry
from bridge.map.timing import to_ns
from bridge.source.models import MESSAGES, RUN, RUN_METRICS, STEP, STEP_METRICS, STEPS, Run, Step, StepMetrics

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())

_FOREIGN = TypeAdapter(dict[str, ForeignStep])
_METRICS = TypeAdapter(list[StepMetrics])
_MAP_OPTIONS = TypeAdapter(MapOptions)
_NS = 1_000_000_000
_LAST_SECOND = 253_402_300_799  # of the year 9999

Json = dict[str, Any]


@cache
def load(case: str) -> Json:
    """Read once: nobody changes it."""
    loaded: Json = json.loads((GOLDEN / case / "input.json").read_text(encoding="utf-8"))
    return loaded


def map_case(case: Json) -> Json:
    """What the bridge makes of a case, as readable JSON."""
    options = _options(case.get("options", {}))
    if "loose" in case:
        return _shown(_map_loose(case["loose"], options))
    telemetry, run, reading = _map_visits(case, options)
    remembered = run.model_dump(include={"trace_id", "tools_sent", "sums"}) | {"fence": _time(run.fence_ns)}
    looked = [
        {**_shown(became), "phase": run.phase.value, "noted": _noted(run), "told": run.told}
        for became, run in _map_looks(case, run, reading, options)
    ]
    return {**_shown(telemetry), "remembered": remembered} | ({"looks": looked} if looked else {})


def telemetry_of(case: Json) -> Iterator[Telemetry]:
    """The same as plain data: of the visits, then of each look."""
    options = _options(case.get("options", {}))
    if "loose" in case:
        yield _map_loose(case["loose"], options)
        return
    telemetry, run, reading = _map_visits(case, options)
    yield telemetry
    for became, _ in _map_looks(case, run, reading, options):
        yield became


def _map_visits(case: Json, options: MapOptions) -> tuple[Telemetry, FollowedRun, Reading]:
    run: FollowedRun | None = None
    telemetry = Telemetry()
    for visit in case["visits"]:
        reading = reading_of(visit["reading"])
        run = run or _followed(visit.get("followed", {}), reading.run)
        became, run = _map_visit(visit, run, reading, options)
        telemetry = telemetry.plus(became)
    assert run is not None
    return telemetry, run, reading


def reading_of(data: Json) -> Reading:
    return Reading(
        run=RUN.validate_python(data["run"]),
        steps=tuple(STEPS.validate_python(data.get("steps", []))),
        at=data.get("at", 0.0),
        order=tuple(step["id"] for step in data.get("steps", [])),
        more=data.get("more", False),
        messages=tuple(MESSAGES.validate_python(data.get("messages", []))),
        step_metrics=_metrics_by_id(data.get("step_metrics", [])),
        run_metrics=RUN_METRICS.validate_python(data["run_metrics"]) if "run_metrics" in data else None,
        agent_name=data.get("agent_name"),
        foreign_steps=_FOREIGN.validate_python(data.get("foreign_steps", {})),
    )


def settled_of(settled: Mapping[str, str], steps: Sequence[Step]) -> tuple[SettledStep, ...]:
    by_id = {step.id: step for step in steps}
    return tuple(SettledStep(by_id[step_id], Outcome(outcome)) for step_id, outcome in settled.items())


def _map_visit(visit: Json, run: FollowedRun, reading: Reading, options: MapOptions) -> tuple[Telemetry, FollowedRun]:
    settled = settled_of(visit.get("settled", {}), reading.steps)
    closing = Closing(visit["closing"]) if "closing" in visit else None
    run = run.model_copy(update={"noted": {**run.noted, **unusual(settled, run.usual)}})
    mapped = map_steps(Decision(settled, run, closing), reading, options)
    if closing is None:
        return mapped.telemetry, mapped.run
    return mapped.telemetry.plus(map_run(mapped.run, reading, closing, options)), mapped.run


def _map_looks(
    case: Json, run: FollowedRun, last: Reading, options: MapOptions
) -> Iterator[tuple[Telemetry, FollowedRun]]:
    """Each look compares with what the visits, and the looks before it, left behind."""
    if "looks" not in case:
        return
    closing = Closing(case["visits"][-1]["closing"])
    ended = {"phase": Phase.CLOSED, "status": last.run.status, "stop_reason": last.run.stop_reason}
    delivered = {"cursor": last.order[-1], "span_sent": True}
    run = entomb(run.model_copy(update={**ended, **delivered}), last.run, closing, at=last.at, watch_for=1.0)
    for look in case["looks"]:
        reading = reading_of(look)
        late = compare(run, Look(reading.run, reading.steps, reading.order, reading.at))
        run = late.run
        yield map_late(late, reading.run, at=reading.at, options=options), run


def _noted(run: FollowedRun) -> Json:
    return dict(run.model_dump(include={"noted"}, exclude_defaults=True).get("noted", {}))


def _map_loose(data: Json, options: MapOptions) -> Telemetry:
    settled = SettledStep(STEP.validate_python(data["step"]), Outcome(data["outcome"]))
    metrics = STEP_METRICS.validate_python(data["metrics"]) if "metrics" in data else None
    return map_loose_step(
        settled, metrics, MESSAGES.validate_python(data.get("messages", [])), data["at_ns"], options
    )


def _options(data: Json) -> MapOptions:
    return _MAP_OPTIONS.validate_python(data)


def _followed(data: Json, run: Run) -> FollowedRun:
    known = {"id": run.id, "agent_id": run.agent_id, "created_ns": to_ns(run.created_at)}
    return FollowedRun.model_validate({**known, "first_seen": 0.0, "last_news": 0.0, **data})


def _metrics_by_id(rows: Sequence[Json]) -> dict[str, StepMetrics]:
    return {row.id: row for row in _METRICS.validate_python(rows)}


def _shown(telemetry: Telemetry) -> Json:
    shown: Json = {
        "spans": [_span(span) for span in telemetry.spans],
        "measurements": [_measurement(measurement) for measurement in each(telemetry.measurements)],
    }
    if telemetry.events:
        shown["events"] = [_event(event) for event in telemetry.events]
    if telemetry.failures:
        shown["failures"] = [failure.model_dump(exclude_defaults=True) for failure in telemetry.failures]
    return shown


def _span(span: Span) -> Json:
    return dict(_span_fields(span))


def _span_fields(span: Span) -> Iterator[tuple[str, object]]:
    yield "name", span.name
    yield "kind", span.kind.name
    yield "trace_id", span.trace_id.hex()
    yield "span_id", span.span_id.hex()
    yield "parent_id", span.parent_id.hex()
    yield "start", _time(span.start_ns)
    yield "end", _time(span.end_ns)
    yield "seconds", (span.end_ns - span.start_ns) / _NS
    yield "status", f"{span.status.name} {span.status_message}".strip()
    yield "attributes", dict(sorted(span.attributes.items()))
    if span.events:
        yield "events", [[event.name, _time(event.time_ns), dict(event.attributes)] for event in span.events]
    if span.links:
        yield "links", [_link(link) for link in span.links]


def _link(link: Link) -> Json:
    return {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "attributes": dict(link.attributes)}


def _event(event: LogEvent) -> Json:
    return {
        "name": event.name,
        "severity": Severity(event.severity).name,
        "time": _time(event.time_ns) if event.time_ns else 0,
        "observed": _time(event.observed_ns),
        "trace_id": event.trace_id.hex(),
        "span_id": event.span_id.hex(),
        "body": event.body,
        "attributes": dict(sorted(event.attributes.items())),
    }


def _measurement(measurement: Measurement) -> str:
    """As a line: easier to read by the dozen than objects."""
    attributes = ", ".join(f"{name}={json.dumps(value)}" for name, value in measurement.attributes)
    return f"{measurement.instrument}{{{attributes}}} {measurement.value!r}"


def _time(ns: int) -> str:
    """ISO 8601 with all nine digits; the raw nanoseconds where no calendar reaches."""
    seconds, rest = divmod(ns, _NS)
    if seconds > _LAST_SECOND:
        return f"{ns} ns"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
