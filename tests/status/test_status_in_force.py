"""The settings in force: all of them, and no secret."""

from pathlib import Path

import pytest

from bridge.settings import Settings, load
from bridge.settings.fields import rows
from bridge.status.in_force import HIDDEN, Line, in_force

CANARY = "sk-canary-5f3e9b"


def lines(**environ: str) -> dict[str, Line]:
    return {line.name: line for group in in_force(load(environ, None)) for line in group.lines}


def test_every_setting_is_there_in_the_order_of_the_reference() -> None:
    shown = [(line.name, line.variable) for group in in_force(Settings()) for line in group.lines]
    assert shown == [(row.name, row.env) for row in rows(Settings)]


def test_as_they_come() -> None:
    found = lines()
    assert {line.origin for line in found.values()} == {"default", "as otlp"}
    assert found["poll.interval"].value == "5s"
    assert found["poll.start_from"].value == "1h"
    assert found["metrics.export_interval"].value == "1m"
    assert found["letta.requests_per_second"].value == "5"
    assert found["metrics.max_series"].value == "2000"
    assert found["poll.agent_names"].value == "true"
    assert found["map.run_metadata"].value == "run_type"
    assert found["serve.listen"].value == "127.0.0.1:9464"
    assert found["letta.api_key"].value == "not set"
    assert found["otlp.headers"].value == "not set"
    assert found["otlp.endpoint"].value == "not set"


def test_what_is_set_is_told_from_the_default() -> None:
    found = lines(
        BRIDGE_POLL_INTERVAL="1m30s", BRIDGE_SETTLE="15s", BRIDGE_LISTEN="off", BRIDGE_LEDGER="/var/x.ledger"
    )
    assert (found["poll.interval"].value, found["poll.interval"].origin) == ("90s", "set")
    assert found["poll.settle"].origin == "default"
    assert (found["serve.listen"].value, found["serve.listen"].origin) == ("not set", "set")
    assert found["ledger.location"].value == "/var/x.ledger"


@pytest.mark.parametrize(
    ("written", "shown"),
    [("now", "now"), ("beginning", "beginning"), ("2d", "2d"), ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00+00:00")],
)
def test_the_start_reads_as_it_was_written(written: str, shown: str) -> None:
    assert lines(BRIDGE_START_FROM=written)["poll.start_from"].value == shown


def test_a_signal_without_a_setting_of_its_own_has_the_general_one() -> None:
    found = lines(OTEL_EXPORTER_OTLP_TIMEOUT="3", OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="7")
    assert (found["otlp.timeout"].value, found["otlp.timeout"].origin) == ("3s", "set")
    assert (found["otlp.traces.timeout"].value, found["otlp.traces.timeout"].origin) == ("3s", "as otlp")
    assert (found["otlp.logs.timeout"].value, found["otlp.logs.timeout"].origin) == ("7s", "set")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(CANARY)
    secrets = {
        row.env: f"name={CANARY}" if "HEADERS" in row.env else CANARY for row in rows(Settings) if row.kind.secret
    }
    assert len(secrets) >= 5
    for found in (lines(**secrets), lines(LETTA_API_KEY_FILE=str(key_file))):
        assert CANARY not in repr(found)
        assert found["letta.api_key"].value == HIDDEN
        assert found["letta.api_key"].origin == "set"
    assert lines(**secrets)["otlp.headers"].value == f"name={HIDDEN}"


def test_no_query_of_an_address_is_shown() -> None:
    found = lines(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"https://collector/in?api-key={CANARY}",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"https://collector/in#{CANARY}",
        BRIDGE_TRACE_URL=f"https://viewer/{{trace_id}}?token={CANARY}",
    )
    assert CANARY not in repr(found)
    assert found["otlp.traces.endpoint"].value == "https://collector/in…"
    assert found["otlp.logs.endpoint"].value == "https://collector/in…"
    assert found["map.trace_url"].value == "https://viewer/{trace_id}…"


def test_even_an_address_with_a_password_that_was_not_refused_does_not_show_it() -> None:
    settings = Settings()
    letta = settings.letta.model_copy(update={"base_url": f"https://user:{CANARY}@letta/x"})
    found = in_force(settings.model_copy(update={"letta": letta}))
    assert CANARY not in repr(found)
    assert "https://letta/x…" in repr(found)
