"""POST /step-complete over a real socket: who may call it, and with what."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bridge.clock import SystemClock
from bridge.errors import SettingsError
from bridge.health import Health
from bridge.hook import Hook
from bridge.listening import serving
from bridge.serve import Pages
from bridge.settings import load
from bridge.wake import Outcome

KEY = "k3y-of-the-hook"
STEP = "step-123e4567-e89b-42d3-8456-426614174000"
BODY = json.dumps({"step_id": STEP}).encode()
RIGHT = {"authorization": f"Bearer {KEY}"}


class Calls:
    """What the endpoint passed on."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.counted: list[str] = []

    def wake(self, step_id: str) -> Outcome:
        self.woken.append(step_id)
        return "taken"


async def no_metrics() -> Iterable[ExportMetricsServiceRequest]:
    return []


@asynccontextmanager
async def served(hook: Hook | None) -> AsyncIterator[httpx.AsyncClient]:
    pages = Pages(Health(interval=5, turned_at=0), SystemClock(), no_metrics)
    async with (
        serving(lambda: pages.app(hook=hook), host="127.0.0.1", port=0) as url,
        httpx.AsyncClient(base_url=url, timeout=20) as letta,
    ):
        yield letta


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def letta(calls: Calls) -> AsyncIterator[httpx.AsyncClient]:
    hook = Hook(SecretStr(KEY), calls.wake, calls.counted.append, SystemClock())
    async with served(hook) as letta:
        yield letta


async def post(letta: httpx.AsyncClient, body: bytes = BODY, headers: dict[str, str] = RIGHT) -> httpx.Response:
    return await letta.post("/step-complete", content=body, headers=headers)


async def test_what_letta_posts_is_answered_with_202_and_nothing(letta: httpx.AsyncClient, calls: Calls) -> None:
    answer = await post(letta)
    assert (answer.status_code, answer.content) == (202, b"")
    assert calls.woken == [STEP]
    assert calls.counted == ["taken"]


async def test_without_a_key_set_there_is_no_such_page() -> None:
    async with served(None) as letta:
        assert (await post(letta)).status_code == 404


@pytest.mark.parametrize("given", [
    None, "", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", KEY, f"Basic {KEY}", f"Bearer  {KEY}",
    "Bearer \xff\xfe", "Bearer " + "x" * 9000, f"Bearer {KEY.upper()}",
])  # fmt: skip
async def test_a_wrong_key_is_one_line_and_401(letta: httpx.AsyncClient, calls: Calls, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    answer = await post(letta, headers=headers)  # type: ignore[arg-type] # bytes are what is on the wire
    assert answer.status_code == 401
    assert answer.text.count("\n") == 1
    assert "BRIDGE_WAKE_KEY" in answer.text
    assert KEY not in answer.text
    assert (calls.woken, calls.counted) == ([], ["refused"])


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"step_id": null}', b'{"step_id": 7}', b'{"step_id": ""}',
    b'{"step_id": "run-123e4567-e89b-42d3-8456-426614174000"}',
    b'{"step_id": "step-123e4567-e89b-42d3-8456-426614174000/../../agents"}',
    b'{"step_id": "step-123e4567-e89b-42d3-8456-426614174000\\n"}',
    b'{"step_id": "step-%2e%2e"}', b'{"step_id": ["step-123e4567-e89b-42d3-8456-426614174000"]}',
    b"\xff\xfe\x00", b"[" * 4000, b'{"step_id": ' + b"9" * 4000 + b"}", b"NaN",
    b" " * 5000 + BODY,
])  # fmt: skip
async def test_what_is_no_hook_is_one_line_that_says_what_is_wanted(
    letta: httpx.AsyncClient, calls: Calls, body: bytes
) -> None:
    answer = await post(letta, body)
    assert answer.status_code == 400
    assert (
        answer.text == 'this takes {"step_id": "step-<uuid>"} as JSON, as Letta\'s STEP_COMPLETE_WEBHOOK posts it\n'
    )
    assert (calls.woken, calls.counted) == ([], ["invalid"])
    assert (await post(letta)).status_code == 202


async def test_of_an_endless_body_no_more_is_read_than_a_hook_needs(letta: httpx.AsyncClient, calls: Calls) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 26:
            sent += 1 << 16
            yield b" " * (1 << 16)
            await asyncio.sleep(0)

    try:
        answer = await letta.post("/step-complete", content=endless(), headers=RIGHT)
    except httpx.TransportError:
        pass  # it was cut off while it was still sending
    else:
        assert answer.status_code == 400
    assert sent < 1 << 24
    assert calls.woken == []
    assert (await post(letta)).status_code == 202


async def test_a_body_that_does_not_come_is_not_waited_for(letta: httpx.AsyncClient, calls: Calls) -> None:
    address = urlsplit(str(letta.base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST /step-complete HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
    writer.write(b'content-length: 57\r\n\r\n{"step_id"')
    await writer.drain()
    async with asyncio.timeout(15):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    assert calls.woken == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post(letta: httpx.AsyncClient, calls: Calls, method: str) -> None:
    assert (await letta.request(method, "/step-complete", headers=RIGHT)).status_code == 405
    assert calls.woken == []


async def test_nothing_of_a_call_is_logged_and_a_wrong_key_once(
    letta: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as said:
        for _ in range(100):
            await post(letta, headers={"authorization": "Bearer canary-of-a-guess"})
            await post(letta, b"canary of a body")
            await post(letta)
    (line,) = said
    assert "STEP_COMPLETE_KEY" in line["event"]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("uvicorn", "bridge"))]
    assert ours == []
    assert "canary" not in str(said)


def test_a_key_without_a_page_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"^BRIDGE_WAKE_KEY: it opens a page, and BRIDGE_LISTEN is off; [^\n]+$"):
        load({"BRIDGE_WAKE_KEY": KEY, "BRIDGE_LISTEN": "off"}, None)


def test_the_key_shows_in_no_repr() -> None:
    settings = load({"BRIDGE_WAKE_KEY": KEY}, None)
    assert settings.serve.wake_key is not None
    assert settings.serve.wake_key.get_secret_value() == KEY
    assert KEY not in repr(settings)
    assert KEY not in repr(Hook(settings.serve.wake_key, Calls().wake, print, SystemClock()))
