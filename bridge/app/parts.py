"""The parts at the edges as the settings want them: Letta's client, the backend, the ledger, the user's choices."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bridge.clock import Clock
from bridge.export.answers import Signal, Sink
from bridge.export.console import ConsoleSink
from bridge.export.encode import encode_batches
from bridge.export.endpoint import Endpoint
from bridge.export.examples import Examples
from bridge.export.logs import encode_log_batches
from bridge.export.route import RoutedSink
from bridge.export.sink import open_sink
from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_beside, open_ledger
from bridge.log import get_logger
from bridge.map.options import MapOptions
from bridge.observe import SelfMetrics
from bridge.resource import resource
from bridge.settings import Settings, destination, resolve, secret_values
from bridge.source.client import Access
from bridge.sweep.sender import Sender
from bridge.sweep.visit import Wanted

_log = get_logger(__name__)

DESTINATION = "default"  # what the ledger calls the backend: there is one, and it has no name of its own yet


def access(settings: Settings) -> Access:
    """How to reach the Letta server of these settings."""
    letta = settings.letta
    return Access(
        base_url=letta.base_url,
        api_key=letta.api_key.get_secret_value() if letta.api_key else None,
        project=letta.project,
        project_id=letta.project_id,
        ca_file=letta.ca_file,
        timeout=letta.timeout,
        requests_per_second=letta.requests_per_second,
    )


def endpoint(settings: Settings, signal: Signal) -> Endpoint | None:
    """Where a signal goes over OTLP; None where it does not."""
    if destination(settings.export, signal.value) != "otlp":
        return None
    return Endpoint(**asdict(resolve(settings.otlp, signal.value)))


def addresses(settings: Settings) -> Mapping[Signal, str]:
    """Where each signal goes, by scheme, host and port, or by the kind of exporter; none for what goes nowhere."""
    kinds = {signal: destination(settings.export, signal.value) for signal in Signal}
    found = {signal: endpoint(settings, signal) for signal, kind in kinds.items() if kind != "none"}
    return {signal: _authority(to.url) if to else kinds[signal] for signal, to in found.items()}


def _authority(url: str) -> str:
    """Of an URL, or of a gRPC target as it stands."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else url


async def stream_ledger(settings: Settings, location: Path, *, now: float) -> Ledger:
    """The ledger of the stream that these settings describe, for the service."""
    return await open_ledger(
        str(location),
        source=source_name(settings),
        destination=DESTINATION,
        now=now,
        max_series=settings.metrics.max_series,
    )


async def ledger_beside(settings: Settings, *, now: float) -> Ledger:
    """The same, for a command beside a running service."""
    location = str(settings.ledger.location)
    return await open_beside(
        location,
        source=source_name(settings),
        destination=DESTINATION,
        now=now,
        max_series=settings.metrics.max_series,
    )


def source_name(settings: Settings) -> str:
    """What the ledger calls the Letta server of these settings."""
    letta = settings.letta
    return "#".join(part for part in (letta.base_url, letta.project, letta.project_id) if part)


def map_options(settings: Settings) -> MapOptions:
    """The user's choices about spans."""
    return MapOptions(
        cancelled_is_error=settings.map.cancelled_is_error,
        run_metadata=frozenset(settings.map.run_metadata),
        metrics_of_agents=settings.metrics.agents,
        cost=settings.metrics.cost,
        trace_url=settings.map.trace_url,
    )


def masking(settings: Settings) -> Callable[[str], str]:
    """Takes out of a text what these settings keep secret: a reason may repeat what was sent to who gave it."""
    endpoints = filter(None, (endpoint(settings, signal) for signal in Signal))
    secrets = {*secret_values(settings), *(secret for one in endpoints for secret in one.secrets())}
    if not secrets:
        return str
    pattern = re.compile("|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True)))
    return lambda text: pattern.sub("***", text)


def wants_differences(settings: Settings) -> bool:
    """Whether the backend is told differences; one that is told nothing has not been told those either."""
    return settings.metrics.temporality != "cumulative" and destination(settings.export, "metrics") != "none"


def wanted(settings: Settings) -> Wanted:
    """What a visit asks for beyond the steps."""
    poll = settings.poll
    return Wanted(lengths=poll.step_durations, agent_names=poll.agent_names, settle=poll.settle)


def sender(
    settings: Settings,
    sink: Sink,
    ledger: Ledger,
    metrics: SelfMetrics,
    examples: Examples | None = None,
    *,
    clock: Clock | None = None,
) -> Sender:
    """What hands batches to the backend: encoded under the services that the user wants."""
    of_letta, per_agent = resource(settings), settings.map.service_per_agent
    return Sender(
        sink,
        ledger,
        partial(encode_batches, resource=of_letta, per_agent=per_agent),
        partial(encode_log_batches, resource=of_letta, per_agent=per_agent),
        metrics,
        examples=examples,
        clock=clock,
    )


def backend(settings: Settings, clock: Clock) -> Sink:
    """Where the signals of these settings go."""
    otlp = open_sink(*(endpoint(settings, signal) for signal in Signal), clock=clock)
    sinks: dict[Signal, Sink] = {}
    for signal in Signal:
        kind = destination(settings.export, signal.value)
        if kind == "otlp":
            sinks[signal] = otlp
        elif kind == "console":
            sinks[signal] = ConsoleSink(sys.stdout)
        elif kind == "file":
            from bridge.export.file import FileSink  # noqa: PLC0415 - takes protobuf's JSON along: only where chosen

            assert settings.export.file is not None
            sinks[signal] = FileSink(settings.export.file)
    return RoutedSink(sinks)


def report_unknown(metrics: SelfMetrics) -> Callable[[str], None]:
    """Called with the name of a field that Letta sends and the bridge does not know."""

    def report(name: str) -> None:
        metrics.unknown_fields([name])
        _log.info("Letta sends a field that is not known here: it is ignored", field=name)

    return report
