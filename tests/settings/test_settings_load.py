"""Where a setting comes from: defaults, the file, the environment, files of secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from bridge.settings import Settings, find_config, load, secret_values
from bridge.settings.fields import Key, Row, Section, rows, sections

TABLE = tuple(rows(Settings))

# Where the kind alone does not say what a value looks like: what the file holds, what the variable holds.
SAMPLES = {
    "letta.base_url": ("http://file:1", "http://variable:1"),
    "ledger.location": ("file.ledger", "variable.ledger"),
    "serve.listen": ("127.0.0.1:1", "off"),
    "export.file": ("file.jsonl", "variable.jsonl"),
    "poll.start_from": ("now", "beginning"),
    "letta.requests_per_second": ("7", "8.5"),
    "backfill.requests_per_second": ("3", "4.5"),
    "letta.concurrency": ("7", "8"),
    "map.trace_url": ("http://file/{trace_id}", "http://variable/{trace_id}"),
    "metrics.max_series": ("70", "80"),
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def value(settings: Section, row: Row) -> Any:
    part: Any = settings
    for name in row.key:
        part = getattr(part, name)
    return part


def samples(row: Row, folder: Path) -> tuple[str, str]:
    """What the file holds, differing from the default, and what the variable holds, differing from the file."""
    if row.name in SAMPLES:
        return SAMPLES[row.name]
    if words := row.kind.schema.get("enum"):
        return words[-1], words[0]
    if row.kind.words == "file":
        return str(write(folder / "one.pem", "")), str(write(folder / "two.pem", ""))
    by_kind = {
        "URL, or host:port for grpc": ("http://file:1", "http://variable:1"),
        "duration": ("7s", "8s"),
        "true or false": ("false", "true") if row.default == "true" else ("true", "false"),
        "name=value,name=value": ("a=file", "a=variable"),
    }
    return by_kind.get(row.kind.words, ("file", "variable"))


def document(folder: Path, key: Key, text: str) -> Path:
    tree: Any = text
    for name in reversed(key):
        tree = {name: tree}
    return write(folder / "bridge.yaml", yaml.safe_dump(tree))


def partner(row: Row, folder: Path) -> dict[str, str]:
    """A client key needs its certificate and the other way round."""
    name = row.env.replace("CLIENT_KEY", "CLIENT_CERTIFICATE")
    if name == row.env:
        name = row.env.replace("CLIENT_CERTIFICATE", "CLIENT_KEY")
    return {name: str(write(folder / "partner.pem", ""))} if name != row.env else {}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.env)
def test_the_variable_wins_over_the_file(row: Row, tmp_path: Path) -> None:
    in_file, in_variable = samples(row, tmp_path)
    file = document(tmp_path, row.key, in_file)
    environ = partner(row, tmp_path)
    by_default = value(load({}, None), row)
    by_file = value(load(environ, file), row)
    by_variable = value(load({**environ, row.env: in_variable}, None), row)
    assert by_file != by_default
    assert by_variable != by_file
    assert value(load({**environ, row.env: in_variable}, file), row) == by_variable
    assert value(load({**environ, row.env: ""}, file), row) == by_file, "an empty variable counts as unset"


def test_the_words_of_the_standard_may_be_in_upper_case() -> None:
    environ = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "LowMemory"}
    assert load(environ, None).metrics.temporality == "lowmemory"


def test_the_defaults() -> None:
    settings = load({}, None)
    assert settings.letta.base_url == "http://localhost:8283"
    assert settings.letta.api_key is None
    assert (settings.letta.timeout, settings.letta.requests_per_second, settings.letta.concurrency) == (30.0, 5.0, 4)
    assert (settings.poll.interval, settings.poll.overlap, settings.poll.settle) == (5.0, 300.0, 15.0)
    assert (settings.poll.abandon_after, settings.poll.stale_after) == (60.0, 21600.0)
    assert settings.poll.start_from.since(now=10_000.0) == 6400.0
    assert (settings.poll.step_durations, settings.poll.agent_names) == (True, True)
    assert settings.map.cancelled_is_error is True
    assert settings.map.run_metadata == ("run_type",)
    assert (settings.metrics.export_interval, settings.metrics.temporality) == (60.0, "cumulative")
    assert (settings.export.traces, settings.export.metrics, settings.export.file) == ("otlp", "otlp", None)
    assert settings.ledger.location == Path("bridge.ledger")
    assert (str(settings.serve.listen), settings.serve.grace) == ("127.0.0.1:9464", 10.0)
    assert (settings.log.level, settings.log.format) == ("info", "text")
    assert (settings.service_name, settings.notes) == ("letta", ())


def test_no_two_settings_share_a_variable() -> None:
    names = [row.env for row in TABLE] + [row.file_env for row in TABLE if row.kind.secret]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", [(), *(key for key, _ in sections(Settings))], ids=".".join)
def test_no_part_can_be_changed(key: tuple[str, ...]) -> None:
    part: Any = load({}, None)
    for name in key:
        part = getattr(part, name)
    for name in type(part).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, None)


def test_settings_are_equal_and_hashable_by_value() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "BRIDGE_RUN_METADATA": "x,y"}
    assert load(environ, None) == load(environ, None)
    assert hash(load(environ, None)) == hash(load(environ, None))


def test_text_in_the_file_means_what_it_says(tmp_path: Path) -> None:
    """YAML 1.1 would make false, 5400 and a date of these."""
    file = write(
        tmp_path / "bridge.yaml", "serve: {listen: off}\npoll: {start_from: 2026-01-31}\nservice_name: 1:30\n"
    )
    settings = load({}, file)
    assert settings.serve.listen is None
    assert settings.poll.start_from.moment == 1769817600.0
    assert settings.service_name == "1:30"


def test_lists_and_mappings_in_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "bridge.yaml", "map: {run_metadata: [a, b]}\notlp: {headers: {API-Key: 'x,y=%41'}}\n")
    settings = load({}, file)
    assert settings.map.run_metadata == ("a", "b")
    assert [(name, value.get_secret_value()) for name, value in settings.otlp.headers] == [("api-key", "x,y=%41")]


def test_an_empty_list_is_a_value(tmp_path: Path) -> None:
    assert load({}, write(tmp_path / "bridge.yaml", "map: {run_metadata: []}")).map.run_metadata == ()


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "poll:\n", "poll:\n  settle:\n", "poll: {settle: ''}\n", "poll: ~"]
)
def test_what_is_left_empty_is_unset(text: str, tmp_path: Path) -> None:
    assert load({}, write(tmp_path / "bridge.yaml", text)) == load({}, None)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load({}, write(tmp_path / "bridge.yaml", "\ufeffpoll: {settle: 1s}")).poll.settle == 1.0


def test_standard_variables_count_in_the_units_of_their_standard() -> None:
    environ = {"OTEL_METRIC_EXPORT_INTERVAL": "1500", "OTEL_EXPORTER_OTLP_TIMEOUT": "7"}
    environ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] = "0.5"
    settings = load(environ, None)
    assert settings.metrics.export_interval == 1.5
    assert settings.otlp.timeout == 7.0
    assert settings.otlp.traces.timeout == 0.5


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind.secret], ids=lambda row: row.env)
def test_a_secret_comes_from_a_file(row: Row, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "name=from-a-file\n")
    expected = value(load({row.env: "name=from-a-file"}, None), row)
    assert value(load({row.file_env: str(secret)}, None), row) == expected
    assert value(load({}, document(tmp_path, row.file_key, str(secret))), row) == expected


def test_a_secret_in_the_environment_wins_over_a_file_named_in_the_yaml(tmp_path: Path) -> None:
    file = write(tmp_path / "bridge.yaml", f"letta: {{api_key_file: {write(tmp_path / 'secret', 'from-file')}}}")
    key = load({"LETTA_API_KEY": "from-environment"}, file).letta.api_key
    assert key
    assert key.get_secret_value() == "from-environment"


def test_no_repr_shows_a_secret() -> None:
    environ = {
        "LETTA_API_KEY": "sk-hidden-1",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hidden-2",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector/v1/traces?token=hidden-3",
    }
    settings = load(environ, None)
    assert "hidden" not in f"{settings!r} {settings}"
    assert "hidden" not in f"{settings.letta.model_dump()} {settings.letta.model_dump_json()} {settings.otlp.headers}"


def test_all_secrets_are_known_for_masking() -> None:
    environ = {
        "LETTA_API_KEY": "key",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20token-1,x-mlflow-experiment-id=0",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=token-2",
    }
    assert secret_values(load(environ, None)) == {"key", "Bearer token-1", "token-1", "token-2"}


def test_variables_of_other_programs_are_left_alone() -> None:
    environ = {
        "LETTA_PG_URI": "x",
        "OTEL_BSP_SCHEDULE_DELAY": "x",
        "LETTA_BASE_URLS": "x",
        "BRIDGE_CONFIG": "x",
        "PATH": "x",
    }
    assert load(environ, None) == load({}, None)


def test_what_kubernetes_says_about_a_service_called_bridge_is_no_setting() -> None:
    environ = {
        "BRIDGE_SERVICE_HOST": "10.0.0.1",
        "BRIDGE_SERVICE_PORT": "9464",
        "BRIDGE_SERVICE_PORT_HTTP": "9464",
        "BRIDGE_PORT": "tcp://10.0.0.1:9464",
        "BRIDGE_PORT_9464_TCP": "tcp://10.0.0.1:9464",
        "BRIDGE_PORT_9464_TCP_PROTO": "tcp",
        "BRIDGE_METRICS_PORT_9464_TCP_ADDR": "10.0.0.1",
    }
    assert load(environ, None) == load({}, None)


def test_v1_at_the_end_of_the_address_is_left_out_with_a_note() -> None:
    settings = load({"LETTA_BASE_URL": "https://host/letta/v1/"}, None)
    assert settings.letta.base_url == "https://host/letta"
    assert settings.notes == ("LETTA_BASE_URL: the trailing /v1 is left out, the bridge adds it by itself",)


def test_the_file_is_the_given_one_else_the_named_one_else_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config({}, None) is None
    (tmp_path / "config").mkdir()
    write(tmp_path / "config" / "bridge.yaml", "")
    assert find_config({}, None) == Path("config/bridge.yaml")
    assert find_config({"BRIDGE_CONFIG": ""}, None) == Path("config/bridge.yaml")
    assert find_config({"BRIDGE_CONFIG": "named.yaml"}, None) == Path("named.yaml")
    assert find_config({"BRIDGE_CONFIG": "named.yaml"}, Path("given.yaml")) == Path("given.yaml")
