"""How single values are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import load
from bridge.settings.durations import seconds, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("0.5s", 0.5),
        ("1m", 60.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("1d2h3m4s5ms", 93784.005),
        ("0", 0.0),
        ("0s", 0.0),
        (" 5s ", 5.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "5", "0.5", "5 s", "5S", "-5s", "5s5", "1e3s", ".5s", "5sec", "ms5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 500ms, 5s, 2h or 1h30m"):
        seconds(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1500ms"), (15, "15s"), (90, "90s"), (3600, "1h"), (172800, "2d")],
)
def test_durations_in_messages(value: float, expected: str) -> None:
    assert written(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", 1_800_000_000.0),
        ("1h", 1_799_996_400.0),
        ("beginning", 0.0),
        ("Beginning", 0.0),
        ("100000d", 0.0),
        ("2026-01-31T08:00:00Z", 1769846400.0),
        ("2026-01-31T08:00:00", 1769846400.0),
        ("2026-01-31T10:00:00+02:00", 1769846400.0),
    ],
)
def test_start_from(text: str, expected: float) -> None:
    assert load({"BRIDGE_START_FROM": text}, None).poll.start_from.since(now=1_800_000_000.0) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://localhost:8283", "http://localhost:8283"),
        ("https://host/", "https://host"),
        ("https://host/v1", "https://host"),
        ("https://host/v1/", "https://host"),
        ("https://host/letta/v1//", "https://host/letta"),
        ("https://host/api1/xv1", "https://host/api1/xv1"),
        ("HTTP://host", "http://host"),
        ("http://[::1]:8283/", "http://[::1]:8283"),
    ],
)
def test_base_url(text: str, expected: str) -> None:
    assert load({"LETTA_BASE_URL": text}, None).letta.base_url == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("off", None),
        ("OFF", None),
    ],
)
def test_listen(text: str, expected: tuple[str, int] | None) -> None:
    listen = load({"BRIDGE_LISTEN": text}, None).serve.listen
    assert (listen and (listen.host, listen.port)) == expected
    assert listen is None or str(listen) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data/bridge.ledger", Path("data/bridge.ledger")),
        ("sqlite:///bridge.ledger", Path("bridge.ledger")),
        ("sqlite:////var/lib/bridge.ledger", Path("/var/lib/bridge.ledger")),
    ],
)
def test_ledger(text: str, expected: Path) -> None:
    assert load({"BRIDGE_LEDGER": text}, None).ledger.location == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key1=value1,key2=value2", {"key1": "value1", "key2": "value2"}),
        (" Key1 = value1 , ,key2=value2, ", {"key1": "value1", "key2": "value2"}),
        ("authorization=Bearer%20abc%3D", {"authorization": "Bearer abc="}),
        ("authorization=Basic dXNlcjpwYXNz==", {"authorization": "Basic dXNlcjpwYXNz=="}),
        ("a=x%2Cy", {"a": "x,y"}),
        ("a=50%", {"a": "50%"}),
        ("a=", {"a": ""}),
        ("a=1,A=2", {"a": "2"}),
    ],
)
def test_headers(text: str, expected: dict[str, str]) -> None:
    headers = load({"OTEL_EXPORTER_OTLP_HEADERS": text}, None).otlp.headers
    assert {name: value.get_secret_value() for name, value in headers} == expected


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("TRUE", True), ("false", False), ("False", False)])
def test_switches(text: str, *, expected: bool) -> None:
    assert load({"BRIDGE_AGENT_NAMES": text}, None).poll.agent_names is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a,b", ("a", "b")), (" a , ,b,", ("a", "b")), ("a", ("a",)), (",", ())]
)
def test_names(text: str, expected: tuple[str, ...]) -> None:
    assert load({"BRIDGE_RUN_METADATA": text}, None).map.run_metadata == expected


def test_a_file_below_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").write_text("")
    settings = load({"BRIDGE_LETTA_CA_FILE": "~/ca.pem", "BRIDGE_LEDGER": "~/bridge.ledger"}, None)
    assert settings.letta.ca_file == tmp_path / "ca.pem"
    assert settings.ledger.location == tmp_path / "bridge.ledger"
