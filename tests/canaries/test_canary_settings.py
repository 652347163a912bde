"""A key in the wrong place of the settings: whatever is said about it, it is not said with the key."""

from pathlib import Path

import pytest
from marks import Canaries

from bridge import cli

CANARIES = Canaries()
KEY = f"sk-{CANARIES('key')}"
FILES = {
    "a list": f"letta:\n  api_key: [{KEY}]",
    "no such section": f"lettta:\n  api_key: {KEY}",
    "no such key": f"letta:\n  api_kee: {KEY}",
    "broken YAML": f"letta:\n  api_key: '{KEY}",
    "a tab": f"letta:\n\tapi_key: {KEY}",
    "twice": f"letta:\n  api_key: {KEY}\n  api_key: {KEY}",
    "a line break": f'letta:\n  api_key: "{KEY}\\n{KEY}"',
    "headers without a name": f"otlp:\n  headers: {KEY}",
    "a header with a line break": f'otlp:\n  headers: {{api-key: "{KEY}\\n"}}\n  timeout: never',
    "a header's name": f'otlp:\n  headers: {{"api key": {KEY}}}',
}
VARIABLES = {
    "user info of Letta": {"LETTA_BASE_URL": f"http://user:{KEY}@localhost"},
    "query of Letta": {"LETTA_BASE_URL": f"http://localhost/?key={KEY}"},
    "the key as the address": {"LETTA_BASE_URL": KEY},
    "user info of the backend": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{KEY}@localhost"},
    "query of the backend": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost?key={KEY}"},
    "the key as the backend": {"OTEL_EXPORTER_OTLP_ENDPOINT": KEY},
    "a ledger elsewhere": {"BRIDGE_LEDGER": f"postgres://user:{KEY}@localhost/letta"},
    "headers without names": {"OTEL_EXPORTER_OTLP_HEADERS": KEY},
    "the key as its file": {"LETTA_API_KEY_FILE": "/no/such/file", "LETTA_API_KEY": KEY},
    "a link's user info": {"BRIDGE_TRACE_URL": f"http://user:{KEY}@localhost/{{trace_id}}"},
    "no such variable": {"BRIDGE_LETTA_API_KEY": KEY},
}


def said(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The canaries in what `bridge doctor` says of these settings, which it must refuse."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor"])
    output = capsys.readouterr()
    assert ended.value.code == 2
    assert output.err.startswith("bridge: ")
    return CANARIES.found_in(f"{output.out}{output.err}".encode())


@pytest.mark.parametrize("name", FILES)
def test_in_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(FILES[name])
    monkeypatch.setenv("BRIDGE_CONFIG", str(file))
    monkeypatch.setenv("BRIDGE_POLL_INTERVAL", "wrong in any case")
    assert said(capsys) == set()


@pytest.mark.parametrize("name", VARIABLES)
def test_in_the_environment(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BRIDGE_POLL_INTERVAL", "wrong in any case")
    for variable, value in VARIABLES[name].items():
        monkeypatch.setenv(variable, value)
    assert said(capsys) == set()


def test_one_that_is_quoted_would_be_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no secret by its kind is quoted: else nobody could see the mistake."""
    monkeypatch.setenv("BRIDGE_POLL_INTERVAL", KEY)
    assert said(capsys) == {"key"}
