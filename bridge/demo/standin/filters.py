"""Which rows a list's query lets through."""

from __future__ import annotations

from typing import Final

from bridge.demo.standin import params
from bridge.demo.standin.store import Row

_ACTIVE: Final = frozenset({"created", "running"})


def statuses(asked: params.RunsQuery) -> frozenset[str] | None:
    """`active` is ignored beside `statuses`; a value that is no status is the ValueError of the enum."""
    if asked.statuses is not None:
        return frozenset(params.RunStatus(status) for status in asked.statuses)
    return _ACTIVE if asked.active else None


def run_matches(row: Row, asked: params.RunsQuery, wanted: frozenset[str] | None) -> bool:
    """Whether a run passes the filters; `wanted` are the statuses, None for all."""
    run = row.fields
    agents = [asked.agent_id] if asked.agent_id else asked.agent_ids
    return (
        (not agents or run["agent_id"] in agents)
        and (not wanted or run["status"] in wanted)
        and (asked.background is None or run["background"] == asked.background)
        and (asked.stop_reason is None or run["stop_reason"] == asked.stop_reason)
        and (asked.conversation_id is None or run["conversation_id"] == asked.conversation_id)
    )


def step_matches(row: Row, asked: params.StepsQuery) -> bool:
    """Whether a step passes the filters."""
    step = row.fields
    return (
        (not asked.model or step["model"] == asked.model)
        and (not asked.agent_id or step["agent_id"] == asked.agent_id)
        and (not asked.trace_ids or step["trace_id"] in asked.trace_ids)
        and (not asked.feedback or step["feedback"] == asked.feedback)
        and (not asked.project_id or step["project_id"] == asked.project_id)
        and (asked.has_feedback is None or (step["feedback"] is not None) == asked.has_feedback)
    )
