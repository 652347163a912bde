"""Recorded runs on a Letta stand-in, and a real `bridge run` that has sent all of them to a real backend.

For the backends that show no more than what was sent: no Letta server is needed to see that they show it right. The
truth is the stand-in's own rows.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from real.background import in_background
from real.service import Service
from real.waiting import until

# Every way to end that a viewer shows: well, with a tool, with several, red in the run, in a tool alone, cancelled,
# stopped, waiting for a person, and a plain conversation. Five agents, three models.
NAMES = (
    "text",
    "tool_ok",
    "tool_raises",
    "parallel_tools",
    "multi_step",
    "llm_429",
    "llm_500",
    "tool_then_500",
    "cancelled_in_tool",
    "approval",
    "max_steps",
)
AGO = 120.0  # seconds before now that the first of them begins
BETWEEN = 5.0

# All is there already when the bridge comes: it need not be polite, nor patient.
HURRY = {
    "BRIDGE_POLL_INTERVAL": "200ms",
    "BRIDGE_SETTLE": "500ms",
    "BRIDGE_ABANDON_AFTER": "2s",
    "BRIDGE_STALE_AFTER": "2s",
    "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "300",
}


@dataclass(frozen=True)
class Played:
    """What the server holds: rows by id, in the order of their time, with the fields the API shows."""

    runs: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Mapping[str, Any]]
    agents: Mapping[str, str]
    tools: Sequence[str]
    run_seconds: Mapping[str, float]
    runs_where_a_tool_failed: frozenset[str]
    began: datetime

    def runs_of(self, agent_name: str) -> set[str]:
        """The ids of an agent's runs."""
        return {id_ for id_, run in self.runs.items() if self.agents[run["agent_id"]] == agent_name}

    def runs_with(self, **fields: object) -> set[str]:
        """The ids of the runs that have a step with these fields."""
        return {
            step["run_id"]
            for step in self.steps.values()
            if all(step[name] == value for name, value in fields.items())
        }


@contextmanager
def letta(names: Sequence[str] = NAMES) -> Iterator[tuple[str, Played]]:
    """A server to which all of the recordings have happened: its address, and what it holds."""
    store = Store(SystemClock())
    began = time.time() - AGO
    for number, name in enumerate(names):
        recording.load(name).play(store, began + number * BETWEEN)
    until(lambda: not store.pending(), seconds=60, what="all of the recordings are over")
    with served(StandIn(store).app) as url:
        yield url, _what_it_holds(store, began)


def bridge(address: str, played: Played, folder: Path, sends_to: Mapping[str, str], *, name: str = "played") -> str:
    """Run a bridge until it has sent every run and stopped of its own accord; returns its log."""
    service = Service(name, letta=address, since=played.began, folder=folder, sends_to={**HURRY, **sends_to})
    service.start()
    try:
        service.wait_live()
        until(
            lambda: _sent(service, "letta.runs") >= len(played.runs) and service.open_runs() == 0,
            seconds=40,
            what="every run is sent",
        )
        service.stop(signal.SIGTERM)
        assert service.stopped_with == [0], service.tail()
        return service.log()
    finally:
        service.close()


def _sent(service: Service, metric: str) -> float:
    return sum(value for (name, _), value in service.totals().items() if name == metric)


def _what_it_holds(store: Store, began: float) -> Played:
    runs = {row.id: row.fields for row in store.rows(Table.RUNS)}
    steps = {row.id: row.fields for row in store.rows(Table.STEPS)}
    shown = [(row, message) for row in store.rows(Table.MESSAGES) for message in row.fields["shown"]]
    returns = [(row, each) for row, message in shown for each in message.get("tool_returns") or ()]
    return Played(
        runs=runs,
        steps=steps,
        agents={row.id: row.fields["name"] for row in store.rows(Table.AGENTS)},
        tools=[call["name"] for _, message in shown for call in message.get("tool_calls") or ()],
        run_seconds={row.id: (row.fields["run_ns"] or 0) / 1e9 for row in store.rows(Table.RUN_METRICS)},
        runs_where_a_tool_failed=frozenset(
            row.fields["run_id"] for row, each in returns if each["status"] == "error"
        ),
        began=datetime.fromtimestamp(began - 1, UTC),
    )


def served(app: ASGIApp) -> AbstractContextManager[str]:
    """The address of an application, for as long as the block runs."""
    return in_background(hosted(app))


def get_json(url: str, **query: str | int) -> Any:
    """The JSON that a backend's own API answers with; raises httpx.HTTPStatusError where it refuses."""
    return httpx.get(url, params=query, timeout=10).raise_for_status().json()


def get_text(url: str) -> str:
    """A page as text."""
    return httpx.get(url, timeout=10).raise_for_status().text
