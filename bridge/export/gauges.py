"""The gauges of the Letta side, made of what the ledger knows at a moment.

The last failure of each set of labels names its run, so that an alert can link to the trace: a run's id is no
attribute of a counter, whose series would never end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.export.metrics import Attributes, GaugePoints
from bridge.ledger.figures import OpenRuns
from bridge.map import genai, instruments, letta
from bridge.map.failures import Failure

_ACTIVE = ("created", "running")  # shown at zero too: else a graph stays where it was when the last such run ends


def gauge_points(
    open_runs: OpenRuns, failures: Sequence[Failure], *, now_ns: int, trace_url: str | None = None
) -> GaugePoints:
    """All gauges.

    Args:
        open_runs: what is open at the moment.
        failures: the newest first.
        now_ns: the moment, nanoseconds since the epoch.
        trace_url: address of a trace in the user's viewer, with {trace_id}.
    """
    by_status = {**dict.fromkeys(_ACTIVE, 0), **open_runs.by_status}
    oldest_ns = now_ns if open_runs.oldest_created_ns is None else open_runs.oldest_created_ns
    return {
        instruments.RUNS_OPEN: {((letta.RUN_STATUS, status),): count for status, count in by_status.items()},
        instruments.RUN_OLDEST_OPEN_AGE: {(): max(0, now_ns - oldest_ns) / 1e9},
        instruments.APPROVALS_WAITING: {(): open_runs.awaiting_approval},
        **_last_failures(failures, trace_url),
    }


def _last_failures(failures: Sequence[Failure], trace_url: str | None) -> GaugePoints:
    newest: dict[object, Failure] = {}
    for one in failures:
        newest.setdefault((one.kind, one.status, one.error_type, one.model_handle, one.agent_id), one)
    points: dict[str, dict[Attributes, float]] = {}
    for one in newest.values():
        name = instruments.STEP_LAST_FAILURE if one.kind == "step" else instruments.RUN_LAST_FAILURE
        points.setdefault(name, {})[_labels(one, trace_url)] = one.seen_at
    return points


def _labels(failure: Failure, trace_url: str | None) -> Attributes:
    labels: Mapping[str, str | None] = {
        genai.ERROR_TYPE: failure.error_type,
        genai.AGENT_ID: failure.agent_id,
        genai.AGENT_NAME: failure.agent_name,
        letta.MODEL_HANDLE: failure.model_handle,
        letta.RUN_ID: failure.run_id,
        letta.STEP_STATUS if failure.kind == "step" else letta.RUN_STATUS: failure.status,
        letta.STEP_ID: failure.step_id,
        letta.TRACE_URL: trace_url and trace_url.replace("{trace_id}", failure.trace_id),
        instruments.TRACE_ID: failure.trace_id,
    }
    return tuple((name, value) for name, value in labels.items() if value)
