"""The searches that panels link to: the spans of steps, LLM requests, tools and runs, by the bridge's attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from letta_dashboards.panels import Link
from letta_dashboards.traces import Backend, Search, column, label, link, trace_link

MODEL: Final = "letta.model.handle"
AGENT: Final = "gen_ai.agent.id"
STEP_STATUS: Final = "letta.step.status"
RUN_STATUS: Final = "letta.run.status"
STOP_REASON: Final = "letta.run.stop_reason"
ERROR: Final = "error.type"
REQUEST_MODEL: Final = "gen_ai.request.model"
TOOL: Final = "gen_ai.tool.name"
TOOL_STATUS: Final = "letta.tool.status"
SUSPECT: Final = "letta.step.suspect"

_AGENTS: Final = {AGENT: "${agent:pipe}"}
_MODELS: Final = {MODEL: "(.+/)?(${model:pipe})", **_AGENTS}
_STATUSES: Final = {STEP_STATUS: "${status:pipe}", **_MODELS}
_REQUESTS: Final = {REQUEST_MODEL: "${model:pipe}", **_AGENTS}

_LABELS: Final = {
    MODEL: "letta_model_handle",
    AGENT: "gen_ai_agent_id",
    STEP_STATUS: "letta_step_status",
    RUN_STATUS: "letta_run_status",
    STOP_REASON: "letta_run_stop_reason",
    ERROR: "error_type",
    REQUEST_MODEL: "gen_ai_request_model",
    TOOL: "gen_ai_tool_name",
    TOOL_STATUS: "letta_tool_status",
}


def clicked(*attributes: str) -> dict[str, str]:
    """Attributes whose values are the labels of the series that is clicked."""
    return {attribute: label(_LABELS[attribute]) for attribute in attributes}


def in_row(*attributes: str) -> dict[str, str]:
    """Attributes whose values stand in the row that is clicked."""
    return {attribute: column(_LABELS[attribute]) for attribute in attributes}


@dataclass(frozen=True)
class Links:
    """Searches narrowed by the variables; what a panel fixes itself is not narrowed again."""

    backend: Backend

    def steps(self, title: str, where: Mapping[str, str] | None = None, *, errors: bool = False) -> Sequence[Link]:
        """Spans of steps."""
        return self._to(title, where, _STATUSES, errors=errors)

    def requests(self, title: str, where: Mapping[str, str] | None = None) -> Sequence[Link]:
        """Spans of LLM requests."""
        return self._to(title, where, _REQUESTS)

    def tools(self, title: str, where: Mapping[str, str]) -> Sequence[Link]:
        """Spans of tools."""
        return self._to(title, where, _AGENTS)

    def runs(self, title: str, where: Mapping[str, str] | None = None, *, errors: bool = False) -> Sequence[Link]:
        """Spans of runs; an attribute of runs alone keeps the others out."""
        matching = {RUN_STATUS: ".+", **_AGENTS}
        return self._to(title, where, matching, errors=errors)

    def everything(self, title: str) -> Sequence[Link]:
        """All that arrived: for panels of the bridge itself, which makes no spans of its own."""
        return self._to(title, None, {})

    def trace(self) -> Sequence[Link]:
        """The trace of the row that is clicked."""
        return [trace_link(self.backend, column("trace_id"))]

    def _to(
        self, title: str, where: Mapping[str, str] | None, matching: Mapping[str, str], *, errors: bool = False
    ) -> Sequence[Link]:
        fixed = where or {}
        rest = {name: value for name, value in matching.items() if name not in fixed}
        return [link(self.backend, Search(title, fixed, rest, errors))]
