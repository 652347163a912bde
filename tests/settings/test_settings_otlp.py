"""Endpoints, by the letter of https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from bridge.settings import destination, load, resolve
from bridge.settings.otlp import Signal

GENERAL, TRACES, METRICS, LOGS = (
    f"OTEL_EXPORTER_OTLP_{part}" for part in ("ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT", "LOGS_ENDPOINT")
)
GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        pytest.param({}, "http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics", id="default"),
        pytest.param(
            {GENERAL: "http://collector:4318"},
            "http://collector:4318/v1/traces",
            "http://collector:4318/v1/metrics",
            id="specification, example 1",
        ),
        pytest.param(
            {TRACES: "http://collector:4318", METRICS: "https://collector.example.com/v1/metrics"},
            "http://collector:4318/",
            "https://collector.example.com/v1/metrics",
            id="specification, example 2",
        ),
        pytest.param(
            {GENERAL: "http://collector:4318/mycollector/"},
            "http://collector:4318/mycollector/v1/traces",
            "http://collector:4318/mycollector/v1/metrics",
            id="specification, example 3",
        ),
        pytest.param(
            {GENERAL: "https://host/otlp"},
            "https://host/otlp/v1/traces",
            "https://host/otlp/v1/metrics",
            id="base path",
        ),
        pytest.param(
            {GENERAL: "http://base:1", TRACES: "http://own:2/custom"},
            "http://own:2/custom",
            "http://base:1/v1/metrics",
            id="own beside general",
        ),
        pytest.param(
            {TRACES: "https://own/v1/traces?token=x"},
            "https://own/v1/traces?token=x",
            "http://localhost:4318/v1/metrics",
            id="own with a query",
        ),
        pytest.param(
            {TRACES: "https://own?x=1"}, "https://own/?x=1", "http://localhost:4318/v1/metrics", id="no path"
        ),
        pytest.param(GRPC, "http://localhost:4317", "http://localhost:4317", id="grpc default"),
        pytest.param(
            {**GRPC, GENERAL: "https://collector"}, "https://collector", "https://collector", id="grpc adds no path"
        ),
        pytest.param(
            {**GRPC, GENERAL: "collector:4317"}, "collector:4317", "collector:4317", id="grpc without a scheme"
        ),
        pytest.param(
            {**GRPC, GENERAL: "unix:///run/otel.sock"},
            "unix:///run/otel.sock",
            "unix:///run/otel.sock",
            id="grpc socket",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"},
            "http://localhost:4318/v1/traces",
            "http://localhost:4317",
            id="a protocol of its own",
        ),
    ],
)
def test_addresses(environ: dict[str, str], traces: str, metrics: str) -> None:
    otlp = load(environ, None).otlp
    assert resolve(otlp, "traces").url == traces
    assert resolve(otlp, "metrics").url == metrics


@pytest.mark.parametrize(
    ("environ", "logs"),
    [
        ({}, "http://localhost:4318/v1/logs"),
        ({GENERAL: "http://collector:4318/mycollector/"}, "http://collector:4318/mycollector/v1/logs"),
        ({GENERAL: "http://base:1", TRACES: "http://own:2/custom"}, "http://base:1/v1/logs"),
        ({GENERAL: "http://base:1", LOGS: "http://own:2/custom"}, "http://own:2/custom"),
        ({LOGS: "http://collector:4318"}, "http://collector:4318/"),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "http://localhost:4317"),
        ({**GRPC, GENERAL: "collector:4317"}, "collector:4317"),
    ],
)
def test_addresses_of_logs(environ: dict[str, str], logs: str) -> None:
    assert resolve(load(environ, None).otlp, "logs").url == logs


@pytest.mark.parametrize(
    ("endpoint", "insecure", "expected"),
    [
        ("http://collector:4317", "", True),
        ("http://collector:4317", "false", True),
        ("https://collector:4317", "", False),
        ("https://collector:4317", "true", False),
        ("collector:4317", "", False),
        ("collector:4317", "false", False),
        ("collector:4317", "true", True),
        ("", "", True),
    ],
)
def test_over_grpc_a_scheme_decides_about_tls_and_without_one_insecure_does(
    endpoint: str, insecure: str, *, expected: bool
) -> None:
    environ = {**GRPC, GENERAL: endpoint, "OTEL_EXPORTER_OTLP_INSECURE": insecure}
    assert resolve(load(environ, None).otlp, "traces").insecure is expected


@pytest.mark.parametrize(("endpoint", "expected"), [("http://collector", True), ("https://collector", False)])
def test_over_http_the_scheme_alone_decides_about_tls(endpoint: str, *, expected: bool) -> None:
    for insecure in ("true", "false"):
        environ = {GENERAL: endpoint, "OTEL_EXPORTER_OTLP_INSECURE": insecure}
        assert resolve(load(environ, None).otlp, "metrics").insecure is expected


@pytest.mark.parametrize("signal", get_args(Signal))
def test_a_signals_own_setting_wins_each_for_itself(signal: Signal, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("ca", "own-ca", "key", "own-key", "crt", "own-crt")]
    for file in files:
        file.write_text("")
    ca, own_ca, key, own_key, crt, own_crt = map(str, files)
    general = {
        "OTEL_EXPORTER_OTLP_HEADERS": "a=general,b=general",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": ca,
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": key,
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": crt,
    }
    own = {
        "HEADERS": "a=own",
        "COMPRESSION": "none",
        "TIMEOUT": "10",
        "CERTIFICATE": own_ca,
        "CLIENT_KEY": own_key,
        "CLIENT_CERTIFICATE": own_crt,
    }
    of_one = {f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}": value for name, value in own.items()}
    otlp = load({**general, **of_one}, None).otlp
    signals: tuple[Signal, ...] = get_args(Signal)
    for other in signals:
        if other == signal:
            continue
        general_one = resolve(otlp, other)
        assert general_one.headers == {"a": "general", "b": "general"}
        assert (general_one.compression, general_one.timeout) == ("gzip", 1.0)
        assert general_one.ca_file == Path(ca)
        assert (general_one.client_key, general_one.client_certificate) == (Path(key), Path(crt))
    its_own = resolve(otlp, signal)
    assert its_own.headers == {"a": "own"}
    assert (its_own.compression, its_own.timeout) == ("none", 10.0), "a default, stated, wins too"
    assert its_own.ca_file == Path(own_ca)
    assert (its_own.client_key, its_own.client_certificate) == (Path(own_key), Path(own_crt))


def test_a_signals_own_setting_in_the_file_wins_over_the_general_variable(tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text("otlp: {traces: {compression: none}}")
    otlp = load({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, file).otlp
    assert (resolve(otlp, "traces").compression, resolve(otlp, "metrics").compression) == ("none", "gzip")


def test_a_resolved_endpoint_shows_no_secret() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hidden", TRACES: "http://collector/?token=hidden"}
    assert "hidden" not in repr(resolve(load(environ, None).otlp, "traces"))


@pytest.mark.parametrize(
    ("environ", "signal", "expected"),
    [
        ({}, "traces", "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "traces", "console"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "metrics", "otlp"),
        ({"OTEL_METRICS_EXPORTER": "none"}, "metrics", "none"),
        ({"BRIDGE_EXPORT_FILE": "out.jsonl"}, "traces", "file"),
        ({"BRIDGE_EXPORT_FILE": "out.jsonl"}, "metrics", "file"),
        ({"BRIDGE_EXPORT_FILE": "out.jsonl", "OTEL_METRICS_EXPORTER": "none"}, "metrics", "none"),
        ({}, "logs", "otlp"),
        ({"OTEL_LOGS_EXPORTER": "none"}, "logs", "none"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "logs", "otlp"),
        ({"BRIDGE_EXPORT_FILE": "out.jsonl"}, "logs", "file"),
    ],
)
def test_destination(environ: dict[str, str], signal: Signal, expected: str) -> None:
    assert destination(load(environ, None).export, signal) == expected
