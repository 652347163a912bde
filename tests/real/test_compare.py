"""The comparison itself, on a made-up truth: right telemetry passes, and every seeded defect is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from real import compare
from real.normalise import otlp_points, otlp_span
from real.seen import Point, SeenSpan
from real.truth import USAGE, Ending, Truth, derive

ASKED, APPROVED, LOST = (f"run-00000000-0000-4000-8000-0000000000{end}" for end in ("aa", "bb", "cc"))


def _run(run_id: str, status: str, stop_reason: str | None = None) -> dict[str, Any]:
    return {"id": run_id, "status": status, "stop_reason": stop_reason, "metadata": {}}


def _step(step_id: str, status: str = "success", **more: Any) -> dict[str, Any]:
    return {
        "id": step_id,
        "status": status,
        "stop_reason": None,
        "error_type": None,
        "model": "m",
        "prompt_tokens": 100 if status == "success" else 0,
        "completion_tokens": 7 if status == "success" else 0,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "prompt_tokens_details": {"cached_tokens": 40} if status == "success" else None,
        "completion_tokens_details": None,
        **more,
    }


def _returned(step_id: str, **statuses: str) -> dict[str, Any]:
    returns = [{"tool_call_id": call, "status": status} for call, status in statuses.items()]
    return {"message_type": "tool_return_message", "step_id": step_id, "name": "add", "tool_returns": returns}


TRUTH = derive(
    [
        (
            _run(ASKED, "completed", "requires_approval"),
            [_step("step-1"), _step("step-2")],
            [_returned("step-1", a="success", b="error")],
        ),
        (
            _run(APPROVED, "failed"),
            [_step("step-3", "failed", error_type="LLMServerError")],
            [_returned("step-2", c="success")],
        ),
        (_run(LOST, "created"), [_step("step-4", "pending")], []),
    ]
)


def _span(name: str, run: str, **more: Any) -> SeenSpan:
    trace = run.removeprefix("run-").replace("-", "")
    attributes = {"letta.run.id": run, **more.pop("attributes", {})}
    whole: dict[str, Any] = {"kind": "internal", "start_ns": 1, "end_ns": 2, "parent_id": "", "status_message": ""}
    return SeenSpan(trace_id=trace, name=name, status="unset", attributes=attributes, **(whole | more))


def _ended(span: SeenSpan, ending: Ending, word: str | None) -> SeenSpan:
    attributes = dict(span.attributes) | ({word: ending.outcome} if word else {})
    if not ending.error_type:
        return replace(span, attributes=attributes)
    attributes["error.type"] = ending.error_type
    return replace(span, status="error", status_message=ending.outcome, attributes=attributes)


def perfect(truth: Truth) -> list[SeenSpan]:
    """What a faultless bridge sends for `truth`."""
    spans = [
        _ended(_span("invoke_agent x", run.id, span_id=f"R{run.id}"), run.ending, "letta.run.status")
        for run in truth.runs.values()
    ]
    for number, step in enumerate(truth.steps.values()):
        ids = {"letta.step.id": step.id}
        times = {"start_ns": 10 * number, "end_ns": 10 * number + 5}
        own = _span(
            "agent_step", step.run_id, span_id=f"S{step.id}", parent_id=f"R{step.run_id}", attributes=ids, **times
        )
        tokens = {USAGE[kind]: count for kind, count in step.tokens.items()}
        chat = _span(
            "chat m",
            step.run_id,
            span_id=f"C{step.id}",
            parent_id=f"S{step.id}",
            kind="client",
            attributes=ids | tokens,
        )
        spans += [_ended(own, step.ending, "letta.step.status"), _ended(chat, step.ending, None)]
    for tool in truth.tools:
        run = truth.steps[tool.step_id].run_id
        ids = {"letta.step.id": tool.step_id, "gen_ai.tool.call.id": tool.call_id}
        span = _span(
            "execute_tool add", run, span_id=f"T{tool.call_id}", parent_id=f"S{tool.step_id}", attributes=ids
        )
        spans.append(_ended(span, Ending("tool", "tool_error" if tool.failed else None), None))
    return spans


def complaints(spans: list[SeenSpan]) -> list[str]:
    checks = (compare.spans_once, compare.parents, compare.statuses, compare.usage, compare.order)
    return [*compare.shape(spans), *(complaint for check in checks for complaint in check(TRUTH, spans))]


def test_right_telemetry_has_no_complaint() -> None:
    assert complaints(perfect(TRUTH)) == []


def test_the_truth_knows_how_things_ended() -> None:
    assert [step.ending.outcome for step in TRUTH.steps.values()] == ["success", "success", "failed", "abandoned"]
    assert [run.ending.error_type for run in TRUTH.runs.values()] == [None, "LLMServerError", "abandoned"]


@pytest.mark.parametrize("position", range(len(perfect(TRUTH))))
def test_any_missing_span_is_told(position: int) -> None:
    spans = perfect(TRUTH)
    hidden = spans.pop(position)
    assert any(line.startswith(f"missing: {hidden.operation}") for line in compare.spans_once(TRUTH, spans))


@pytest.mark.parametrize("position", range(len(perfect(TRUTH))))
def test_any_doubled_span_is_told(position: int) -> None:
    spans = perfect(TRUTH)
    doubled = replace(spans[position], span_id="another")
    assert any(line.startswith("2 times") for line in compare.spans_once(TRUTH, [*spans, doubled]))


def _edit(operation: str, **changes: Any) -> Callable[[list[SeenSpan]], list[SeenSpan]]:
    def edit(spans: list[SeenSpan]) -> list[SeenSpan]:
        at = next(number for number, span in enumerate(spans) if span.operation == operation)
        attributes = {**spans[at].attributes, **changes.pop("attributes", {})}
        return [*spans[:at], replace(spans[at], attributes=attributes, **changes), *spans[at + 1 :]]

    return edit


DEFECTS = {
    "a span of a run nobody made": lambda spans: [*spans, _span("invoke_agent x", "run-other", span_id="other")],
    "a span id twice": lambda spans: [*spans, spans[0]],
    "a step below another run": _edit("agent_step", parent_id=f"R{APPROVED}"),
    "a step in another trace": _edit("agent_step", trace_id="0" * 32),
    "a root that hangs below something": _edit("invoke_agent", parent_id="Sstep-1"),
    "a request below the run": _edit("chat", parent_id=f"R{ASKED}"),
    "a tool below the run": _edit("execute_tool", parent_id=f"R{ASKED}"),
    "a tool that failed shown as fine": lambda spans: [replace(span, status="unset") for span in spans],
    "a success shown as an error": _edit("agent_step", status="error"),
    "another error type": _edit("invoke_agent", attributes={"error.type": "_OTHER"}),
    "another outcome": _edit("agent_step", attributes={"letta.step.status": "failed"}),
    "a token too much": _edit("chat", attributes={USAGE["input"]: 101}),
    "tokens on the step as well": _edit("agent_step", attributes={USAGE["input"]: 100}),
    "another kind": _edit("chat", kind="internal"),
    "an end before its start": _edit("chat", start_ns=9, end_ns=8),
    "steps that overlap": _edit("agent_step", end_ns=11),
    "steps in another order": _edit("agent_step", start_ns=60, end_ns=65),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_seeded_defect_is_told(defect: str) -> None:
    assert complaints(DEFECTS[defect](perfect(TRUTH))) != []


def test_a_span_that_waited_for_approval_may_be_in_the_later_run() -> None:
    later = _edit("execute_tool", parent_id=f"R{APPROVED}", trace_id=APPROVED.removeprefix("run-").replace("-", ""))
    spans = perfect(TRUTH)
    approved = [span for span in spans if span.span_id == "Tc"]
    others = [span for span in spans if span.span_id != "Tc"]
    assert compare.parents(TRUTH, [*others, *later(approved)]) == []


def test_a_span_sent_again_must_be_the_same_span() -> None:
    spans = perfect(TRUTH)
    assert compare.without_resent([*spans, spans[3]]) == (spans, [])
    changed = replace(spans[3], end_ns=spans[3].end_ns + 1)
    assert len(compare.without_resent([*spans, changed])[1]) == 1


def _metric(name: str, **attributes: str) -> dict[str, Any]:
    pairs = [{"key": key.replace("_", "."), "value": {"string_value": value}} for key, value in attributes.items()]
    point = {"attributes": pairs, "start_time_unix_nano": "5", "time_unix_nano": "9", "as_int": "3"}
    return {
        "name": name,
        "sum": {"data_points": [point], "aggregation_temporality": "AGGREGATION_TEMPORALITY_CUMULATIVE"},
    }


def test_totals_that_are_the_sum_have_no_complaint_and_others_do() -> None:
    wanted = dict(TRUTH.totals())
    assert wanted["letta.steps", "success"] == 2
    assert wanted["letta.tokens", "cache_read"] == 80
    assert compare.totals(TRUTH, wanted) == []
    for key, total in wanted.items():
        assert len(compare.totals(TRUTH, wanted | {key: total + 1})) == 1
        assert len(compare.totals(TRUTH, wanted | {key: 0})) == 1


def test_tools_that_never_came_back_ran_and_denied_ones_did_not() -> None:
    calls = {
        "message_type": "tool_call_message",
        "step_id": "step-1",
        "tool_calls": [{"tool_call_id": "x", "name": "n"}],
    }
    denied = {"message_type": "approval_response_message", "approvals": [{"tool_call_id": "y", "approve": False}]}
    returns = _returned("step-1", y="error", z="error")
    truth = derive([(_run(ASKED, "completed"), [_step("step-1")], [calls, denied, returns])])
    assert [(tool.call_id, tool.name, tool.failed) for tool in truth.tools] == [("x", "n", False), ("z", "add", True)]


def test_the_last_point_of_each_series_counts() -> None:
    (point,) = otlp_points(_metric("letta.tokens", letta_token_type="input", model="a"))
    other = replace(point, attributes=(("letta.token.type", "input"), ("model", "b")), value=10)
    assert compare.last_totals([point, other, replace(point, value=4)]) == {("letta.tokens", "input"): 14}


@pytest.mark.parametrize("change", [{"value": 2.0}, {"start_ns": 6}, {"cumulative": False}])
def test_a_series_that_begins_again_is_told(change: dict[str, Any]) -> None:
    (point,) = otlp_points(_metric("letta.steps", letta_step_status="success"))
    assert compare.never_back([point, replace(point, time_ns=10)]) == []
    assert len(compare.never_back([point, replace(point, time_ns=10, **change)])) == 1


def test_points_and_spans_are_read_as_ddapm_shows_them() -> None:
    assert list(otlp_points(_metric("letta.steps", letta_step_status="success"))) == [
        Point("letta.steps", (("letta.step.status", "success"),), 5, 9, 3.0, cumulative=True)
    ]
    span = otlp_span(
        {
            "trace_id": "1B+ZFvYHrgr6Q41tMMu2ag==",
            "span_id": "UWYAiTG1FaE=",
            "name": "chat m",
            "kind": "SPAN_KIND_CLIENT",
            "start_time_unix_nano": "1795306111163805544",
            "end_time_unix_nano": "1795306111164072287",
            "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"int_value": "100"}}],
            "status": {"message": "boom", "code": "STATUS_CODE_ERROR"},
        }
    )
    assert (span.trace_id, span.parent_id, span.kind, span.status) == (
        "d41f9916f607ae0afa438d6d30cbb66a",
        "",
        "client",
        "error",
    )
    assert span.attributes == {"gen_ai.usage.input_tokens": 100}
