"""All agents at once: the dashboard to open first."""

from __future__ import annotations

from letta_dashboards import failing, metrics, spans, speed, spending
from letta_dashboards.layout import Page, Row
from letta_dashboards.metrics import Scope, or_zero
from letta_dashboards.panels import Panel, Series, Words, bars, lines, number
from letta_dashboards.spans import Links
from letta_dashboards.traces import Backend

_HOUR = 3600


def page(backend: Backend) -> Page:
    """The dashboard."""
    scope, links = Scope(), Links(backend)
    return Page(
        "letta-fleet",
        "Letta: fleet overview",
        "Is something failing, what, whose, since when, what does it cost; then the details.",
        [
            Row("Is something failing?", [*failing.is_it(scope, links), *_waiting(scope, links)]),
            Row("What, and whose?", [failing.newest(scope, links)]),
            Row(
                "Since when?",
                [
                    failing.by_error(scope, links),
                    failing.share_by_model(scope, links),
                    failing.by_agent(scope, links),
                    spending.steps_by_status(scope, links),
                ],
            ),
            Row(
                "What does it cost?",
                [
                    spending.spent(scope, links, height=8),
                    spending.cache_hits(scope, links, height=8),
                    spending.spent_an_hour(
                        scope, links, "letta_model_handle", "{{letta_model_handle}}", spans.MODEL, width=16
                    ),
                ],
            ),
            Row("How long does it take?", [speed.runs(scope, links), speed.requests(scope, links)]),
            Row(
                "Details: tools",
                [speed.tools(scope, links), speed.tool_errors(scope, links)],
            ),
            Row(
                "Details: runs and steps",
                [
                    speed.stop_reasons(scope, links),
                    _open_runs(scope, links),
                    speed.without_usage(scope, links),
                    speed.context_window(scope, links),
                    _feedback(scope, links),
                    _late_changes(scope, links),
                ],
            ),
        ],
    )


def _waiting(scope: Scope, links: Links) -> list[Panel]:
    stuck = Words(
        "Oldest open run",
        "Age of the oldest run that is not over. Over an hour: stuck, or waiting for ever (Letta keeps runs open "
        "that a crash cut off); the bridge closes them as stale after BRIDGE_STALE_AFTER.",
    )
    approvals = Words(
        "Waiting for approval",
        "Runs that stopped for an approval nobody has given yet. Somebody has to look.",
    )
    behind = Words(
        "Bridge behind by",
        "Age of the oldest thing that is due or not delivered. Over a minute: these dashboards are that far behind; "
        "see the bridge's own.",
    )
    old = ((None, "green"), (_HOUR, "orange"), (6 * _HOUR, "red"))
    late = ((None, "green"), (60, "orange"), (300, "red"))
    some = ((None, "green"), (1, "orange"))
    runs = links.runs("Runs")
    awaiting = links.runs("Runs that asked for approval", {spans.STOP_REASON: "requires_approval"})
    return [
        number(stuck, or_zero(f"max({scope.of(metrics.OLDEST_OPEN)})"), runs, unit="s", levels=old),
        number(approvals, or_zero(f"sum({scope.of(metrics.APPROVALS)})"), awaiting, levels=some),
        number(behind, f"max({scope.of(metrics.LAG)})", links.everything("Newest spans"), unit="s", levels=late),
    ]


def _open_runs(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Open runs",
        "Runs that are not over. A line that only rises: Letta's workers stand still, or runs are never closed.",
    )
    series = Series(f"sum by (letta_run_status) ({scope.of(metrics.RUNS_OPEN)})", "{{letta_run_status}}")
    return lines(words, [series], links.runs("Runs that ended"))


def _feedback(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Feedback",
        "Feedback that people gave to steps. Negative ones: click for the steps of that time, and read them.",
        nothing="Nobody gave feedback in this time",
    )
    grown = scope.increase(metrics.FEEDBACK, by="letta_feedback_value", over=metrics.WINDOW)
    return bars(words, [Series(or_zero(grown), "{{letta_feedback_value}}")], links.steps("Steps"))


def _late_changes(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Changes after the fact",
        "What Letta changed after its span was sent: a span is never sent twice, the change is a log event in its "
        "trace. Many of them: raise BRIDGE_SETTLE.",
        nothing="Nothing changed after it was sent",
    )
    grown = scope.increase(metrics.LATE_CHANGES, by="letta_change", over=metrics.WINDOW)
    return bars(words, [Series(or_zero(grown), "{{letta_change}}")], links.steps("Steps"))
