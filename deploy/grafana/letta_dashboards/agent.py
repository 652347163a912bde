"""One agent, or a few beside each other."""

from __future__ import annotations

from letta_dashboards import failing, metrics, spans, speed, spending
from letta_dashboards.layout import Page, Row
from letta_dashboards.metrics import OF_AN_AGENT, Scope
from letta_dashboards.panels import Panel, Series, Words, bars, lines, note, traces
from letta_dashboards.spans import Links, clicked
from letta_dashboards.traces import Backend, Search

_NEEDS = (
    "**The graphs need `BRIDGE_METRICS_AGENTS=true`** (series multiply with the agents; off by default). Without it "
    "they show *No data*, the choice *Agent* holds those that failed, and these work all the same: "
    "*Newest failures*, *Newest runs* and *What went wrong*, which come from the traces."
)


def page(backend: Backend) -> Page:
    """The dashboard."""
    scope, links = Scope((OF_AN_AGENT,), "No data: BRIDGE_METRICS_AGENTS?"), Links(backend)
    failures = Scope()
    by, legend = "gen_ai_agent_name", "{{gen_ai_agent_name}}"
    return Page(
        "letta-agent",
        "Letta: one agent",
        "What one agent does: its failures, its traces, its cost and its tools. Its graphs need "
        "BRIDGE_METRICS_AGENTS=true.",
        [
            Row(
                "Is it failing?",
                [
                    note("What this needs", "How to make the graphs of this dashboard work.", _NEEDS),
                    *failing.is_it(scope, links),
                    spending.spent(scope, links),
                    spending.cache_hits(scope, links),
                    speed.share_of_tools(scope, links),
                ],
            ),
            Row("What, since when?", [failing.newest(failures, links), *_since_when(scope, links)]),
            Row("Its traces", _traces(backend, links)),
            Row(
                "What does it cost?",
                [
                    spending.spent_an_hour(scope, links, f"{by}, gen_ai_agent_id", legend, spans.AGENT),
                    spending.tokens(scope, links),
                ],
            ),
            Row(
                "Details",
                [
                    speed.steps(scope, links),
                    speed.runs(scope, links),
                    speed.tools(scope, links),
                    speed.tool_errors(scope, links),
                    speed.stop_reasons(scope, links),
                    speed.context_window(scope, links),
                ],
            ),
        ],
    )


def _since_when(scope: Scope, links: Links) -> list[Panel]:
    wrong = Words(
        "Share that goes wrong, by agent",
        "Of the steps of each agent, the share that went wrong. One agent up and its model's others well: its "
        "prompt, its tools or its memory.",
    )
    by = "gen_ai_agent_id, gen_ai_agent_name"
    all_steps = scope.rate(metrics.STEPS, by=by)
    ratio = f"({scope.rate(metrics.STEPS, metrics.WRONG, by=by)} or 0 * {all_steps}) / ({all_steps} > 0)"
    work = Words(
        "Steps, by agent",
        "Steps that ended. Far more than usual: a loop; see the runs' stop reasons below.",
        nothing="No step of an agent ended; or BRIDGE_METRICS_AGENTS is off",
    )
    steps = scope.increase(metrics.STEPS, by=by, over=metrics.WINDOW)
    behind = links.steps("Its steps", clicked(spans.AGENT))
    bad = links.steps("Its steps that went wrong", clicked(spans.AGENT), errors=True)
    series = [Series(ratio, "{{gen_ai_agent_name}}")]
    return [
        failing.by_error(scope, links),
        lines(wrong, series, bad, unit="percentunit", ceiling=1),
        bars(work, [Series(steps, "{{gen_ai_agent_name}}")], behind, width=24),
    ]


def _traces(backend: Backend, links: Links) -> list[Panel]:
    chosen = {spans.AGENT: "${agent:pipe}"}
    one = " Choose exactly one agent: Jaeger compares whole values." if backend.needs_service else ""
    nothing = f"No such trace in {backend.name} in this time.{one}"
    bad = Words(
        "What went wrong",
        f"Traces in {backend.name} with a span in ERROR. Click a trace id to open it.{one}",
        nothing=nothing,
    )
    runs = Words(
        "Newest runs",
        f"Runs of the agent in {backend.name}, whatever came of them. Click a trace id to open it.{one}",
        nothing=nothing,
    )
    where, matching = (chosen, {}) if backend.needs_service else ({}, chosen)
    failed = backend.search(Search(bad.title, where, matching, errors=True))
    newest = backend.search(Search(runs.title, where, matching))
    return [
        traces(bad, backend, failed, links.runs("Runs that went wrong", errors=True)),
        traces(runs, backend, newest, links.runs("Runs")),
    ]
