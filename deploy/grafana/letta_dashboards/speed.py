"""Panels of how long things take and how full the context window is."""

from __future__ import annotations

from letta_dashboards import metrics, spans
from letta_dashboards.metrics import Scope, share
from letta_dashboards.panels import Column, Panel, Series, Words, bars, lines, number, rows
from letta_dashboards.spans import Links, clicked, in_row

_LE_90 = 'le="0.9"'
_FAILED = 'letta_tool_status="error"'


def requests(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """The provider's part of the time."""
    words = Words(
        "LLM requests: median and 95th percentile",
        "How long the model took, by model, as Letta measured it. Dots are single requests: click one for its trace. "
        "If this rises and steps rise with it, it is the provider.",
    )
    series = _median_and_p95(scope, metrics.REQUEST_DURATION, "gen_ai_request_model")
    return lines(words, series, links.requests("Requests to it", clicked(spans.REQUEST_MODEL)), unit="s", width=width)


def steps(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """The whole step."""
    words = Words(
        "Steps: median and 95th percentile",
        "How long whole steps took: the LLM request, the tools and Letta itself. Steps up while requests are flat: "
        "tools, or Letta's database.",
    )
    series = _median_and_p95(scope, metrics.STEP_DURATION, "letta_step_status")
    return lines(words, series, links.steps("These steps", clicked(spans.STEP_STATUS)), unit="s", width=width)


def runs(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """What a person waits for."""
    words = Words(
        "Runs: median and 95th percentile",
        "How long runs took from start to end: what people wait for.",
    )
    series = _median_and_p95(scope, metrics.RUN_DURATION, "letta_run_status")
    return lines(words, series, links.runs("These runs", clicked(spans.RUN_STATUS)), unit="s", width=width)


def tools(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """Which tool fails, at one look."""
    words = Words(
        "Tools: calls and errors",
        "Calls of each tool in the time shown, by how they returned. Letta calls a step a success though its tool "
        "failed: this is where that shows. Click for the calls.",
        nothing="No tool ran in this time",
    )
    by = "gen_ai_tool_name, letta_tool_status"
    columns = (
        Column("gen_ai_tool_name", "Tool"),
        Column("letta_tool_status", "Returned", width=120),
        Column("Value", "Calls", "short", 90),
    )
    behind = links.tools("These calls", in_row(spans.TOOL, spans.TOOL_STATUS))
    return rows(words, f"round({scope.increase(metrics.TOOL_CALLS, by=by)})", columns, behind, width=width)


def share_of_tools(scope: Scope, links: Links) -> Panel:
    """Whether it is the tools."""
    words = Words(
        "Tool calls that failed",
        "Share of the tool calls of the time shown that returned an error: Letta calls their steps a success. See by "
        "tool below.",
        nothing=scope.nothing,
    )
    ratio = share(scope.increase(metrics.TOOL_CALLS, _FAILED), scope.increase(metrics.TOOL_CALLS))
    levels = ((None, "green"), (0.05, "orange"), (0.2, "red"))
    behind = links.tools("Calls that failed", {spans.TOOL_STATUS: "error"})
    return number(words, scope.or_zero(ratio), behind, unit="percentunit", decimals=1, levels=levels)


def tool_errors(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """When a tool began to fail."""
    words = Words(
        "Tools: share of errors",
        "Of the calls of each tool, the share that returned an error. Tools that never fail have no line.",
        nothing="No tool returned an error in this time",
    )
    by = "gen_ai_tool_name"
    ratio = share(scope.rate(metrics.TOOL_CALLS, _FAILED, by=by), scope.rate(metrics.TOOL_CALLS, by=by))
    failed = {**clicked(spans.TOOL), spans.TOOL_STATUS: "error"}
    series = [Series(ratio, "{{gen_ai_tool_name}}")]
    return lines(words, series, links.tools("Calls that failed", failed), unit="percentunit", ceiling=1, width=width)


def tool_durations(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """Which tool is slow."""
    words = Words(
        "Tools: 95th percentile",
        "How long tools took that ran alone in their step; of tools that ran beside others Letta measures only the "
        "longest. Dots are single calls.",
    )
    p95 = scope.quantile(0.95, metrics.TOOL_DURATION, by="gen_ai_tool_name")
    series = Series(p95, "{{gen_ai_tool_name}}", exemplars=True)
    return lines(words, [series], links.tools("Calls of it", clicked(spans.TOOL)), unit="s", width=width)


def context_window(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """How near the edge."""
    words = Words(
        "Context window used, 95th percentile",
        "How full the context window was at the end of a step, by model. Above 90 % Letta summarises, forgets or "
        "fails with ContextWindowExceededError: a larger window, or less memory and fewer tools in the prompt.",
    )
    levels = ((None, "transparent"), (0.9, "red"))
    series = [Series(scope.quantile(0.95, metrics.CONTEXT_WINDOW, by="letta_model_handle"), "{{letta_model_handle}}")]
    behind = links.steps("Steps of it", clicked(spans.MODEL))
    return lines(words, series, behind, unit="percentunit", levels=levels, ceiling=1, width=width)


def nearly_full(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """How many are over it."""
    words = Words(
        "Steps with over 90 % of the window in use",
        "Share of steps that took more than 90 % of their context window, by model. Anything that stays above zero "
        "ends in summaries or errors.",
    )
    by = "letta_model_handle"
    below = scope.rate(metrics.CONTEXT_WINDOW, _LE_90, by=by, suffix="_bucket")
    ratio = f"1 - {share(below, scope.rate(metrics.CONTEXT_WINDOW, by=by, suffix='_count'))}"
    behind = links.steps("Steps of it", clicked(spans.MODEL))
    series = [Series(ratio, "{{letta_model_handle}}")]
    return lines(words, series, behind, unit="percentunit", ceiling=1, width=width)


def stop_reasons(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """How runs end."""
    words = Words(
        "Runs, by why they stopped",
        "All runs that ended, by stop reason: max_steps is a loop or a task too large, max_tokens_exceeded a reply "
        "cut off, requires_approval somebody's turn. Runs without a reason failed before Letta could note one.",
        nothing="No run ended in this time",
    )
    by = "letta_run_status, letta_run_stop_reason"
    series = Series(
        scope.increase(metrics.RUNS, by=by, over=metrics.WINDOW), "{{letta_run_status}} {{letta_run_stop_reason}}"
    )
    return bars(words, [series], links.runs("These runs", clicked(spans.RUN_STATUS)), width=width)


def without_usage(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """A failure that Letta calls a success."""
    words = Words(
        "Completed without usage",
        "Steps that Letta calls a success though not a single token was counted: the model's stream broke off and "
        "the reply is cut or empty. None is well; some: look at the provider, or at a proxy before it.",
        nothing="Every step had usage in this time",
    )
    by = "letta_model_handle"
    suspects = scope.increase(metrics.STEPS, 'letta_step_suspect="no_usage"', by=by, over=metrics.WINDOW)
    behind = links.steps("These steps", {**clicked(spans.MODEL), spans.SUSPECT: "no_usage"})
    return bars(words, [Series(suspects, "{{letta_model_handle}}")], behind, width=width)


def _median_and_p95(scope: Scope, metric: str, by: str) -> list[Series]:
    """Exemplars once: both quantiles come of the same observations."""
    median, high = scope.quantile(0.5, metric, by=by), scope.quantile(0.95, metric, by=by)
    return [Series(median, f"{{{{{by}}}}} median"), Series(high, f"{{{{{by}}}}} p95", exemplars=True)]
