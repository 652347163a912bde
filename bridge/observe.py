"""The bridge's own metrics, `letta_bridge.*`: what this process did, read when asked for.

They begin at zero with the process, unlike the Letta totals, which live in the ledger, and leave by the same encoder:
the SDK's instruments and exporters would take 3 MB more and a fifth of the start-up. They have a resource of their
own and touch nothing global. OTEL_RESOURCE_ATTRIBUTES adds to the resource; OTEL_SDK_DISABLED leaves `message` empty.
Counters that an alert may rest on exist at zero before their first event: else Prometheus's `increase` sees a new
series at one, and no increase.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.resources import Resource

from bridge import __version__
from bridge.clock import SystemClock
from bridge.export.deltas import minus
from bridge.export.metrics import Attributes, Counted, metrics_request
from bridge.ledger.ledger import OVERFLOW
from bridge.map.instruments import Instrument, Kind
from bridge.map.series import SeriesKey
from bridge.map.totals import Total, observed_by

SERVICE_NAME: Final = "letta-otel-bridge"

SpanOutcome = Literal["accepted", "rejected", "dead"]
LogOutcome = Literal["accepted", "rejected", "dead", "unsupported"]
ExportOutcome = Literal["accepted", "rejected", "waiting"]
WakeOutcome = Literal["taken", "repeated", "dropped", "refused", "invalid"]

_OUTCOMES: Final[tuple[SpanOutcome, ...]] = ("accepted", "rejected", "dead")
_LOG_OUTCOMES: Final[tuple[LogOutcome, ...]] = (*_OUTCOMES, "unsupported")
_EXPORT_OUTCOMES: Final[tuple[ExportOutcome, ...]] = ("accepted", "rejected", "waiting")
_WAKE_OUTCOMES: Final[tuple[WakeOutcome, ...]] = ("taken", "repeated", "dropped", "refused", "invalid")
_RUNS: Final = "/v1/runs/"  # asked for at every tick
_TELLING_ANSWERS: Final = ("401", "403", "429", "500", "502", "503", "504", "timeout", "unreachable", "disconnected")
_SWEEP_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_MAX_SERIES: Final = 2000  # of one instrument, as in the SDK: names of unknown fields are the server's choice
_NS: Final = 1_000_000_000


def _counter(name: str, unit: str, description: str) -> Instrument:
    return Instrument(f"letta_bridge.{name}", Kind.COUNTER, unit, description, integer=True)


def _gauge(name: str, unit: str, description: str, *, integer: bool = True) -> Instrument:
    return Instrument(f"letta_bridge.{name}", Kind.GAUGE, unit, description, integer=integer)


_REQUESTS: Final = _counter("requests", "{request}", "Requests to Letta's API")
_SPANS: Final = _counter("spans", "{span}", "Spans, by what became of them")
_LOG_EVENTS: Final = _counter("log_events", "{event}", "Log events, by what became of them")
_EXPORTS: Final = _counter("metric_exports", "{request}", "Requests with metrics, by what became of them")
_SWEEP: Final = Instrument(
    "letta_bridge.sweep.duration", Kind.HISTOGRAM, "s", "Time that one sweep took", bounds=_SWEEP_SECONDS
)
_LAG: Final = _gauge("lag", "s", "Age of the oldest thing that is due or not delivered", integer=False)
_DEAD_LETTERS: Final = _gauge("dead_letters", "{letter}", "Dead letters kept in the ledger")
_SIZE: Final = _gauge("ledger.size", "By", "What the ledger takes on disk")
_UNKNOWN: Final = _counter("schema.unknown_fields", "{field}", "Fields that Letta sent and the bridge does not know")
_RESTARTS: Final = _counter("cursor.restarts", "{restart}", "Pages that did not follow their cursor")
_WAKEUPS: Final = _counter("wakeups", "{request}", "Calls of Letta's webhook, by what became of them")
_INSTRUMENTS: Final = {
    each.name: each
    for each in (
        _REQUESTS, _SPANS, _LOG_EVENTS, _EXPORTS, _SWEEP, _LAG, _DEAD_LETTERS, _SIZE, _UNKNOWN, _RESTARTS, _WAKEUPS
    )
}  # fmt: skip


class SelfMetrics:
    """One method an event."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._resource = Resource.create({"service.name": SERVICE_NAME, "service.version": __version__})
        self._disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
        self._clock = SystemClock()
        self._start_ns = round(self._clock.now() * _NS)
        self._counts: dict[SeriesKey, int] = {}
        self._sweeps = Total()
        self._gauges: dict[str, Mapping[Attributes, float]] = {}
        self._told: dict[SeriesKey, Total] = {}
        self._told_until_ns = self._start_ns
        self._known_unknowns: set[str] = set()
        self._begin_at_zero()

    def request(self, endpoint: str, answer: str) -> None:
        """Letta was asked: the route's template, and the status or the kind of failure."""
        self._add(_REQUESTS, 1, endpoint=endpoint, answer=answer)

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        """The backend took spans, rejected them without saying which, or refused them for good."""
        self._add(_SPANS, count, outcome=outcome)

    def log_events(self, outcome: LogOutcome, count: int) -> None:
        """As `spans`; `unsupported` are those dropped because the backend takes no logs."""
        self._add(_LOG_EVENTS, count, outcome=outcome)

    def metric_exports(self, outcome: ExportOutcome) -> None:
        """The backend took a request with metrics, rejected it or a part of it for good, or cannot take it now."""
        self._add(_EXPORTS, 1, outcome=outcome)

    def sweep(self, seconds: float) -> None:
        """A sweep ended."""
        self._sweeps = self._sweeps.plus(observed_by(_SWEEP, [seconds]))

    def lag(self, seconds: float) -> None:
        """How old the oldest thing is that is due and not visited, or read and not delivered; 0 for nothing."""
        self._set(_LAG, seconds)

    def dead_letters(self, count: int) -> None:
        """How many dead letters the ledger keeps."""
        self._set(_DEAD_LETTERS, count)

    def ledger_size(self, size: int) -> None:
        """What the ledger takes on disk, in bytes."""
        self._set(_SIZE, size)

    def unknown_fields(self, names: Iterable[str]) -> list[str]:
        """Letta sent fields that no model has; each name counts once. Returns those not met before, sorted."""
        new = sorted(set(names) - self._known_unknowns)
        self._known_unknowns.update(new)
        for name in new:
            self._add(_UNKNOWN, 1, field=name)
        return new

    def cursor_restarted(self) -> None:
        """A page did not follow its cursor, and reading began anew."""
        self._add(_RESTARTS, 1)

    def wakeup(self, outcome: WakeOutcome) -> None:
        """The webhook was called: taken, or no news, or no room; or without the key, or with something else."""
        self._add(_WAKEUPS, 1, outcome=outcome)

    def message(self) -> ExportMetricsServiceRequest:
        """Everything so far, cumulative since the start of the process."""
        return self._message({key: Counted(total, self._start_ns) for key, total in self._totals().items()})

    def difference(self) -> ExportMetricsServiceRequest:
        """What came since the last call of this, of counters and histograms; gauges as they are."""
        since_ns, before = self._told_until_ns, self._told
        self._told_until_ns, self._told = self._now_ns(), self._totals()
        moved = {key: total for key, total in self._told.items() if before.get(key) != total}
        return self._message(
            {key: Counted(minus(total, before.get(key, Total())), since_ns) for key, total in moved.items()},
            delta=True,
        )

    def _message(self, counted: Mapping[SeriesKey, Counted], *, delta: bool = False) -> ExportMetricsServiceRequest:
        if self._disabled:
            return ExportMetricsServiceRequest()
        return metrics_request(
            counted,
            self._gauges,
            now_ns=self._now_ns(),
            resource=self._resource,
            delta=delta,
            instruments=_INSTRUMENTS,
        )

    def _now_ns(self) -> int:
        """No point ends before it began, wherever the clock was set."""
        return max(round(self._clock.now() * _NS), self._told_until_ns)

    def _add(self, counter: Instrument, count: int, **attributes: str) -> None:
        key: SeriesKey = (counter.name, tuple(attributes.items()))
        before = self._counts.get(key)
        if before is None and sum(name == counter.name for name, _ in self._counts) >= _MAX_SERIES:
            key = (counter.name, OVERFLOW)
            before = self._counts.get(key)
        self._counts[key] = (before or 0) + count

    def _totals(self) -> dict[SeriesKey, Total]:
        totals = {key: Total(sum=count) for key, count in self._counts.items()}
        if self._sweeps.count:
            totals[_SWEEP.name, ()] = self._sweeps
        return totals

    def _set(self, instrument: Instrument, value: float) -> None:
        self._gauges[instrument.name] = {(): value}

    def _begin_at_zero(self) -> None:
        for outcome in _OUTCOMES:
            self.spans(outcome, 0)
        for log_outcome in _LOG_OUTCOMES:
            self.log_events(log_outcome, 0)
        for export_outcome in _EXPORT_OUTCOMES:
            self._add(_EXPORTS, 0, outcome=export_outcome)
        for answer in _TELLING_ANSWERS:
            self._add(_REQUESTS, 0, endpoint=_RUNS, answer=answer)
        self._add(_RESTARTS, 0)
        for wake_outcome in _WAKE_OUTCOMES:
            self._add(_WAKEUPS, 0, outcome=wake_outcome)
