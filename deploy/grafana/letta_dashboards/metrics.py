"""Series as the bridge's /metrics page names them, narrowed by the variables of a dashboard.

What a variable lets through unless something is chosen is `.*`, which also matches a label that is not there: agents
are labels only with BRIDGE_METRICS_AGENTS=true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BRIDGE: Final = 'instance=~"$instance"'
AGENT: Final = 'gen_ai_agent_id=~"$agent"'
# $model is a handle without its provider (gpt-4o-mini of openai/gpt-4o-mini), as the GenAI metrics name it.
MODEL: Final = 'letta_model_handle=~"(.+/)?($model)"'
REQUEST_MODEL: Final = 'gen_ai_request_model=~"$model"'
STATUS: Final = 'letta_step_status=~"$status"'

WRONG: Final = 'letta_step_status=~"failed|cancelled|abandoned"'
RUN_WRONG: Final = 'letta_run_status=~"failed|cancelled|abandoned"'
OF_AN_AGENT: Final = 'gen_ai_agent_id!=""'

STEPS: Final = "letta_steps_total"
TOKENS: Final = "letta_tokens_total"
TOOL_CALLS: Final = "letta_tool_calls_total"
RUNS: Final = "letta_runs_total"
FEEDBACK: Final = "letta_feedback_total"
LATE_CHANGES: Final = "letta_late_changes_total"
COST: Final = "letta_cost_USD_total"
TOKEN_USAGE: Final = "gen_ai_client_token_usage"  # noqa: S105 - a count of words, not a secret
REQUEST_DURATION: Final = "gen_ai_client_operation_duration_seconds"
STEP_DURATION: Final = "letta_step_duration_seconds"
TOOL_DURATION: Final = "letta_tool_duration_seconds"
RUN_DURATION: Final = "letta_run_duration_seconds"
CONTEXT_WINDOW: Final = "letta_context_window_used_ratio"
STEP_LAST_FAILURE: Final = "letta_step_last_failure_timestamp_seconds"
RUN_LAST_FAILURE: Final = "letta_run_last_failure_timestamp_seconds"
RUNS_OPEN: Final = "letta_runs_open"
OLDEST_OPEN: Final = "letta_run_oldest_open_age_seconds"
APPROVALS: Final = "letta_approvals_waiting"
LAG: Final = "letta_bridge_lag_seconds"
DEAD_LETTERS: Final = "letta_bridge_dead_letters"
LEDGER_SIZE: Final = "letta_bridge_ledger_size_bytes"
SPANS: Final = "letta_bridge_spans_total"
LOG_EVENTS: Final = "letta_bridge_log_events_total"
REQUESTS: Final = "letta_bridge_requests_total"
METRIC_EXPORTS: Final = "letta_bridge_metric_exports_total"
SWEEP_DURATION: Final = "letta_bridge_sweep_duration_seconds"
UNKNOWN_FIELDS: Final = "letta_bridge_schema_unknown_fields_total"
CURSOR_RESTARTS: Final = "letta_bridge_cursor_restarts_total"

_VARIABLES: Final = {
    STEPS: (MODEL, STATUS, AGENT),
    TOKENS: (MODEL, AGENT),
    TOOL_CALLS: (AGENT,),
    RUNS: (AGENT,),
    COST: (MODEL, AGENT),
    TOKEN_USAGE: (REQUEST_MODEL, AGENT),
    REQUEST_DURATION: (REQUEST_MODEL, AGENT),
    STEP_DURATION: (STATUS, AGENT),
    TOOL_DURATION: (AGENT,),
    RUN_DURATION: (AGENT,),
    CONTEXT_WINDOW: (MODEL, AGENT),
    STEP_LAST_FAILURE: (MODEL, STATUS, AGENT),
    RUN_LAST_FAILURE: (AGENT,),
}

RANGE: Final = "$__range"
WINDOW: Final = "$__rate_interval"


@dataclass(frozen=True)
class Scope:
    """The series that one dashboard is about.

    Attributes:
        matchers: hold for those metrics that can name an agent.
        nothing: what to say where there are no such series.
    """

    matchers: tuple[str, ...] = ()
    nothing: str = "No data: nothing happened in this time"

    def of(self, metric: str, *more: str, suffix: str = "") -> str:
        """A selector, narrowed by every variable whose label the metric has.

        Args:
            metric: as on the page; of a histogram without its suffix.
            more: matchers of the panel's own.
            suffix: `_bucket`, `_count` or `_sum` of a histogram.
        """
        variables = _VARIABLES.get(metric, ())
        own = self.matchers if AGENT in variables else ()
        return f"{metric}{suffix}{{{', '.join((BRIDGE, *variables, *own, *more))}}}"

    def increase(self, metric: str, *more: str, by: str = "", over: str = RANGE, suffix: str = "") -> str:
        """How much a counter grew over a time, summed by labels."""
        return f"{_summed(by)}(increase({self.of(metric, *more, suffix=suffix)}[{over}]))"

    def rate(self, metric: str, *more: str, by: str = "", over: str = WINDOW, suffix: str = "") -> str:
        """How fast a counter grows, per second, summed by labels."""
        return f"{_summed(by)}(rate({self.of(metric, *more, suffix=suffix)}[{over}]))"

    def quantile(self, q: float, metric: str, *more: str, by: str = "", over: str = WINDOW) -> str:
        """A quantile of a histogram."""
        buckets = self.rate(metric, *more, by=f"{by}, le" if by else "le", over=over, suffix="_bucket")
        return f"histogram_quantile({q}, {buckets})"

    def or_zero(self, expression: str) -> str:
        """Zero where there were steps and nothing of this kind; no zero where the choices leave no steps at all."""
        return f"({expression}) or 0 * count({self.of(STEPS)})"

    def at_least(self, counted: str, seen: str) -> str:
        """What was counted, but never less than was seen: a counter's first value is no increase to Prometheus."""
        of = '"of", "{}", "", ""'
        both = f"label_replace({counted}, {of.format('counter')}) or label_replace({seen}, {of.format('gauge')})"
        return self.or_zero(f"max({both})")


def or_zero(expression: str) -> str:
    """Zero where there are no series: of what is no matter of steps."""
    return f"({expression}) or vector(0)"


def share(part: str, whole: str) -> str:
    """A ratio that has no value, rather than NaN, where the whole is zero."""
    return f"{part} / ({whole} > 0)"


def kinds(last_failure: str) -> str:
    """How many kinds of failure were seen in the time shown, by the gauge that holds the newest of each kind."""
    return f"count({last_failure} > time() - $__range_s)"


def _summed(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
