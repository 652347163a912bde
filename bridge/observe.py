"""The bridge's own metrics, `letta_bridge.*`: instruments of the OpenTelemetry SDK, read when asked for.

They describe this process and begin at zero with it, unlike the Letta totals, which live in the ledger. They have a
resource of their own and touch nothing global. OTEL_RESOURCE_ATTRIBUTES adds to the resource; OTEL_SDK_DISABLED
leaves `message` empty. Counters that an alert may rest on exist at zero before their first event: else Prometheus's
`increase` sees a new series at one, and no increase.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from bridge import __version__

SERVICE_NAME: Final = "letta-otel-bridge"

SpanOutcome = Literal["accepted", "rejected", "dead"]
LogOutcome = Literal["accepted", "rejected", "dead", "unsupported"]
ExportOutcome = Literal["accepted", "rejected", "waiting"]

_OUTCOMES: Final[tuple[SpanOutcome, ...]] = ("accepted", "rejected", "dead")
_LOG_OUTCOMES: Final[tuple[LogOutcome, ...]] = (*_OUTCOMES, "unsupported")
_EXPORT_OUTCOMES: Final[tuple[ExportOutcome, ...]] = ("accepted", "rejected", "waiting")
_RUNS: Final = "/v1/runs/"  # asked for at every tick
_TELLING_ANSWERS: Final = ("401", "403", "429", "500", "502", "503", "504", "timeout", "unreachable", "disconnected")
_DELTAS: Final[dict[type, AggregationTemporality]] = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
_SWEEP_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class SelfMetrics:
    """One method an event."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._reader = InMemoryMetricReader()
        self._differences = InMemoryMetricReader(preferred_temporality=_DELTAS)
        resource = Resource.create({"service.name": SERVICE_NAME, "service.version": __version__})
        provider = MeterProvider(metric_readers=[self._reader, self._differences], resource=resource)
        meter = provider.get_meter("bridge", __version__)
        counter, gauge = meter.create_counter, meter.create_gauge
        self._requests = counter("letta_bridge.requests", "{request}", "Requests to Letta's API")
        self._spans = counter("letta_bridge.spans", "{span}", "Spans, by what became of them")
        self._log_events = counter("letta_bridge.log_events", "{event}", "Log events, by what became of them")
        self._exports = counter(
            "letta_bridge.metric_exports", "{request}", "Requests with metrics, by what became of them"
        )
        self._sweep = meter.create_histogram(
            "letta_bridge.sweep.duration",
            "s",
            "Time that one sweep took",
            explicit_bucket_boundaries_advisory=_SWEEP_SECONDS,
        )
        self._lag = gauge("letta_bridge.lag", "s", "Age of the oldest thing that is due or not delivered")
        self._dead_letters = gauge("letta_bridge.dead_letters", "{letter}", "Dead letters kept in the ledger")
        self._size = gauge("letta_bridge.ledger.size", "By", "What the ledger takes on disk")
        self._unknown = counter(
            "letta_bridge.schema.unknown_fields", "{field}", "Fields that Letta sent and the bridge does not know"
        )
        self._restarts = counter(
            "letta_bridge.cursor.restarts", "{restart}", "Pages that did not follow their cursor"
        )
        self._known_unknowns: set[str] = set()
        self._begin_at_zero()

    def request(self, endpoint: str, answer: str) -> None:
        """Letta was asked: the route's template, and the status or the kind of failure."""
        self._requests.add(1, {"endpoint": endpoint, "answer": answer})

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        """The backend took spans, rejected them without saying which, or refused them for good."""
        self._spans.add(count, {"outcome": outcome})

    def log_events(self, outcome: LogOutcome, count: int) -> None:
        """As `spans`; `unsupported` are those dropped because the backend takes no logs."""
        self._log_events.add(count, {"outcome": outcome})

    def metric_exports(self, outcome: ExportOutcome) -> None:
        """The backend took a request with metrics, rejected it or a part of it for good, or cannot take it now."""
        self._exports.add(1, {"outcome": outcome})

    def sweep(self, seconds: float) -> None:
        """A sweep ended."""
        self._sweep.record(seconds)

    def lag(self, seconds: float) -> None:
        """How old the oldest thing is that is due and not visited, or read and not delivered; 0 for nothing."""
        self._lag.set(seconds)

    def dead_letters(self, count: int) -> None:
        """How many dead letters the ledger keeps."""
        self._dead_letters.set(count)

    def ledger_size(self, size: int) -> None:
        """What the ledger takes on disk, in bytes."""
        self._size.set(size)

    def unknown_fields(self, names: Iterable[str]) -> list[str]:
        """Letta sent fields that no model has; each name counts once. Returns those not met before, sorted."""
        new = sorted(set(names) - self._known_unknowns)
        self._known_unknowns.update(new)
        for name in new:
            self._unknown.add(1, {"field": name})
        return new

    def cursor_restarted(self) -> None:
        """A page did not follow its cursor, and reading began anew."""
        self._restarts.add(1)

    def message(self) -> ExportMetricsServiceRequest:
        """Everything so far, cumulative since the start of the process."""
        data = self._reader.get_metrics_data()
        return encode_metrics(data) if data else ExportMetricsServiceRequest()

    def difference(self) -> ExportMetricsServiceRequest:
        """What came since the last call of this, of counters and histograms; gauges as they are."""
        data = self._differences.get_metrics_data()
        return encode_metrics(data) if data else ExportMetricsServiceRequest()

    def _begin_at_zero(self) -> None:
        for outcome in _OUTCOMES:
            self.spans(outcome, 0)
        for log_outcome in _LOG_OUTCOMES:
            self.log_events(log_outcome, 0)
        for export_outcome in _EXPORT_OUTCOMES:
            self._exports.add(0, {"outcome": export_outcome})
        for answer in _TELLING_ANSWERS:
            self._requests.add(0, {"endpoint": _RUNS, "answer": answer})
        self._restarts.add(0)
