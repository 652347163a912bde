"""Letta's records, made on demand: the same fields and sizes as those of a real server (0.16.8).

A run's row has some 660 bytes, a step's a median of 906. Which fields there are, and what an empty one holds, is said
by the stand-in's rows; what they hold here is made of numbers alone, which the ids carry, so that nothing has to be
kept: a million runs cost no more memory than ten. Each step but a run's last calls one tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import lcm
from typing import Any

from bridge.demo.standin.rows import EMPTY, SHOWN_MESSAGE, Table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_SECONDS = 4.0
AGENTS = 10
_COUNTS = 200  # different numbers of tokens
_MODELS = (
    ("openai", "gpt-4o-mini", "openai/gpt-4o-mini", "https://api.openai.com/v1", 128000),
    ("anthropic", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "https://api.anthropic.com/v1", 200000),
    ("openai", "gpt-4.1", "openai/gpt-4.1", "https://api.openai.com/v1", 1047576),
)
KINDS = lcm(AGENTS, _COUNTS, len(_MODELS))  # runs as far apart as this differ in nothing but ids and times
_TOOLS = ("search_files", "run_tests", "read_file", "archival_memory_search")
_ARGUMENTS = json.dumps({"path": "docs/deploy.md", "query": "where does the ledger live", "limit": 20})
_RETURNED = "12 matches in 4 files; the first is line 118 of docs/deploy.md. " * 3
_SAID = "The ledger lives in the folder that BRIDGE_LEDGER names; keep it on a disk that outlives the container. " * 2


@dataclass(slots=True)
class World:
    """So many runs of so many steps each, the newest a few seconds old.

    Attributes:
        runs: how many there are.
        steps: of each run.
        open_runs: of the newest, how many have not ended.
        spacing: seconds between two runs' beginnings.
        newest: created_at of the newest run, seconds since the epoch.
        added: when further runs were added; each was over at that moment.
    """

    runs: int
    steps: int
    open_runs: int
    spacing: float
    newest: float
    added: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All runs."""
        return self.runs + len(self.added)

    def grow(self, now: float) -> int:
        """Add a run that is over at this moment; returns its number."""
        self.added.append(now)
        return self.count - 1

    def created(self, run: int) -> float:
        """When a run was created, seconds since the epoch."""
        if run >= self.runs:
            return self.added[run - self.runs] - self.steps * _STEP_SECONDS
        return self.newest - (self.runs - 1 - run) * self.spacing

    def is_open(self, run: int) -> bool:
        """Whether it has not ended."""
        return self.runs - self.open_runs <= run < self.runs

    def run(self, run: int, *, listed: bool = True) -> dict[str, Any]:
        """A run's row; the list alone knows how long it took."""
        ended = not self.is_open(run)
        seconds = self.steps * _STEP_SECONDS
        return EMPTY[Table.RUNS] | {
            "id": run_id(run),
            "status": "completed" if ended else "running",
            "created_at": iso(self.created(run)) + "Z",
            "completed_at": iso(self.created(run) + seconds) if ended else None,
            "agent_id": agent_id(run),
            "stop_reason": "end_turn" if ended else None,
            "total_duration_ns": round(seconds * 1e9) if ended and listed else None,
        }

    def step(self, run: int, step: int) -> dict[str, Any]:
        """A step's row."""
        provider, model, handle, endpoint, window = _MODELS[(run + step) % len(_MODELS)]
        prompt, cached, completion = 4000 + 37 * (step % 300), 3072, 80 + (run + step) % _COUNTS
        return EMPTY[Table.STEPS] | {
            "id": step_id(run, step),
            "run_id": run_id(run),
            "agent_id": agent_id(run),
            "provider_name": provider,
            "model": model,
            "model_handle": handle,
            "model_endpoint": endpoint,
            "context_window_limit": window,
            "completion_tokens": completion,
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
            "cached_input_tokens": cached,
            "reasoning_tokens": 16,
            "completion_tokens_details": {"reasoning_tokens": 16},
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_read_tokens": cached,
                "cache_creation_tokens": 0,
            },
            "stop_reason": "end_turn" if self._is_last(run, step) else None,
            "status": "success",
        }

    def messages(self, run: int) -> list[dict[str, Any]]:
        """All messages of a run, oldest first."""
        return [message for step in range(self.steps) for message in self.step_messages(run, step)]

    def step_messages(self, run: int, step: int) -> list[dict[str, Any]]:
        """Those of one step: the user's before the first, a call and its return, or the answer after the last."""
        begin = self.created(run) + step * _STEP_SECONDS
        asked = [] if step else [self._message(run, step, 0, begin, "user_message", content=_SAID)]
        if step == self.steps - 1:
            return [*asked, self._message(run, step, 1, begin + 3, "assistant_message", content=_SAID)]
        tool, call = _TOOLS[step % len(_TOOLS)], f"call_{run:08x}{step:016x}"
        called = {"name": tool, "arguments": _ARGUMENTS, "tool_call_id": call}
        returned = {"tool_return": _RETURNED, "status": "success", "tool_call_id": call, "stdout": [], "stderr": []}
        return [
            *asked,
            self._message(
                run, step, 1, begin + 3, "tool_call_message", tool_call=called, tool_calls=[called], name=None
            ),
            self._message(
                run,
                step,
                2,
                begin + 3,
                "tool_return_message",
                **returned,
                name=tool,
                tool_returns=[{"type": "tool", **returned}],
            ),
        ]

    def step_metrics(self, run: int, step: int) -> dict[str, Any]:
        """A step's measured lengths."""
        last = self._is_last(run, step)
        return EMPTY[Table.STEP_METRICS] | {
            "id": step_id(run, step),
            "run_id": run_id(run),
            "agent_id": agent_id(run),
            "llm_request_ns": 1_420_000_000 + step * 1000,
            "tool_execution_ns": None if last else 920_000_000 + step * 1000,
            "step_ns": 2_587_000_000 + step * 1000,
        }

    def run_metrics(self, run: int) -> dict[str, Any]:
        """A run's start and length."""
        return EMPTY[Table.RUN_METRICS] | {
            "id": run_id(run),
            "agent_id": agent_id(run),
            "run_start_ns": round(self.created(run) * 1e6) * 1000 + 60_000_000,
            "run_ns": round(self.steps * _STEP_SECONDS * 1e9),
            "num_steps": self.steps,
            "tools_used": [],
        }

    def _is_last(self, run: int, step: int) -> bool:
        return step == self.steps - 1 and not self.is_open(run)

    def _message(self, run: int, step: int, place: int, at: float, kind: str, **more: Any) -> dict[str, Any]:
        return {
            **SHOWN_MESSAGE,
            "id": f"message-{run:08x}-{step:04x}-4000-8000-{place:012x}",
            "date": iso(float(int(at)))[:19] + "+00:00",
            "message_type": kind,
            "otid": f"{run:08x}-{step:04x}-4000-8000-{place:012x}",
            "step_id": step_id(run, step),
            "run_id": run_id(run),
            **more,
        }


def agent(agent_id: str) -> dict[str, Any]:
    """An agent without its relationships; a real one's is longer, and read once."""
    return {
        "id": agent_id,
        "name": f"benchmark {agent_id[6:14]}",
        "agent_type": "letta_v1_agent",
        "blocks": [],
        "tools": [],
        "sources": [],
        "tags": [],
        "system": _SAID,
        "llm_config": {"model": "gpt-4o-mini", "model_endpoint_type": "openai", "context_window": 128000},
        "embedding_config": {"embedding_model": "none", "embedding_endpoint_type": "openai", "embedding_dim": 8},
        "memory": {"blocks": []},
    }


def run_id(run: int) -> str:
    """The id of a run."""
    return f"run-{run:08x}-0000-4000-8000-000000000000"


def step_id(run: int, step: int) -> str:
    """The id of a step."""
    return f"step-{run:08x}-{step:04x}-4000-8000-000000000000"


def agent_id(run: int) -> str:
    """The id of the agent of a run."""
    return f"agent-{run % AGENTS:08x}-0000-4000-8000-000000000000"


def numbers(id_: str) -> tuple[int, int]:
    """The run's number and the second number of any of the ids above."""
    parts = id_.split("-")
    return int(parts[1], 16), int(parts[2], 16)


def dumped(records: Iterable[dict[str, Any]] | dict[str, Any]) -> bytes:
    """As the real server writes JSON."""
    value = records if isinstance(records, dict) else list(records)
    return json.dumps(value, separators=(",", ":")).encode()


def iso(seconds: float) -> str:
    """A moment as Letta writes it, without a zone."""
    return (_EPOCH + timedelta(microseconds=round(seconds * 1e6))).strftime("%Y-%m-%dT%H:%M:%S.%f")
