"""A Letta server whose rows are changed one by one, the way a real one changes them (0.16.8), and no other.

A step is pending first, then final with all its tokens at once; its messages and lengths follow, seconds later. A run
is over when its steps are, or is cancelled before, and may change its mind. What an agent's deletion takes along is
kept in `gone`, for whoever has to know what was there.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.demo.standin.rows import SHOWN_MESSAGE, Fields, Table
from bridge.demo.standin.store import Store

_TOOL_SECONDS = 0.001
AGENTS = ("agent-00000000-0000-4000-8000-00000000000a", "agent-00000000-0000-4000-8000-00000000000b")


@dataclass
class LiveStep:
    """One step as the server sees it."""

    id: str
    pending: bool = True


@dataclass
class LiveRun:
    """One run as the server sees it; `status` is what its row says."""

    id: str
    agent_id: str
    status: str = "created"
    over_at: float | None = None
    news_at: float = 0.0
    steps: list[LiveStep] = field(default_factory=list)

    @property
    def active(self) -> bool:
        return self.status in {"created", "running"}

    @property
    def pending(self) -> LiveStep | None:
        return next((step for step in self.steps if step.pending), None)


class Letta:
    """The rows, by what can happen to them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids = random.Random(2)
        self.runs: list[LiveRun] = []
        self.gone: dict[Table, list[Fields]] = defaultdict(list)
        for agent in AGENTS:
            store.put(Table.AGENTS, agent, {"name": agent[-1]})

    def new_run(self, now: float, agent_id: str, *, late: float = 0.0, filtered: bool = False) -> LiveRun:
        """A run whose row is seen now, `late` seconds after its created_at."""
        run = LiveRun(self._id("run"), agent_id, news_at=now)
        fields: dict[str, Any] = {"agent_id": agent_id}
        if filtered:
            fields["request_config"] = {"include_return_message_types": ["assistant_message"]}
        self._put(Table.RUNS, run.id, fields, created_at=now - late)
        self._put(Table.RUN_METRICS, run.id, {"run_start_ns": round((now - late) * 1e9), "agent_id": agent_id})
        self.runs.append(run)
        return run

    def new_step(self, now: float, run: LiveRun) -> LiveStep:
        """The row that is written right before the model is asked."""
        step = LiveStep(self._id("step"))
        self._put(Table.STEPS, step.id, {"run_id": run.id, "agent_id": run.agent_id}, created_at=now)
        run.steps.append(step)
        run.news_at = now
        return step

    def finish(
        self,
        now: float,
        run: LiveRun,
        step: LiveStep,
        *,
        tokens: int = 30,
        tools: int = 0,
        belated: float = 0.0,
        measured: float | None = None,
        thinks: bool = False,
    ) -> None:
        """A success with all its tokens at once.

        Args:
            now: when.
            run: of the step.
            step: which.
            tokens: of the prompt.
            tools: how many it calls; without one it is the last.
            belated: seconds until its messages come.
            measured: seconds until its lengths come; as `belated` unless given.
            thinks: it has a message of its thoughts in front of the others.
        """
        self._close(now, run, step, {
            "status": "success",
            "prompt_tokens": tokens,
            "completion_tokens": tokens // 3,
            "total_tokens": tokens + tokens // 3,
            "cached_input_tokens": tokens // 2 or None,
            "stop_reason": None if tools else "end_turn",
        })  # fmt: skip
        at = now + belated
        lengths = {"step_ns": 2 * 10**9, "llm_request_ns": 10**9, "run_id": run.id, "agent_id": run.agent_id}
        self._put(Table.STEP_METRICS, step.id, lengths, visible_at=at if measured is None else now + measured)
        if thinks:
            self._say(run, step, now - _TOOL_SECONDS, at, {"message_type": "reasoning_message"})
        call_ids = [f"call-{step.id[5:13]}-{number}" for number in range(tools)]
        if tools:
            calls = [{"name": "search", "arguments": "{}", "tool_call_id": call} for call in call_ids]
            self._say(run, step, now, at, {"message_type": "tool_call_message", "tool_calls": calls})
            returns = [{"type": "tool", "status": "success", "tool_call_id": call} for call in call_ids]
            said = {"message_type": "tool_return_message", "name": "search", "tool_returns": returns}
            self._say(run, step, now + _TOOL_SECONDS, at + _TOOL_SECONDS, said)
        else:
            self._say(run, step, now, at, {"message_type": "assistant_message", "content": "done"})

    def fail(self, now: float, run: LiveRun, step: LiveStep, error_type: str) -> None:
        """A failed step has no messages."""
        self._close(now, run, step, {"status": "failed", "error_type": error_type})

    def end(self, now: float, run: LiveRun, status: str) -> None:
        """The run's row says that it is over; a later change of mind keeps the time of the first."""
        fields: dict[str, Any] = {"status": status, "stop_reason": "end_turn" if status == "completed" else status}
        if run.over_at is None:
            run.over_at = now
            fields["completed_at"] = datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat()
        run.status, run.news_at = status, now
        self._put(Table.RUNS, run.id, fields)

    def give_feedback(self, step: LiveStep, value: str) -> None:
        """What a person thinks of a step, at any time."""
        self._put(Table.STEPS, step.id, {"feedback": value})

    def tag(self, step: LiveStep, tag: str) -> None:
        """A tag, at any time."""
        self._put(Table.STEPS, step.id, {"tags": [tag]})

    def delete_agent(self, agent_id: str) -> None:
        """Its runs, steps and messages go with it."""
        for table in (Table.RUNS, Table.STEPS, Table.MESSAGES):
            self.gone[table] += [r.fields for r in self._store.rows(table) if r.fields["agent_id"] == agent_id]
        self._store.delete_agent(agent_id)
        self.runs = [run for run in self.runs if run.agent_id != agent_id]

    def _close(self, now: float, run: LiveRun, step: LiveStep, fields: Fields) -> None:
        self._put(Table.STEPS, step.id, fields)
        step.pending = False
        run.news_at = now

    def _say(self, run: LiveRun, step: LiveStep, now: float, at: float, shown: Fields) -> None:
        message_id = self._id("message")
        date = datetime.fromtimestamp(now, UTC).replace(microsecond=0).isoformat()
        common = {"id": message_id, "date": date, "run_id": run.id, "step_id": step.id}
        fields = {"run_id": run.id, "step_id": step.id, "agent_id": run.agent_id}
        row = {**fields, "shown": [{**SHOWN_MESSAGE, **common, **shown}]}
        self._put(Table.MESSAGES, message_id, row, created_at=now, visible_at=at)

    def _put(self, table: Table, row_id: str, fields: Fields, **when: float) -> None:
        self._store.put(table, row_id, fields, **when)

    def _id(self, kind: str) -> str:
        return f"{kind}-{uuid.UUID(int=self._ids.getrandbits(128), version=4)}"
