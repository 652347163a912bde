"""Every mistake is one line that can be read aloud: where it was made, what is wrong, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.settings import load


def lines(environ: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, file)
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    return str(caught.value).split("\n")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """bridge.yaml in the directory of the test, so that messages are the same everywhere."""
    monkeypatch.chdir(tmp_path)
    return Path("bridge.yaml")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("BRIDGE_SETTLE", "15", "'15' has no unit; write it like 500ms, 5s, 2h or 1h30m"),
        ("BRIDGE_SETTLE", "soon", "'soon' is not a duration; write it like 500ms, 5s, 2h or 1h30m"),
        ("BRIDGE_POLL_INTERVAL", "10ms", "10ms is less than 100ms"),
        ("BRIDGE_STALE_AFTER", "0", "0s is less than 1s"),
        ("BRIDGE_GRACE", "2h", "2h is more than 1h"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "10000s is more than 10m"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60", "60ms is less than 100ms"),
        (
            "BRIDGE_START_FROM",
            "yesterday",
            "'yesterday' is not now, beginning, an age like 1h, or a time like 2026-01-31T08:00:00Z",
        ),
        ("LETTA_BASE_URL", "localhost:8283", "'localhost:8283' does not start with http:// or https://"),
        ("LETTA_BASE_URL", "https://", "'https://' is not a valid URL"),
        ("LETTA_BASE_URL", "http://host:port", "'http://host:port' is not a valid URL"),
        ("LETTA_BASE_URL", "http://host:0", "'http://host:0' is not a valid URL"),
        ("LETTA_BASE_URL", "http://[::1", "'http://[::1' is not a valid URL"),
        ("LETTA_BASE_URL", "http://my host", "'http://my host' is not a valid URL"),
        (
            "LETTA_BASE_URL",
            "http://host/?a=b",
            "the address holds a ? or a #; only the server's own address belongs here",
        ),
        (
            "LETTA_BASE_URL",
            "http://me:hidden@host",
            "a user name or password in the address would be shown in logs; take it out and set LETTA_API_KEY",
        ),
        (
            "LETTA_API_KEY",
            "hid\nden",
            "the value holds a line break or another character that cannot stand in an HTTP header",
        ),
        ("BRIDGE_LETTA_PROJECT", "prøject", "'prøject' cannot stand in an HTTP header; use printable ASCII"),
        ("BRIDGE_LETTA_CA_FILE", "/nowhere/ca.pem", "there is no file '/nowhere/ca.pem'"),
        ("BRIDGE_LETTA_REQUESTS_PER_SECOND", "few", "'few' is not a number"),
        ("BRIDGE_LETTA_REQUESTS_PER_SECOND", "0", "0 is not between 0.1 and 1000"),
        ("BRIDGE_LETTA_REQUESTS_PER_SECOND", "nan", "nan is not between 0.1 and 1000"),
        ("BRIDGE_LETTA_CONCURRENCY", "2.5", "'2.5' is not a whole number"),
        ("BRIDGE_LETTA_CONCURRENCY", "65", "65 is not between 1 and 64"),
        ("BRIDGE_STEP_DURATIONS", "yes", "'yes' is neither true nor false"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1", "'1' is neither true nor false"),
        ("BRIDGE_LOG_FORMAT", "jsn", "'jsn' is not supported; use text or json"),
        ("BRIDGE_LOG_LEVEL", "trace", "'trace' is not supported; use debug, info, warning or error"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "'http/json' is not supported; use http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate", "'deflate' is not supported; use none or gzip"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin' is not supported; use otlp, console or none"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "deltas",
            "'deltas' is not supported; use cumulative, delta or lowmemory",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b,hidden",
            "entry 2 is not name=value; write a comma within a value as %2C",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hidden", "the name in entry 1 is not a valid header name"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "a=hid%0Aden",
            "the value in entry 1 cannot stand in a header; use printable ASCII",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "host:4318", "'host:4318' does not start with http:// or https://"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://host/?hidden=1",
            "a base address cannot hold a ? or a #; give each signal an endpoint of its own",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://?token=hidden", "'http://' is not a valid URL"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://me:hidden@host",
            "a user name or password in the address would be shown in logs; take it out and send it as a header",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            __file__,
            "a client certificate and its key belong together; set the other one too",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
            __file__,
            "a client certificate and its key belong together; set the other one too",
        ),
        ("BRIDGE_LISTEN", "9464", "'9464' is not an address like 127.0.0.1:9464; write one, or off"),
        ("BRIDGE_LISTEN", "host:70000", "'host:70000' is not an address like 127.0.0.1:9464; write one, or off"),
        (
            "BRIDGE_LEDGER",
            "postgresql://me:hidden@host/db",
            "a ledger behind postgresql:// is not available; give a file, or sqlite:///path/to/file",
        ),
        ("BRIDGE_SETLE", "1s", "there is no such setting; did you mean BRIDGE_SETTLE?"),
        ("BRIDGE_BASE_URL", "http://hidden", "there is no such setting; did you mean LETTA_BASE_URL?"),
        ("BRIDGE_CONFIGS", "x", "there is no such setting; did you mean BRIDGE_CONFIG?"),
        ("BRIDGE_PORT", "9464", "there is no such setting; bridge settings reference lists them all"),
        ("BRIDGE_XQZ_JJJ", "x", "there is no such setting; bridge settings reference lists them all"),
        ("LETTA_API_KEY_FILE", "/nowhere/key", "there is no file '/nowhere/key'"),
    ],
)
def test_a_variable(name: str, text: str, what: str) -> None:
    assert lines({name: text}) == [f"{name}: {what}"]


def test_a_key_that_letta_cloud_needs() -> None:
    what = "no key is set, and api.letta.com needs one; set it, or LETTA_API_KEY_FILE"
    assert lines({"LETTA_BASE_URL": "https://api.letta.com"}) == [f"LETTA_API_KEY: {what}"]
    load({"LETTA_BASE_URL": "https://api.letta.com", "LETTA_API_KEY": "x"}, None)
    load({"LETTA_BASE_URL": "https://api.notletta.com"}, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "poll:\n  intervall: 5s",
            "bridge.yaml:2 poll.intervall: there is no such setting; did you mean poll.interval?",
        ),
        ("interval: 5s", "bridge.yaml:1 interval: there is no such setting; did you mean poll.interval?"),
        ("pol: {interval: 5s}", "bridge.yaml:1 pol: there is no such setting; did you mean poll?"),
        ("zzz: 1", "bridge.yaml:1 zzz: there is no such setting; bridge settings reference lists them all"),
        ("otlp: {trace: {}}", "bridge.yaml:1 otlp.trace: there is no such setting; did you mean otlp.traces?"),
        ("notes: x", "bridge.yaml:1 notes: there is no such setting; bridge settings reference lists them all"),
        (
            "poll: {interval: 5}",
            "bridge.yaml:1 poll.interval: '5' has no unit; write it like 500ms, 5s, 2h or 1h30m",
        ),
        ("- poll", "bridge.yaml:1: this is a list, where sections should be"),
        ("poll", "bridge.yaml:1: this is a single value, where sections should be"),
        ("\npoll: [5s]", "bridge.yaml:2 poll: this is a list, where settings should be"),
        ("poll: 5s", "bridge.yaml:1 poll: this is a single value, where settings should be"),
        ("poll: {settle: [5s]}", "bridge.yaml:1 poll.settle: this is a list, where one value should be"),
        ("poll: {settle: {a: b}}", "bridge.yaml:1 poll.settle: this is a mapping, where one value should be"),
        (
            "map: {run_metadata: [[a]]}",
            "bridge.yaml:1 map.run_metadata: one of its items is a list, where one value should be",
        ),
        (
            "otlp: {headers: {a: {b: hidden}}}",
            "bridge.yaml:1 otlp.headers: one of its items is a mapping, where one value should be",
        ),
        (
            "otlp: {headers: {a b: hidden}}",
            "bridge.yaml:1 otlp.headers: the name in header 1 is not a valid header name",
        ),
        (
            "otlp: {headers: {a: hidden ü}}",
            "bridge.yaml:1 otlp.headers: the value in header 1 cannot stand in a header; use printable ASCII",
        ),
        ("poll: {[a]: b}", "bridge.yaml:1 poll: this is a list, where a name should be"),
        (
            "poll:\n  settle: 1s\n  settle: 2s",
            "bridge.yaml:3 poll.settle: this stands here twice; keep one of them",
        ),
        ("a: b: c", "bridge.yaml:1: this is not YAML: mapping values are not allowed here"),
        (
            "poll:\n\tsettle: 1s",
            "bridge.yaml:2: this is not YAML: found character '\\t' that cannot start any token",
        ),
        ("letta:\n  api_key: *hidden", "bridge.yaml:2: this is not YAML: found undefined alias '…'"),
        ("poll: {}\n---\nmap: {}", "bridge.yaml:2: this is not YAML: but found another document"),
        ("poll: \x07", "bridge.yaml: this is not YAML: special characters are not allowed"),
        (
            "letta: {api_key: a, api_key_file: b}",
            "bridge.yaml:1 letta.api_key_file: bridge.yaml:1 letta.api_key is set too; keep one of them",
        ),
        (
            "letta:\n  base_url: https://api.letta.com\n",
            "LETTA_API_KEY: no key is set, and api.letta.com needs one; set it, or LETTA_API_KEY_FILE",
        ),
    ],
)
def test_the_file(text: str, expected: str, config: Path) -> None:
    config.write_text(text, encoding="utf-8")
    assert lines({}, config) == [expected]


def test_a_file_that_cannot_be_read(config: Path) -> None:
    missing = "bridge.yaml: there is no such file; --config or BRIDGE_CONFIG named it"
    assert lines({}, config) == [missing]
    config.mkdir()
    assert lines({}, config) == ["bridge.yaml: the file cannot be read: Is a directory"]
    config.rmdir()
    config.write_bytes(b"poll: \xff")
    assert lines({}, config) == ["bridge.yaml: the file is not UTF-8 text"]


def test_a_secret_given_twice(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hidden")
    environ = {"LETTA_API_KEY": "hidden", "LETTA_API_KEY_FILE": str(tmp_path / "key")}
    assert lines(environ) == ["LETTA_API_KEY_FILE: LETTA_API_KEY is set too; keep one of them"]


def test_a_file_of_a_secret_that_cannot_be_used(config: Path) -> None:
    key = Path("key")
    key.write_text(" \n")
    assert lines({"LETTA_API_KEY_FILE": "key"}) == ["LETTA_API_KEY_FILE: the file 'key' is empty"]
    key.write_bytes(b"\xff")
    assert lines({"LETTA_API_KEY_FILE": "key"}) == ["LETTA_API_KEY_FILE: the file 'key' is not UTF-8 text"]
    key.write_text("hid\nden")
    assert lines({"LETTA_API_KEY_FILE": "key"}) == [
        "LETTA_API_KEY_FILE: the value holds a line break or another character that cannot stand in an HTTP header"
    ]
    config.write_text("letta: {api_key_file: .}")
    assert lines({}, config) == ["bridge.yaml:1 letta.api_key_file: the file '.' cannot be read: Is a directory"]


def test_everything_is_reported_at_once(config: Path) -> None:
    config.write_text("poll:\n  interval: often\n  setle: 1s\nletta:\n  base_url: https://api.letta.com\nlog: [x]\n")
    environ = {"BRIDGE_SETLE": "1s", "OTEL_EXPORTER_OTLP_PROTOCOL": "udp", "OTEL_EXPORTER_OTLP_ENDPOINT": "host:1"}
    assert lines(environ, config) == [
        "bridge.yaml:3 poll.setle: there is no such setting; did you mean poll.settle?",
        "bridge.yaml:6 log: this is a list, where settings should be",
        "BRIDGE_SETLE: there is no such setting; did you mean BRIDGE_SETTLE?",
        "bridge.yaml:2 poll.interval: 'often' is not a duration; write it like 500ms, 5s, 2h or 1h30m",
        "OTEL_EXPORTER_OTLP_PROTOCOL: 'udp' is not supported; use http/protobuf or grpc",
        "LETTA_API_KEY: no key is set, and api.letta.com needs one; set it, or LETTA_API_KEY_FILE",
    ]


def test_what_a_mistake_may_have_caused_is_not_reported_besides(config: Path) -> None:
    """The key may be there, in what could not be read."""
    environ = {"LETTA_BASE_URL": "https://api.letta.com"}
    for text in (
        "letta: {api_kye: hidden}",
        "letta: {api_key: [hidden]}",
        "letta: {api_key: hidden",
        "letta: hidden",
    ):
        config.write_text(text)
        assert len(lines(environ, config)) == 1
    assert len(lines({**environ, "LETTA_API_KEY_FILE": "nowhere"})) == 1


def test_no_message_shows_a_secret(config: Path) -> None:
    environ = {
        "LETTA_API_KEY": "hidden-ü",
        "LETTA_BASE_URL": "http://me:hidden@host",
        "OTEL_EXPORTER_OTLP_HEADERS": "hidden",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://me:hidden@host",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "me:hidden@host:4317",
        "BRIDGE_LEDGER": "postgresql://me:hidden@host/db",
        "BRIDGE_SECRET": "hidden",
    }
    config.write_text("otlp: {metrics: {headers: {hidden=hidden: hidden}}, traces: {headers: hidden}}\n")
    reported = lines(environ, config)
    assert len(reported) == 9
    assert "hidden" not in "\n".join(reported)
