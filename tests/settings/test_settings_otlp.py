"""Endpoints, by the letter of https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import destination, load, resolve
from bridge.settings.otlp import Signal

GENERAL, TRACES, METRICS = (
    f"OTEL_EXPORTER_OTLP_{part}" for part in ("ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT")
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


def test_a_signals_own_setting_wins_each_for_itself(tmp_path: Path) -> None:
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
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=own",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "10",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": own_ca,
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": own_key,
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": own_crt,
    }
    otlp = load({**general, **own}, None).otlp
    traces, metrics = resolve(otlp, "traces"), resolve(otlp, "metrics")
    assert traces.headers == {"a": "own"}
    assert metrics.headers == {"a": "general", "b": "general"}
    assert (traces.compression, metrics.compression) == ("none", "gzip"), "a default, stated, wins too"
    assert (traces.timeout, metrics.timeout) == (10.0, 1.0)
    assert (traces.ca_file, metrics.ca_file) == (Path(own_ca), Path(ca))
    assert (traces.client_key, metrics.client_key) == (Path(own_key), Path(key))
    assert (traces.client_certificate, metrics.client_certificate) == (Path(own_crt), Path(crt))


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
    ],
)
def test_destination(environ: dict[str, str], signal: Signal, expected: str) -> None:
    assert destination(load(environ, None).export, signal) == expected
