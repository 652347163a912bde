"""The bridge itself: whether the other dashboards can be believed."""

from __future__ import annotations

from letta_dashboards import metrics
from letta_dashboards.layout import Page, Row
from letta_dashboards.metrics import BRIDGE, RANGE, WINDOW, Scope, or_zero
from letta_dashboards.panels import ANY_IS_BAD, Panel, Series, Words, bars, lines, number
from letta_dashboards.spans import Links
from letta_dashboards.traces import Backend

_LOST = 'outcome!="accepted"'
_NO_ANSWER = 'answer!~"2.."'


def page(backend: Backend) -> Page:
    """The dashboard."""
    scope, links = Scope(), Links(backend)
    return Page(
        "letta-bridge",
        "Letta: the bridge itself",
        "Does the bridge run, does it keep up, does Letta answer it, does the backend take what it sends?",
        [
            Row("Can the other dashboards be believed?", _numbers(scope, links)),
            Row("Does it keep up?", [_lag(scope, links), _sweeps(scope, links)]),
            Row("Does Letta answer?", [_requests(scope, links), _refused(scope, links)]),
            Row(
                "Does the backend take it?", [_spans(scope, links), _log_events(scope, links), _exports(scope, links)]
            ),
            Row("Details", [_ledger(scope, links), _unknown(scope, links)]),
        ],
        of_steps=False,
    )


def _numbers(scope: Scope, links: Links) -> list[Panel]:
    up = Words(
        "Bridges that answer",
        "Bridges whose /metrics page Prometheus reads, of those seen in the time shown. Red: one is down. Nothing is "
        "lost, it goes on from where it stopped.",
        nothing="No bridge was seen in this time",
    )
    behind = Words(
        "Behind by",
        "Age of the oldest thing that is due or not delivered. Over a minute: see below which side does not answer.",
    )
    letters = Words(
        "Dead letters",
        "Records that could not be read and spans the backend refused for good. They are kept: "
        "`bridge dead-letters list` shows why, `bridge dead-letters retry` sends them again.",
    )
    lost = Words(
        "Spans not taken",
        "Spans that the backend rejected or refused for good in the time shown. The bridge's log says why.",
    )
    asked = Words(
        "Requests that failed",
        "Share of requests to Letta without a good answer in the time shown. 429: lower "
        "BRIDGE_LETTA_REQUESTS_PER_SECOND; 401: the key. One that fails at each start is the probe of /v1/steps/.",
    )
    restarts = Words(
        "Pages read anew",
        "Pages that did not follow their cursor, so that reading began anew: runs deleted meanwhile, or a Letta "
        "server that pages in another way. Many: report it.",
    )
    seen = f"last_over_time({scope.of(metrics.LAG)}[{RANGE}])"
    share_up = f"avg(up{{{BRIDGE}}} and on (job, instance) {seen})"
    failed = scope.increase(metrics.REQUESTS, _NO_ANSWER)
    every = scope.increase(metrics.REQUESTS)
    everything = links.everything("Newest spans")
    late = ((None, "green"), (60, "orange"), (300, "red"))
    some = ((None, "green"), (0.05, "orange"), (0.2, "red"))
    all_up = ((None, "red"), (1, "green"))
    return [
        number(up, share_up, everything, unit="percentunit", levels=all_up),
        number(behind, f"max({scope.of(metrics.LAG)})", everything, unit="s", levels=late),
        number(letters, f"sum({scope.of(metrics.DEAD_LETTERS)})", everything, levels=ANY_IS_BAD),
        number(lost, or_zero(scope.increase(metrics.SPANS, _LOST)), everything, levels=ANY_IS_BAD),
        number(asked, or_zero(f"{failed} / ({every} > 0)"), everything, unit="percentunit", decimals=1, levels=some),
        number(restarts, or_zero(scope.increase(metrics.CURSOR_RESTARTS)), everything),
    ]


def _lag(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Behind by, over time",
        "Age of the oldest thing that is due or not delivered. A slope of one second a second: a side is away.",
    )
    levels = ((None, "transparent"), (60, "red"))
    series = [Series(f"max by (instance) ({scope.of(metrics.LAG)})", "{{instance}}")]
    return lines(words, series, links.everything("Spans that arrived"), unit="s", levels=levels)


def _sweeps(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Sweeps: median and 95th percentile",
        "How long one look at Letta takes. Longer than BRIDGE_POLL_INTERVAL: the request budget is too small for "
        "what goes on, or Letta is slow.",
    )
    series = [
        Series(scope.quantile(q, metrics.SWEEP_DURATION, by="instance"), f"{{{{instance}}}} {name}")
        for q, name in ((0.5, "median"), (0.95, "p95"))
    ]
    return lines(words, series, links.everything("Spans that arrived"), unit="s")


def _requests(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Requests to Letta, by endpoint",
        "Requests a second. The bridge is a guest: all together stay under BRIDGE_LETTA_REQUESTS_PER_SECOND.",
    )
    series = [Series(scope.rate(metrics.REQUESTS, by="endpoint"), "{{endpoint}}")]
    return lines(words, series, links.everything("Spans that arrived"), unit="reqps")


def _refused(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Requests without a good answer",
        "By endpoint and answer: a status, or the kind of failure (timeout, no connection). 401: LETTA_API_KEY; 429: "
        "the budget; 5xx: Letta's own log.",
        nothing="Letta answered every request in this time",
    )
    failed = scope.increase(metrics.REQUESTS, _NO_ANSWER, by="endpoint, answer", over=WINDOW)
    series = [Series(failed, "{{answer}} {{endpoint}}")]
    return bars(words, series, links.everything("Spans that arrived"))


def _spans(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Spans, by what became of them",
        "accepted: the backend said yes. rejected: it took the batch but not all of it. dead: refused for good, kept "
        "as dead letters. Anything but accepted: the bridge's log says what the backend said.",
    )
    series = [Series(scope.increase(metrics.SPANS, by="outcome", over=WINDOW), "{{outcome}}")]
    return bars(words, series, links.everything("Spans that arrived"), width=8)


def _log_events(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Log events, by what became of them",
        "As for spans; unsupported: the backend takes no logs, they are dropped and counted here.",
    )
    series = [Series(scope.increase(metrics.LOG_EVENTS, by="outcome", over=WINDOW), "{{outcome}}")]
    return bars(words, series, links.everything("Spans that arrived"), width=8)


def _exports(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Metrics sent over OTLP, by what became of them",
        "Requests with metrics. waiting: the backend cannot take them now, and the next totals make it good; "
        "rejected: it refused them or a part of them. No bars where metrics are read from /metrics alone.",
        nothing="No metrics are sent over OTLP: OTEL_METRICS_EXPORTER is none",
    )
    series = [Series(scope.increase(metrics.METRIC_EXPORTS, by="outcome", over=WINDOW), "{{outcome}}")]
    return bars(words, series, links.everything("Spans that arrived"), width=8)


def _ledger(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Ledger on disk",
        "What the ledger takes. It follows the open runs, not history: one that only grows has runs that never end.",
    )
    series = [Series(f"max by (instance) ({scope.of(metrics.LEDGER_SIZE)})", "{{instance}}")]
    return lines(words, series, links.everything("Spans that arrived"), unit="bytes")


def _unknown(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Fields nobody knows",
        "Names of fields that Letta sent and this version does not know: ignored, and counted once each. Some: Letta "
        "is newer than the bridge.",
        nothing="Letta sent nothing unknown",
    )
    known = or_zero(f"sum by (field) ({scope.of(metrics.UNKNOWN_FIELDS)})")
    return lines(words, [Series(known, "{{field}}")], links.everything("Spans that arrived"))
