"""The webhook as Letta calls it: a real POST to a real process, whose next tick would come in an hour."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bridge_process import Stand, standing, until
from receivers import HttpReceiver, hangs, says

KEY = "the-key-of-the-hook"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    once_an_hour = {"BRIDGE_POLL_INTERVAL": "1h", "BRIDGE_SETTLE": "1s", "OTEL_METRICS_EXPORTER": "none"}
    async with standing(tmp_path, **once_an_hour) as stand:
        yield stand


async def post(stand: Stand, step_id: str, key: str = KEY) -> int:
    """The status of the answer."""
    headers = {"authorization": f"Bearer {key}"}
    return (await stand.pages.post("/step-complete", json={"step_id": step_id}, headers=headers)).status_code


async def test_a_step_is_sent_when_letta_says_so_and_its_run_when_it_is_settled(stand: Stand) -> None:
    process = await stand.start("run", BRIDGE_WAKE_KEY=KEY)
    await until(stand.is_ready)
    (step,) = stand.play("text")
    assert await post(stand, step, key="another") == 401
    assert await post(stand, f"step-{uuid.uuid4()}") == 202
    assert await post(stand, step) == 202
    await until(lambda: stand.names() == ["agent_step", "chat", "invoke_agent"])
    assert [await post(stand, step) for _ in range(200)] == [202] * 200
    process.terminate()
    _, log = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, log
    assert stand.names() == ["agent_step", "chat", "invoke_agent"]
    assert KEY.encode() not in log
    assert b"Traceback" not in log


async def test_without_a_key_there_is_no_such_page(stand: Stand) -> None:
    process = await stand.start("run")
    await until(stand.is_ready)
    assert await post(stand, f"step-{uuid.uuid4()}") == 404
    process.terminate()
    await asyncio.wait_for(process.communicate(), 20)


async def test_sigterm_while_a_woken_sweep_hangs_drops_the_read_at_once(stand: Stand) -> None:
    async with HttpReceiver().answer(
        says(200, b'{"version": "1"}'), says(200, b"[]"), says(400), *[hangs] * 9
    ) as letta:
        process = await stand.start("run", BRIDGE_WAKE_KEY=KEY, BRIDGE_GRACE="40s", LETTA_BASE_URL=letta.url)
        await until(lambda: len(letta.requests) >= 4)  # the first walk hangs
        assert await post(stand, f"step-{uuid.uuid4()}") == 202
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, b"Traceback" in log) == (0, False)
    assert time.monotonic() - began < 5
