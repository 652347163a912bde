"""The rows that every dashboard of steps begins with: is something failing, what, whose, since when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from letta_dashboards import metrics, spans
from letta_dashboards.metrics import Scope, kinds, share
from letta_dashboards.panels import ANY_IS_BAD, Column, Panel, Series, Words, bars, lines, number, rows
from letta_dashboards.spans import Links, clicked

_FAILURE: Final = (
    "letta_step_status",
    "letta_run_status",
    "error_type",
    "letta_model_handle",
    "gen_ai_agent_id",
    "gen_ai_agent_name",
    "letta_run_id",
    "letta_step_id",
    "trace_id",
    "letta_trace_url",
)


def steps_that_went_wrong(scope: Scope, links: Links) -> Panel:
    """The first thing to look at."""
    words = Words(
        "Steps that went wrong",
        "Steps that failed, were cancelled or abandoned in the time shown; 0 is well. Red: look at the table of the "
        "newest failures below. Prometheus estimates the number; it is never less than the kinds of failure there.",
        nothing=scope.nothing,
    )
    counted = scope.increase(metrics.STEPS, metrics.WRONG)
    wrong = scope.at_least(counted, kinds(scope.of(metrics.STEP_LAST_FAILURE)))
    return number(words, wrong, links.steps("Steps that went wrong", errors=True), levels=ANY_IS_BAD)


def share_of_steps(scope: Scope, links: Links) -> Panel:
    """Whether it is one in a thousand or one in two."""
    words = Words(
        "Share of steps",
        "Steps that went wrong among all that ended in the time shown. Above 5 %: see by model whether one provider "
        "is down, and by error what it says.",
        nothing=scope.nothing,
    )
    ratio = scope.or_zero(share(scope.increase(metrics.STEPS, metrics.WRONG), scope.increase(metrics.STEPS)))
    levels = ((None, "green"), (0.01, "orange"), (0.05, "red"))
    return number(
        words,
        ratio,
        links.steps("Steps that went wrong", errors=True),
        unit="percentunit",
        decimals=1,
        levels=levels,
    )


def runs_that_went_wrong(scope: Scope, links: Links) -> Panel:
    """What a user of the agents has noticed."""
    words = Words(
        "Runs that went wrong",
        "Runs that failed, were cancelled or abandoned in the time shown: what people who use the agents notice. "
        "Click for their traces.",
        nothing=scope.nothing,
    )
    counted = scope.increase(metrics.RUNS, metrics.RUN_WRONG)
    wrong = scope.at_least(counted, kinds(scope.of(metrics.RUN_LAST_FAILURE)))
    return number(words, wrong, links.runs("Runs that went wrong", errors=True), levels=ANY_IS_BAD)


def newest(scope: Scope, links: Links) -> Panel:
    """What, whose, since when, and the trace."""
    words = Words(
        "Newest failures",
        "The newest failure of each kind, agent and model, with its trace; also of runs that failed though "
        "none of their steps did. Click a row for the trace. Seen is when the bridge saw it; it keeps the newest 50.",
        nothing="Nothing has failed since the bridge began",
    )
    found = f"{scope.of(metrics.STEP_LAST_FAILURE)} or {scope.of(metrics.RUN_LAST_FAILURE)}"
    columns = (
        Column("Value", "Seen", "dateTimeFromNow", 130),
        Column("letta_step_status", "Step", width=100),
        Column("letta_run_status", "Run", width=100),
        Column("error_type", "Error", width=200),
        Column("gen_ai_agent_name", "Agent", width=180),
        Column("letta_model_handle", "Model", width=220),
        Column("trace_id", "Trace", width=290),
        Column("letta_run_id", "Run id", width=330),
        Column("letta_step_id", "Step id", width=330),
        Column("gen_ai_agent_id", "Agent id", width=330),
        Column("letta_trace_url", "Trace in your viewer", width=330),
    )
    return rows(words, f"max by ({', '.join(_FAILURE)}) ({found}) * 1000", columns, links.trace())


def by_error(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """What."""
    words = Words(
        "What goes wrong, by error",
        "Steps that went wrong, by how they ended and by error type: a burst of one error points at one cause. "
        "Click a bar for its traces. Marks are single failures.",
        nothing="Nothing went wrong in this time",
    )
    by = "letta_step_status, error_type"
    series = Series(
        scope.increase(metrics.STEPS, metrics.WRONG, by=by, over=metrics.WINDOW),
        "{{letta_step_status}} {{error_type}}",
    )
    behind = links.steps("These steps", clicked(spans.STEP_STATUS, spans.ERROR))
    return bars(words, [series], behind, width=width)


def share_by_model(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """Whose: of the provider's making."""
    words = Words(
        "Share that goes wrong, by model",
        "Of the steps of each model, the share that went wrong. One line up: that provider; all up: Letta or the "
        "network. No line: no steps.",
    )
    by = "letta_model_handle"
    over = metrics.WINDOW
    ratio = share(
        f"({scope.rate(metrics.STEPS, metrics.WRONG, by=by, over=over)} or 0 * {scope.rate(metrics.STEPS, by=by)})",
        scope.rate(metrics.STEPS, by=by, over=over),
    )
    behind = links.steps("Steps of it that went wrong", clicked(spans.MODEL), errors=True)
    levels = ((None, "transparent"), (0.05, "red"))
    series = [Series(ratio, "{{letta_model_handle}}")]
    return lines(words, series, behind, unit="percentunit", levels=levels, width=width, ceiling=1)


def by_agent(scope: Scope, links: Links) -> Panel:
    """Whose: the agents, also where agents are no labels of the counters."""
    words = Words(
        "Agents by their newest failure",
        "When each agent last failed; it needs no BRIDGE_METRICS_AGENTS. Click for its traces that went wrong.",
        nothing="No agent has failed since the bridge began",
    )
    by = "gen_ai_agent_name, gen_ai_agent_id"
    expr = f"max by ({by}) ({scope.of(metrics.STEP_LAST_FAILURE)} or {scope.of(metrics.RUN_LAST_FAILURE)}) * 1000"
    columns = (
        Column("gen_ai_agent_name", "Agent", width=200),
        Column("Value", "Last failure", "dateTimeFromNow", 150),
        Column("gen_ai_agent_id", "Agent id"),
    )
    behind = links.steps("What went wrong", spans.in_row(spans.AGENT), errors=True)
    return rows(words, expr, columns, behind, width=12)


def is_it(scope: Scope, links: Links) -> Sequence[Panel]:
    """The numbers at the very top."""
    return [
        steps_that_went_wrong(scope, links),
        share_of_steps(scope, links),
        runs_that_went_wrong(scope, links),
    ]
