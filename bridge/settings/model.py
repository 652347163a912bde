"""The settings: one frozen tree, and the only place where a setting's name, default and meaning are written.

Durations are floats of seconds. Secrets are SecretStr, so that no repr shows them. What a user wrote is checked in
`bridge.settings.load`; here only the kinds of the values are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import SecretStr

from bridge.listen import Address
from bridge.settings.addresses import BASE_URL, ENDPOINT, LEDGER, LISTEN, TRACE_URL
from bridge.settings.durations import START_FROM, StartFrom, duration
from bridge.settings.fields import Section, section, setting
from bridge.settings.secrecy import HEADERS, SECRET, Headers
from bridge.settings.values import FILE, HEADER_TEXT, NAMES, PATH, SWITCH, TEXT, choice, number, whole

Protocol = Literal["http/protobuf", "grpc"]
Compression = Literal["none", "gzip"]
Exporter = Literal["otlp", "console", "none"]
Temporality = Literal["cumulative", "delta", "lowmemory"]
Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Letta(Section):
    """The Letta server that is read."""

    base_url: Annotated[str, BASE_URL] = setting(
        "http://localhost:8283",
        "LETTA_BASE_URL",
        "Address of the server, without /v1. Letta Cloud is https://api.letta.com.",
    )
    api_key: Annotated[SecretStr | None, SECRET] = setting(
        None,
        "LETTA_API_KEY",
        "Key of Letta Cloud, or the password of a server that asks for one; sent as a bearer token.",
    )
    project: Annotated[str | None, HEADER_TEXT] = setting(
        None,
        "BRIDGE_LETTA_PROJECT",
        "Letta Cloud: slug of the project to read, sent as X-Project.",
        example="my-project",
    )
    project_id: Annotated[str | None, HEADER_TEXT] = setting(
        None,
        "BRIDGE_LETTA_PROJECT_ID",
        "Letta Cloud: id of the project to read, sent as X-Project-Id.",
        example="00000000-0000-4000-8000-000000000000",
    )
    ca_file: Annotated[Path | None, FILE] = setting(
        None,
        "BRIDGE_LETTA_CA_FILE",
        "Certificates (PEM) to trust instead of the default ones.",
        example="/etc/ssl/certs/internal-ca.pem",
    )
    timeout: Annotated[float, duration("100ms", "10m")] = setting(
        "30s", "BRIDGE_LETTA_TIMEOUT", "Longest wait for one answer."
    )
    requests_per_second: Annotated[float, number(0.1, 1000)] = setting(
        "5", "BRIDGE_LETTA_REQUESTS_PER_SECOND", "The budget over all requests to the server."
    )
    concurrency: Annotated[int, whole(1, 64)] = setting(
        "4", "BRIDGE_LETTA_CONCURRENCY", "Requests in flight at the same time, at most."
    )


class Poll(Section):
    """When runs and steps are looked for, and when they count as over."""

    interval: Annotated[float, duration("100ms", "1d")] = setting(
        "5s", "BRIDGE_POLL_INTERVAL", "Time from the start of one sweep to the start of the next."
    )
    start_from: Annotated[StartFrom, START_FROM] = setting(
        "1h",
        "BRIDGE_START_FROM",
        "What the first sweep begins with: now, beginning, an age, or an ISO time (UTC where it names no zone). "
        "A ledger that has been used goes on where it stopped.",
    )
    overlap: Annotated[float, duration("0", "1d")] = setting(
        "5m",
        "BRIDGE_OVERLAP",
        "How far back behind the newest run it looks, at start and once a minute, for runs that show up late.",
    )
    settle: Annotated[float, duration("0", "1h")] = setting(
        "15s",
        "BRIDGE_SETTLE",
        "Longest wait for what belongs to a final step or run: messages, durations, the stop reason.",
    )
    abandon_after: Annotated[float, duration("0", "1d")] = setting(
        "1m", "BRIDGE_ABANDON_AFTER", "Grace for a step that is still pending when its run is over."
    )
    stale_after: Annotated[float, duration("1s", "365d")] = setting(
        "6h", "BRIDGE_STALE_AFTER", "An open run without news for this long is closed as stale."
    )
    watch_for: Annotated[float, duration("0", "365d")] = setting(
        "7d",
        "BRIDGE_WATCH_FOR",
        "How long a run that was sent is looked at again, ever more rarely, for what changes late: a cancel, "
        "feedback, tags. 0 leaves it alone.",
    )
    step_durations: Annotated[bool, SWITCH] = setting(
        "true",
        "BRIDGE_STEP_DURATIONS",
        "Ask for each step's measured durations; one request a step. Without them its times are estimated.",
    )
    agent_names: Annotated[bool, SWITCH] = setting(
        "true",
        "BRIDGE_AGENT_NAMES",
        "Ask for the names of agents; one request an agent. Without them spans show ids.",
    )


class Map(Section):
    """How records become spans."""

    cancelled_is_error: Annotated[bool, SWITCH] = setting(
        "true", "BRIDGE_CANCELLED_IS_ERROR", "Whether the spans of what was cancelled have the status ERROR."
    )
    run_metadata: Annotated[tuple[str, ...], NAMES] = setting(
        "run_type",
        "BRIDGE_RUN_METADATA",
        "The keys of a run's metadata that become attributes; separated by commas in the variable.",
    )
    service_per_agent: Annotated[bool, SWITCH] = setting(
        "false",
        "BRIDGE_SERVICE_PER_AGENT",
        "Send each agent's spans and log events under a service.name of its own: the agent's name, else its id. "
        "The one of OTEL_SERVICE_NAME becomes their service.namespace.",
    )
    trace_url: Annotated[str | None, TRACE_URL] = setting(
        None,
        "BRIDGE_TRACE_URL",
        "Address of a trace in your viewer, with {trace_id} where the id goes: for the links in alerts.",
        example="http://localhost:16686/trace/{trace_id}",
    )


class OtlpEndpoint(Section):
    """Where and how one signal is sent over OTLP."""

    endpoint: Annotated[str | None, ENDPOINT] = setting(
        None,
        "ENDPOINT",
        "Address of the receiver; where none is given http://localhost:4318, or http://localhost:4317 with grpc. "
        "Over HTTP the general one is a base to which /v1/traces, /v1/metrics or /v1/logs is added, and a signal's "
        "own is used as it stands. With grpc, host:port alone means TLS.",
        example="http://localhost:4318",
        shown=False,
    )
    protocol: Annotated[Protocol, choice(Protocol)] = setting(
        "http/protobuf", "PROTOCOL", "How the receiver is spoken to."
    )
    headers: Annotated[Headers, HEADERS] = setting(
        "",
        "HEADERS",
        "Headers of each request, such as an API key. In the variable: name=value,name=value with values "
        "percent-encoded. In the file also a mapping of names to plain values.",
        example="{api-key: your-key}",
    )
    compression: Annotated[Compression, choice(Compression)] = setting(
        "none", "COMPRESSION", "Compression of each request."
    )
    timeout: Annotated[float, duration("1ms", "10m")] = setting(
        "10s",
        "TIMEOUT",
        "Longest wait for one answer. In the variable a plain number is seconds, as in the Python exporters.",
        bare="s",
    )
    certificate: Annotated[Path | None, FILE] = setting(
        None,
        "CERTIFICATE",
        "Certificates (PEM) to trust instead of the default ones.",
        example="/etc/ssl/certs/internal-ca.pem",
    )
    client_key: Annotated[Path | None, FILE] = setting(
        None, "CLIENT_KEY", "Private key (PEM) of the client certificate.", example="/etc/bridge/client.key"
    )
    client_certificate: Annotated[Path | None, FILE] = setting(
        None,
        "CLIENT_CERTIFICATE",
        "Certificate (PEM) for a receiver that asks for one.",
        example="/etc/bridge/client.pem",
    )
    insecure: Annotated[bool, SWITCH] = setting(
        "false", "INSECURE", "With grpc and an address without http:// or https://: plain text instead of TLS."
    )


class Otlp(OtlpEndpoint):
    """Where spans, metrics and log events are sent: the standard OTLP settings, for all signals."""

    traces: OtlpEndpoint = section(prefix="OTEL_EXPORTER_OTLP_TRACES_")
    metrics: OtlpEndpoint = section(prefix="OTEL_EXPORTER_OTLP_METRICS_")
    logs: OtlpEndpoint = section(prefix="OTEL_EXPORTER_OTLP_LOGS_")


class Export(Section):
    """Which way spans, metrics and log events leave."""

    traces: Annotated[Exporter, choice(Exporter)] = setting(
        "otlp", "OTEL_TRACES_EXPORTER", "Where spans go; console prints them, none drops them."
    )
    metrics: Annotated[Exporter, choice(Exporter)] = setting(
        "otlp",
        "OTEL_METRICS_EXPORTER",
        "Where metrics go; console prints them, none sends none. The page /metrics shows them in any case.",
    )
    logs: Annotated[Exporter, choice(Exporter)] = setting(
        "otlp",
        "OTEL_LOGS_EXPORTER",
        "Where log events go; console prints them, none drops them. Where the backend takes no logs they are "
        "dropped, and that is said once.",
    )
    file: Annotated[Path | None, PATH] = setting(
        None,
        "BRIDGE_EXPORT_FILE",
        "A file to which everything that would be sent over OTLP is written instead.",
        example="spans.jsonl",
    )


class Metrics(Section):
    """How metrics are sent."""

    export_interval: Annotated[float, duration("100ms", "1d")] = setting(
        "60s",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "Time between two exports of the totals. In the variable a plain number is milliseconds.",
        bare="ms",
    )
    temporality: Annotated[Temporality, choice(Temporality)] = setting(
        "cumulative",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "What the backend gets: totals since the ledger began, or (delta) the differences since the last export, the "
        "first one since the ledger began. lowmemory is the same as delta here. The page /metrics has totals in any "
        "case.",
    )

    agents: Annotated[bool, SWITCH] = setting(
        "false",
        "BRIDGE_METRICS_AGENTS",
        "Put the agent (id and name) on all metrics of steps, tools and runs: series multiply with the agents.",
    )
    max_series: Annotated[int, whole(10, 1_000_000)] = setting(
        "2000",
        "BRIDGE_METRICS_MAX_SERIES",
        "Sets of attributes that one metric may have; what comes past them is counted in one set for the rest, "
        "otel.metric.overflow.",
    )
    cost: Annotated[bool, SWITCH] = setting(
        "true",
        "BRIDGE_METRICS_COST",
        "Count what the tokens cost, in US dollars, by the list prices that this version knows.",
    )


class Backfill(Section):
    """The command `bridge backfill`."""

    requests_per_second: Annotated[float, number(0.1, 1000)] = setting(
        "5",
        "BRIDGE_BACKFILL_REQUESTS_PER_SECOND",
        "The budget of a backfill over all its requests to the server, beside the service's own.",
    )


class Ledger(Section):
    """Where the bridge remembers what is delivered."""

    location: Annotated[Path, LEDGER] = setting(
        "bridge.ledger", "BRIDGE_LEDGER", "File of the ledger, made where there is none; also as sqlite:///path."
    )


class Serve(Section):
    """The bridge as a service."""

    listen: Annotated[Address | None, LISTEN] = setting(
        "127.0.0.1:9464",
        "BRIDGE_LISTEN",
        "Address of the status page, /metrics and the health pages; off serves none.",
    )
    grace: Annotated[float, duration("0", "1h")] = setting(
        "10s", "BRIDGE_GRACE", "Time to finish and commit the batch in flight after SIGTERM."
    )
    wake_key: Annotated[SecretStr | None, SECRET] = setting(
        None,
        "BRIDGE_WAKE_KEY",
        "Opens /step-complete on that address to Letta's webhook, so that a step is read when it is over and not at "
        "the next interval. Set STEP_COMPLETE_KEY of the Letta server to the same, and STEP_COMPLETE_WEBHOOK to "
        "http://<this address>/step-complete.",
    )


class Log(Section):
    """The bridge's own log, on stderr."""

    level: Annotated[Level, choice(Level)] = setting("info", "BRIDGE_LOG_LEVEL", "The least important lines to show.")
    format: Annotated[LogFormat, choice(LogFormat)] = setting(
        "text", "BRIDGE_LOG_FORMAT", "Lines of key=value, or one JSON object a line."
    )


class Settings(Section):
    """Everything a user can set, and `notes`: what was understood otherwise than it was written."""

    service_name: Annotated[str, TEXT] = setting(
        "letta",
        "OTEL_SERVICE_NAME",
        "The service.name of all that is sent. A service.name in OTEL_RESOURCE_ATTRIBUTES wins over the file.",
    )
    letta: Letta = section()
    poll: Poll = section()
    map: Map = section()
    otlp: Otlp = section(prefix="OTEL_EXPORTER_OTLP_")
    export: Export = section()
    metrics: Metrics = section()
    ledger: Ledger = section()
    backfill: Backfill = section()
    serve: Serve = section()
    log: Log = section()
    notes: tuple[str, ...] = ()
