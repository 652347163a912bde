"""What the user can choose about the mapping."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MapOptions:
    """What the user can choose.

    Attributes:
        cancelled_is_error: whether a cancelled step or run is an error.
        run_metadata: the keys of a run's metadata that may leave.
        metrics_of_agents: whether measurements name the agent.
        cost: whether tokens are priced.
        trace_url: address of a trace in the user's viewer, with {trace_id}; None where there is none.
    """

    cancelled_is_error: bool = True
    run_metadata: frozenset[str] = frozenset({"run_type"})
    metrics_of_agents: bool = False
    cost: bool = False
    trace_url: str | None = None
