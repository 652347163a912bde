"""What must have arrived: derived from nothing but the API's final answers and the rules of the telemetry.

Written without the bridge's own code on purpose, so that the two cannot share a mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from real.driver import Driver

Record = Mapping[str, Any]
Totals = Mapping[tuple[str, str], float]  # (metric, value of the attribute it is split by) → total
FULL_PAGE = 1000

# token type → the chat span's attribute
USAGE = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}


@dataclass(frozen=True)
class Ending:
    """How a step or run ended: `outcome` in the telemetry's words, and its error.type where it is an error."""

    outcome: str
    error_type: str | None = None


@dataclass(frozen=True)
class ExpectedStep:
    """One step, and so one agent_step and one chat span."""

    id: str
    run_id: str
    ending: Ending
    tokens: Mapping[str, int]  # by the keys of USAGE
    model: str | None
    stop_reason: str | None = None


@dataclass(frozen=True)
class ExpectedTool:
    """One tool call that ran, and so one execute_tool span.

    `run_id` is the run it ran in: another than its step's where it had to be approved.
    """

    call_id: str
    step_id: str
    run_id: str
    name: str
    failed: bool


@dataclass(frozen=True)
class ExpectedRun:
    """One run, and so one invoke_agent span."""

    id: str
    ending: Ending
    steps: int


@dataclass(frozen=True)
class Truth:
    """Everything the API shows of the runs since some time."""

    runs: Mapping[str, ExpectedRun]
    steps: Mapping[str, ExpectedStep]
    tools: tuple[ExpectedTool, ...]

    def totals(self) -> Totals:
        """What the metrics must add up to, sums of zero left out."""
        found: Counter[tuple[str, str]] = Counter()
        for step in self.steps.values():
            found["letta.steps", step.ending.outcome] += 1
            for kind, amount in step.tokens.items():
                found["letta.tokens", kind] += amount
                if kind in {"input", "output"}:
                    found["gen_ai.client.token.usage", kind] += amount
        found["letta.runs", ""] = len(self.runs)
        found["letta.tool.calls", ""] = len(self.tools)
        return {key: total for key, total in found.items() if total}


def read_truth(driver: Driver, since: datetime) -> Truth:
    """Read every run created at `since` or later, with its steps and messages."""
    rows = runs_since(driver, since)
    read = [(run, steps, _messages(driver, run, steps)) for run in rows for steps in [driver.steps(run["id"])]]
    return derive(read)


def runs_since(driver: Driver, since: datetime) -> list[Record]:
    """The rows of the runs created at `since` or later."""
    page: list[Record] = driver.get("/v1/runs/", limit=FULL_PAGE)
    found = [run for run in page if datetime.fromisoformat(run["created_at"]) >= since]
    assert len(found) < FULL_PAGE, "more runs than one page: this truth would not be whole"
    return found


def derive(read: Iterable[tuple[Record, Sequence[Record], Sequence[Record]]]) -> Truth:
    """Runs with their steps (oldest first) and messages → what must have arrived."""
    runs: dict[str, ExpectedRun] = {}
    steps: dict[str, ExpectedStep] = {}
    tools: dict[tuple[str, str], ExpectedTool] = {}
    names: dict[str, str] = {}
    for run, its_steps, messages in read:
        expected = [_step(step, run) for step in its_steps]
        runs[run["id"]] = ExpectedRun(run["id"], _run_ending(run, expected), len(expected))
        steps |= {step.id: step for step in expected}
        names |= {
            call["tool_call_id"]: call["name"] for message in messages for call in message.get("tool_calls") or ()
        }
        tools |= {(tool.step_id, tool.call_id): tool for tool in _tools(run, messages)}
    named = tuple(_named(tool, names.get(tool.call_id)) for tool in tools.values())
    return Truth(runs=runs, steps=steps, tools=named)


def _messages(driver: Driver, run: Record, steps: Sequence[Record]) -> list[Record]:
    """The run's messages; where the request filtered them, the steps' own too, which are not filtered."""
    pages = [f"/v1/runs/{run['id']}/messages"]
    if (run.get("request_config") or {}).get("include_return_message_types"):
        pages += [f"/v1/steps/{step['id']}/messages" for step in steps]
    found = [message for page in pages for message in driver.get(page, limit=FULL_PAGE)]
    assert len(found) < FULL_PAGE, "more messages than one page: this truth would not be whole"
    return found


def _step(step: Record, run: Record) -> ExpectedStep:
    return ExpectedStep(
        id=step["id"],
        run_id=run["id"],
        ending=_step_ending(step, run),
        tokens=_tokens(step),
        model=step["model"],
        stop_reason=step["stop_reason"],
    )


def _step_ending(step: Record, run: Record) -> Ending:
    was_cancelled = run["status"] == "cancelled"
    match step["status"]:
        case "success":
            return Ending("success")
        case "failed" if not (was_cancelled and step["error_type"] == "Unknown"):
            return Ending("failed", step["error_type"] or step["stop_reason"])
        case "failed" | "pending" if was_cancelled:
            return Ending("cancelled", "cancelled")
        case _:
            return Ending("abandoned", "abandoned")


def _run_ending(run: Record, steps: list[ExpectedStep]) -> Ending:
    last_error = next((step.ending.error_type for step in reversed(steps) if step.ending.error_type), None)
    match run["status"]:
        case "completed":
            return Ending("completed")
        case "failed" | "cancelled" as status:
            error = (run.get("metadata") or {}).get("error")
            told = error.get("type") if isinstance(error, dict) else None
            return Ending(status, run["stop_reason"] or last_error or told or "_OTHER")
        case _ if steps and steps[-1].stop_reason == "end_turn":
            return Ending("completed")
        case _:
            return Ending("abandoned", "abandoned")


def _tokens(step: Record) -> dict[str, int]:
    prompt = step.get("prompt_tokens_details") or {}
    completion = step.get("completion_tokens_details") or {}
    return {
        "input": step["prompt_tokens"] or 0,
        "output": step["completion_tokens"] or 0,
        "cache_read": _first(step["cached_input_tokens"], prompt.get("cached_tokens")),
        "cache_write": _first(step["cache_write_tokens"], prompt.get("cache_creation_tokens")),
        "reasoning": _first(step["reasoning_tokens"], completion.get("reasoning_tokens")),
    }


def _first(*counts: int | None) -> int:
    return next((count for count in counts if count is not None), 0)


def _tools(run: Record, messages: Sequence[Record]) -> Iterator[ExpectedTool]:
    """Every call that came back, or was made and never heard of again; one that was denied did not run."""
    denied = {
        answer["tool_call_id"]
        for message in messages
        for answer in message.get("approvals") or ()
        if answer.get("approve") is False
    }
    for message in messages:
        kind, step_id, name = message["message_type"], message.get("step_id") or "", message.get("name") or ""
        if kind == "tool_call_message":
            calls = [(call["tool_call_id"], False) for call in message["tool_calls"]]
        elif kind == "tool_return_message":
            calls = [(back["tool_call_id"], back["status"] == "error") for back in message["tool_returns"]]
        else:
            continue
        for call_id, failed in calls:
            if call_id not in denied:
                yield ExpectedTool(call_id=call_id, step_id=step_id, run_id=run["id"], name=name, failed=failed)


def _named(tool: ExpectedTool, name: str | None) -> ExpectedTool:
    return ExpectedTool(tool.call_id, tool.step_id, tool.run_id, name or tool.name, tool.failed)
