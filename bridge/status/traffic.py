"""What both sides were asked and said, read off the bridge's own metrics; since the start of the process. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric

Counts = Mapping[str, int]

_OUTCOMES: Final = {"traces": "letta_bridge.spans", "logs": "letta_bridge.log_events"}
_EXPORTS: Final = "letta_bridge.metric_exports"
_SWEEPS: Final = "letta_bridge.sweep.duration"
_WAKEUPS: Final = "letta_bridge.wakeups"
_THE_REST: Final = "others"  # what has no room for a series of its own
_GOOD: Final = ("2", "404")  # a record that is not there is an answer like any other


@dataclass(frozen=True, slots=True)
class Route:
    """One route of Letta's API.

    Attributes:
        template: `/v1/runs/{id}`.
        answers: how many of each, the most frequent first; statuses, and words where there was none.
    """

    template: str
    answers: Counts

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.answers.values())


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests and answers.

    Attributes:
        known: whether there are figures at all; OTEL_SDK_DISABLED takes them away.
        routes: of Letta's API, the most used first.
        outcomes: by signal (traces, metrics, logs) what became of its spans, requests or events.
        wakeups: calls of Letta's webhook, by what became of them.
        sweeps: how many ended.
        sweep_seconds: what they took together.
    """

    known: bool
    routes: Sequence[Route]
    outcomes: Mapping[str, Counts]
    wakeups: Counts
    sweeps: int
    sweep_seconds: float


def is_good(answer: str) -> bool:
    """Whether an answer of Letta's is nothing to look at."""
    return answer.startswith(_GOOD)


def traffic(message: ExportMetricsServiceRequest) -> Traffic:
    """Read the bridge's own metrics."""
    metrics = {metric.name: metric for metric in _metrics(message)}
    sweeps = _histogram(metrics.get(_SWEEPS))
    return Traffic(
        known=bool(metrics),
        routes=_routes(metrics.get("letta_bridge.requests")),
        outcomes={
            "traces": _outcomes(metrics.get(_OUTCOMES["traces"])),
            "metrics": _outcomes(metrics.get(_EXPORTS)),
            "logs": _outcomes(metrics.get(_OUTCOMES["logs"])),
        },
        wakeups=_outcomes(metrics.get(_WAKEUPS)),
        sweeps=sum(point.count for point in sweeps),
        sweep_seconds=sum(point.sum for point in sweeps),
    )


def _metrics(message: ExportMetricsServiceRequest) -> Iterator[Metric]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def _routes(metric: Metric | None) -> list[Route]:
    answers: dict[str, dict[str, int]] = {}
    for attributes, count in _points(metric):
        if count:
            route, answer = attributes.get("endpoint", _THE_REST), attributes.get("answer", _THE_REST)
            answers.setdefault(route, {})[answer] = count
    routes = [Route(template, dict(sorted(each.items(), key=_most))) for template, each in answers.items()]
    return sorted(routes, key=lambda route: (-route.total, route.template))


def _most(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def _outcomes(metric: Metric | None) -> dict[str, int]:
    return {attributes.get("outcome", _THE_REST): count for attributes, count in _points(metric)}


def _points(metric: Metric | None) -> Iterator[tuple[Mapping[str, str], int]]:
    for point in metric.sum.data_points if metric else ():
        count = point.as_int if point.HasField("as_int") else round(point.as_double)
        yield {pair.key: pair.value.string_value for pair in point.attributes}, count


def _histogram(metric: Metric | None) -> Sequence[HistogramDataPoint]:
    return metric.histogram.data_points if metric else ()
