"""docs/telemetry.md: every metric, span, attribute and log event, from what the code itself goes by.

`python -m bridge.reference` prints it, and a test compares the committed page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric

from bridge.exposition import render
from bridge.map.attributes import ATTRIBUTES, LOG_EVENTS, METRIC_ATTRIBUTES, SPAN_EVENTS, SPANS, Attribute, Shape
from bridge.map.instruments import CATALOGUE, Instrument, Kind
from bridge.observe import SelfMetrics

_HEAD = """\
# Telemetry

What the bridge sends, by the GenAI conventions of OpenTelemetry v1.41; all of Letta's own is `letta.*`. An attribute
is left out where Letta has no value for it. No prompt, answer, tool argument or tool result is among them.

## Spans

```text
invoke_agent {agent}       the run
└─ agent_step              one for each step
   ├─ chat {model}         the step's request to the model
   └─ execute_tool {tool}  one for each tool that ran
```

A name in a span's name is one line of at most 128 characters. A span has the status ERROR where its run, step or tool
failed, was cancelled (`BRIDGE_CANCELLED_IS_ERROR`) or abandoned.

With `BRIDGE_SERVICE_PER_AGENT` spans and log events go under a service for each agent: `service.name` is the agent's
name, else its id, and `service.namespace` is the service of the deployment; metrics stay with the deployment. A run
keeps the name under which its first span went, also where the agent is renamed meanwhile: later runs go under the new
one. Where the name could not be read at first, what was sent until then is under the id, and so is a step without a
run. Two agents of one name share a service.
"""

_LOG_HEAD = """
## Log events

Each is in the context of the span that it is about, and its body is one line for a person. Of a run that failed, was
cancelled or abandoned there is one only where none of its steps has one. These six have the time of the span's end;
what changed later has no time of its own, only that of the look that saw it. With `BRIDGE_CANCELLED_IS_ERROR=false`
what is cancelled is INFO.
"""

_METRICS_HEAD = """
## Metrics

Totals count from the start of the bridge's ledger and are exact across restarts. With `BRIDGE_METRICS_AGENTS`
`gen_ai.agent.id` and `gen_ai.agent.name` stand on all of them but the gauges. A metric has at most
`BRIDGE_METRICS_MAX_SERIES` sets of attributes; what comes past them is in the set `otel.metric.overflow`. The
measurements of histograms name their span as exemplar.

`letta.cost` goes by the list prices that the installed `genai-prices` brings along, as of the time of the request: no
discount, no batch or priority tier, and never a look online; a newer version of the package knows newer prices. A
model without a list price counts in `letta.cost.unpriced_tokens` instead: one that nobody lists, or one whose
endpoint is on your own machines (a private address, or a name without a dot). Tokens that come late are priced as of
the end of the run's last step.
"""

_OWN_HEAD = """
## The bridge's own metrics

"""


def reference() -> str:
    """The page."""
    parts = [_HEAD, *map(_shape, SPANS), "\n## Events within spans\n", *map(_shape, SPAN_EVENTS)]
    parts += [_LOG_HEAD, *map(_shape, LOG_EVENTS), _METRICS_HEAD, *_instruments(), _bounds()]
    parts += ["\nAttributes that metrics alone have:\n", _attributes(METRIC_ATTRIBUTES), _OWN_HEAD, *_own()]
    return "".join(parts)


def _shape(shape: Shape) -> str:
    return (
        f"\n### {shape.name}\n\n{shape.about}\n{_attributes({name: ATTRIBUTES[name] for name in shape.attributes})}"
    )


def _attributes(attributes: Mapping[str, Attribute]) -> str:
    rows = (f"| `{name}` | {known.meaning} | {known.source} |\n" for name, known in attributes.items())
    return f"\n| Attribute | Meaning | From |\n|---|---|---|\n{''.join(rows)}"


def _instruments() -> Iterator[str]:
    yield "\n| OTLP | Prometheus | Kind | Unit | Attributes | Meaning |\n|---|---|---|---|---|---|\n"
    for instrument in CATALOGUE.values():
        yield _metric_row(_message(instrument), instrument.attributes)


def _bounds() -> str:
    by_bounds: dict[tuple[float, ...], list[str]] = {}
    for instrument in CATALOGUE.values():
        if instrument.bounds:
            by_bounds.setdefault(instrument.bounds, []).append(f"`{instrument.name}`")
    rows = (
        f"| {', '.join(names)} | {', '.join(f'{bound:.10g}' for bound in bounds)} |\n"
        for bounds, names in by_bounds.items()
    )
    return f"\n| Histogram | Upper bounds of its buckets |\n|---|---|\n{''.join(rows)}"


def _own() -> Iterator[str]:
    yield "| OTLP | Prometheus | Kind | Unit | Attributes | Meaning |\n|---|---|---|---|---|---|\n"
    for metric in own_metrics():
        data = getattr(metric, metric.WhichOneof("data") or "gauge")
        names = {pair.key for point in data.data_points for pair in point.attributes}
        yield _metric_row(metric, sorted(names))


def own_metrics() -> list[Metric]:
    """The bridge's own, each after one event."""
    seen = SelfMetrics()
    seen.request("/v1/runs/", "200")
    seen.sweep(1.0)
    seen.lag(0.0)
    seen.dead_letters(0)
    seen.ledger_size(0)
    seen.unknown_fields(["Step.new"])
    groups = seen.message().resource_metrics
    return [metric for group in groups for scope in group.scope_metrics for metric in scope.metrics]


def _metric_row(metric: Metric, attributes: Iterable[str]) -> str:
    names = ", ".join(f"`{name}`" for name in attributes)
    kind = {"sum": "counter"}.get(metric.WhichOneof("data") or "", metric.WhichOneof("data"))
    about = metric.description.rstrip(".") + "."
    return f"| `{metric.name}` | `{_prometheus(metric)}` | {kind} | `{metric.unit}` | {names} | {about} |\n"


def _prometheus(metric: Metric) -> str:
    """The family's name as the bridge's own page has it."""
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.append(metric)
    page, _ = render([request])
    return next(line.split()[2] for line in page.decode().splitlines() if line.startswith("# TYPE"))


def _message(instrument: Instrument) -> Metric:
    """As it would be exported, with one point."""
    metric = Metric(name=instrument.name, unit=instrument.unit, description=instrument.description)
    if instrument.kind is Kind.GAUGE:
        metric.gauge.data_points.add().as_int = 0
        return metric
    data = metric.sum if instrument.kind is Kind.COUNTER else metric.histogram
    data.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    data.data_points.add()
    if instrument.kind is Kind.COUNTER:
        metric.sum.is_monotonic = True
    return metric


if __name__ == "__main__":
    sys.stdout.write(reference())
