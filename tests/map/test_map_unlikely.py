"""What a model or a server may make up: names without end, counts out of all proportion."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from measuring import each

from bridge.follow.reading import Outcome, SettledStep
from bridge.map import instruments
from bridge.map.mapper import MapOptions, map_loose_step
from bridge.map.telemetry import Telemetry
from bridge.source.models import Message, Step, ToolCall, ToolReturn

ENDLESS = "search " * 1000
DATE = datetime(2026, 11, 22, tzinfo=UTC)
CALL = (ToolCall(name=ENDLESS, tool_call_id="call-1"),)
BACK = (ToolReturn(tool_call_id="call-1", status="success"),)
COUNTS = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020, "cached_input_tokens": 10}


def told(*messages: Message, **counts: int) -> Telemetry:
    step = Step(id="step-1", status="success", provider_name="openai", model="gpt-4o-mini", **{**COUNTS, **counts})  # type: ignore[arg-type] # these are counts
    return map_loose_step(SettledStep(step, Outcome.SUCCESS), None, messages, 10**18, MapOptions(cost=True))


def message(kind: str, **fields: object) -> Message:
    return Message(id=kind, message_type=kind, step_id="step-1", date=DATE, **fields)  # type: ignore[arg-type] # as written


@pytest.mark.parametrize("messages", [
    (message("tool_call_message", tool_calls=CALL), message("tool_return_message", name="x", tool_returns=BACK)),
    (message("tool_return_message", name=ENDLESS, tool_returns=BACK),),
    (message("tool_call_message", tool_calls=CALL),),
], ids=["called and returned", "returned alone", "never returned"])  # fmt: skip
def test_a_tools_endless_name_is_cut_on_spans_and_metrics(messages: tuple[Message, ...]) -> None:
    telemetry = told(*messages)
    name = telemetry.spans[-1].attributes["gen_ai.tool.name"]
    assert telemetry.spans[-1].name == f"execute_tool {name}"
    assert len(str(name)) == 128
    (calls,) = (one for one in each(telemetry.measurements) if one.instrument == instruments.TOOL_CALLS)
    assert ("gen_ai.tool.name", name) in calls.attributes


def test_tokens_are_priced() -> None:
    assert priced() == {instruments.COST}


@pytest.mark.parametrize("count", sorted(COUNTS.keys() - {"total_tokens"}))
@pytest.mark.parametrize("unlikely", [-1, 10**9 + 1])
def test_a_count_out_of_all_proportion_leaves_its_step_without_a_price(count: str, unlikely: int) -> None:
    assert priced(**{count: unlikely}) == set()


def priced(**counts: int) -> set[str]:
    measured = {one.instrument for one in each(told(**counts).measurements)}
    return measured & {instruments.COST, instruments.UNPRICED_TOKENS}
