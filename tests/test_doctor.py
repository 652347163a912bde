"""What the doctor says, read aloud: each line names what is wrong and what to do."""

import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from receivers import HttpReceiver, says

from bridge import app
from bridge.clock import SystemClock
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.doctor import examine
from bridge.hosting import hosted
from bridge.settings import load

KEY = "sk-canary-0123456789"


@pytest.fixture
async def letta() -> AsyncIterator[tuple[str, StandIn]]:
    standin = StandIn(Store(SystemClock()))
    async with hosted(standin.app) as url:
        yield url, standin


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


async def lines(tmp_path: Path, **environ: str) -> tuple[int, dict[str, str]]:
    out = io.StringIO()
    given = {"LETTA_API_KEY": KEY, "BRIDGE_LEDGER": str(tmp_path / "ledger"), **environ}
    code = await examine(load(given, None), out)
    assert KEY not in out.getvalue()
    return code, {line.split(":")[0]: line.partition(": ")[2] for line in out.getvalue().splitlines()}


async def test_all_is_well(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    async with HttpReceiver() as backend:
        url = backend.url
        code, said = await lines(tmp_path, LETTA_BASE_URL=letta[0], OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert code == 0
    assert said["ok   Letta"].startswith(f"{letta[0]} answers; version 0.16.8; cursor of the run list not known yet")
    assert said["ok   traces"] == f"{url}/v1/traces took a probe span"
    assert said["ok   metrics"] == f"{url}/v1/metrics took an empty export"
    assert said["ok   logs"] == f"{url}/v1/logs took an empty export"
    assert backend.requests[0].spans()[0].name == "bridge.doctor"


async def test_nobody_is_at_either_address(closed_port: str, tmp_path: Path) -> None:
    code, said = await lines(tmp_path, LETTA_BASE_URL=closed_port, OTEL_EXPORTER_OTLP_ENDPOINT=closed_port)
    assert code == 1
    assert said["FAIL Letta"] == (
        f"Letta cannot be reached at {closed_port}: Connection refused."
        " Is the server running, and is LETTA_BASE_URL right?"
    )
    assert said["FAIL traces"] == (
        f"{closed_port}/v1/traces: Connection refused."
        " Is the backend running, and is OTEL_EXPORTER_OTLP_ENDPOINT right?"
    )
    assert "ok   ledger" in said, "every check is made, also after one has failed"


async def test_the_key_is_wrong(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    letta[1].api_key = "another"
    _, said = await lines(
        tmp_path, LETTA_BASE_URL=letta[0], OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
    )
    assert said["FAIL Letta"] == (
        f"Letta refused the key (401) for GET /v1/runs/ at {letta[0]}: Unauthorized. Check LETTA_API_KEY."
    )
    assert said["ok   traces"] == "not sent over OTLP (OTEL_TRACES_EXPORTER): nothing to try"


async def test_the_address_is_another_services(tmp_path: Path) -> None:
    async with HttpReceiver().answer(*[says(404, b"nothing here")] * 9) as other:
        code, said = await lines(tmp_path, LETTA_BASE_URL=other.url, OTEL_EXPORTER_OTLP_ENDPOINT=other.url)
    assert code == 1
    assert said["FAIL Letta"].endswith("Is LETTA_BASE_URL a Letta server's address?")
    assert said["FAIL traces"].endswith(
        "Check OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL and its headers."
    )


async def test_a_backend_without_logs_is_no_fault(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    async with HttpReceiver().answer(says(200), says(200), says(405)) as backend:
        code, said = await lines(tmp_path, LETTA_BASE_URL=letta[0], OTEL_EXPORTER_OTLP_ENDPOINT=backend.url)
    assert code == 0
    assert said["ok   logs"].startswith("the backend takes none, so they are dropped (http://127.0.0.1:")
    assert said["ok   logs"].endswith(
        "Set OTEL_LOGS_EXPORTER=none, or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT to one that takes them."
    )


async def test_a_key_that_may_not_write_logs_is_one(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    async with HttpReceiver().answer(says(200), says(200), says(403)) as backend:
        code, said = await lines(tmp_path, LETTA_BASE_URL=letta[0], OTEL_EXPORTER_OTLP_ENDPOINT=backend.url)
    assert code == 1
    assert "answered 403" in said["FAIL logs"]


async def test_a_bridge_is_running_meanwhile(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    environ = {"LETTA_BASE_URL": letta[0]}
    settings = load({**environ, "BRIDGE_LEDGER": str(tmp_path / "ledger")}, None)
    running = await app.stream_ledger(settings, settings.ledger.location, now=0)
    try:
        _, said = await lines(tmp_path, **environ)
    finally:
        await running.close()
    assert "can be written by the bridge that is running" in said["ok   ledger"]


async def test_the_ledgers_folder_is_missing(letta: tuple[str, StandIn], tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    _, said = await lines(tmp_path, LETTA_BASE_URL=letta[0], BRIDGE_LEDGER=str(missing))
    assert str(missing) in said["FAIL ledger"]
