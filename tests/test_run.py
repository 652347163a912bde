"""`bridge run` and `bridge once` as a person starts them: real processes between the stand-in and a receiver."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from unittest import mock

import httpx
import pytest
from receivers import HttpReceiver, hangs, says
from starlette.types import Receive, Scope, Send

from bridge import app
from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from bridge.settings import load

FAST = {
    "BRIDGE_POLL_INTERVAL": "200ms",
    "BRIDGE_SETTLE": "300ms",
    "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
    "BRIDGE_START_FROM": "1h",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
}
Process = asyncio.subprocess.Process


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Return when the condition holds; fail the test when it does not in time."""
    end = time.monotonic() + seconds
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.05)


class Stand:
    """A Letta stand-in, a receiver, and how to start a bridge between them."""

    def __init__(self, letta: str, store: Store, backend: HttpReceiver, folder: Path) -> None:
        self.store = store
        self.backend = backend
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.page = f"127.0.0.1:{free.getsockname()[1]}"
        self.environ = {
            "PATH": os.environ["PATH"],
            "LETTA_BASE_URL": letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "BRIDGE_LEDGER": str(folder / "ledger"),
            "BRIDGE_LISTEN": self.page,
            **FAST,
        }

    async def start(self, *arguments: str, **environ: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridge",
            *arguments,
            env={**self.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def is_up(self) -> bool:
        async with httpx.AsyncClient() as browser:
            try:
                return (await browser.get(f"http://{self.page}/livez")).is_success
            except httpx.TransportError:
                return False

    def names(self) -> list[str]:
        traces = [request for request in self.backend.requests if request.path == "/v1/traces"]
        return sorted(span.name.split()[0] for request in traces for span in request.spans())


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as backend:
        yield Stand(letta, store, backend, tmp_path)


def play(stand: Stand, name: str) -> None:
    recording.load(name).play(stand.store, time.time() - 60)


TOOL_OK = ["agent_step", "agent_step", "chat", "chat", "execute_tool", "invoke_agent"]


async def test_run_follows_until_sigterm_and_goes_on_where_it_stopped(stand: Stand) -> None:
    play(stand, "tool_ok")
    first = await stand.start("run")
    await until(lambda: stand.names() == TOOL_OK)

    async def counted() -> bool:
        async with httpx.AsyncClient() as browser:
            return "letta_steps_total" in (await browser.get(f"http://{stand.page}/metrics")).text

    await until(counted)
    first.send_signal(signal.SIGTERM)
    output, log = await asyncio.wait_for(first.communicate(), 15)
    assert (first.returncode, output) == (0, b"")
    assert b"Traceback" not in log
    assert b"stopped" in log.splitlines()[-1]

    play(stand, "text")
    second = await stand.start("run")
    await until(lambda: len(stand.names()) >= len(TOOL_OK) + 3)
    second.send_signal(signal.SIGINT)
    await asyncio.wait_for(second.communicate(), 15)
    assert stand.names() == sorted([*TOOL_OK, "agent_step", "chat", "invoke_agent"])


async def test_kill_9_at_any_moment_loses_nothing(stand: Stand) -> None:
    for name in ("multi_step", "tool_raises", "parallel_tools"):
        play(stand, name)
    for delay in (0.3, 0.6, 0.9, 1.2):
        process = await stand.start("run")
        await asyncio.sleep(delay)  # the moment is arbitrary on purpose: whatever it hits must not matter
        process.kill()
        await process.communicate()
    last = await stand.start("run")
    steps = {row.id for row in stand.store.rows(Table.STEPS)}

    def delivered() -> set[str]:
        spans = [s for r in stand.backend.requests if r.path == "/v1/traces" for s in r.spans()]
        found = {a.value.string_value for s in spans for a in s.attributes if a.key == "letta.step.id"}
        return found if sum(s.name.startswith("invoke_agent") for s in spans) >= 3 else set()

    await until(stand.is_up)
    await until(lambda: delivered() == steps)
    last.terminate()
    await last.communicate()
    assert last.returncode == 0


async def test_sigterm_while_the_backend_is_away_exits_in_time_and_keeps_the_batch(stand: Stand) -> None:
    play(stand, "tool_ok")
    stand.backend.answer(*[says(503)] * 2)
    process = await stand.start("run")
    await until(lambda: len(stand.backend.requests) >= 1)
    process.terminate()
    _, log = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0, log
    assert (await (await stand.start("once")).communicate()) is not None
    await until(lambda: stand.names().count("invoke_agent") >= 1)


async def ended(process: Process) -> tuple[float, bytes]:
    """Send SIGTERM; the seconds until the end, and the log."""
    began = time.monotonic()
    process.terminate()
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, log
    assert b"Traceback" not in log
    return time.monotonic() - began, log


ANSWERS = [b'{"version": "0.16.8"}', b"[]", b"[]", b"[]"]  # to the probe, and the list of runs


@pytest.mark.parametrize("answered", [0, 1, 2, 3])
async def test_sigterm_while_letta_hangs_drops_the_read_at_once(stand: Stand, answered: int) -> None:
    good = [says(200, body, "application/json") for body in ANSWERS[:answered]]
    async with HttpReceiver().answer(*good, *[hangs] * 20) as letta:
        process = await stand.start("run", LETTA_BASE_URL=letta.url, BRIDGE_GRACE="40s")
        await until(lambda: len(letta.requests) > answered)
        await until(stand.is_up)
        seconds, _ = await ended(process)
    assert seconds < 4  # a second or two, on a machine that does other things as well


async def test_sigterm_while_letta_hangs_in_the_middle_of_a_run_drops_the_read_at_once(stand: Stand) -> None:
    play(stand, "tool_ok")
    server = StandIn(stand.store).app
    reached = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("/messages"):
            reached.set()
            await asyncio.Event().wait()
        await server(scope, receive, send)

    async with hosted(hanging) as letta:
        process = await stand.start("run", LETTA_BASE_URL=letta, BRIDGE_GRACE="40s")
        await asyncio.wait_for(reached.wait(), 30)
        await until(stand.is_up)
        seconds, _ = await ended(process)
    assert seconds < 4
    assert stand.names() == []


async def test_sigterm_while_the_backend_hangs_waits_for_the_grace_time_and_says_so(stand: Stand) -> None:
    play(stand, "tool_ok")
    stand.backend.answer(*[hangs] * 20)
    process = await stand.start("run", BRIDGE_GRACE="1s")
    await until(lambda: len(stand.backend.requests) >= 1)
    await until(stand.is_up)
    seconds, log = await ended(process)
    assert b"the grace time is over" in log
    assert seconds < 4  # the grace time, and the end of the pages


async def test_once_says_what_happened(stand: Stand) -> None:
    play(stand, "text")
    done = await stand.start("once")
    await done.communicate()
    assert done.returncode == 0
    assert stand.names() == ["agent_step", "chat", "invoke_agent"]

    play(stand, "text")
    stand.backend.answer(says(503))
    waiting = await stand.start("once", OTEL_METRICS_EXPORTER="none")
    await waiting.communicate()
    assert waiting.returncode == 5

    unreachable = await stand.start("once", LETTA_BASE_URL="http://127.0.0.1:1")
    _, log = await unreachable.communicate()
    assert unreachable.returncode == 4
    assert b"Letta cannot be reached at http://127.0.0.1:1: Connection refused." in log
    assert b"Traceback" not in log


async def test_once_finds_all_runs_however_many_pages_they_take(stand: Stand) -> None:
    for _ in range(12):
        play(stand, "text")
    with mock.patch.multiple("bridge.sweep.discovery", _FIRST_PAGE=5, FULL_PAGE=5, _ENOUGH=10):
        assert await app.once(load(stand.environ, None)) == 0
    assert stand.names().count("invoke_agent") == 12


async def test_dry_run_prints_and_remembers_nothing(stand: Stand, tmp_path: Path) -> None:
    play(stand, "tool_ok")
    process = await stand.start("once", "--dry-run")
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"invoke_agent" in output
    assert stand.backend.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("environ", "line"), [
    ({"LETTA_BASE_URL": "ftp://x"}, "bridge: LETTA_BASE_URL: 'ftp://x' does not start with http:// or https://"),
    ({"BRIDGE_SETTEL": "5s"}, "bridge: BRIDGE_SETTEL: there is no such setting; did you mean BRIDGE_SETTLE?"),
])  # fmt: skip
async def test_a_wrong_setting_is_one_line_and_exit_code_2(stand: Stand, environ: dict[str, str], line: str) -> None:
    process = await stand.start("run", **environ)
    output, log = await process.communicate()
    assert (process.returncode, output, log.decode().strip()) == (2, b"", line)


async def test_a_ledger_in_use_is_one_line_and_exit_code_3(stand: Stand) -> None:
    first = await stand.start("run")
    await until(stand.is_up)
    second = await stand.start("once")
    _, log = await second.communicate()
    first.terminate()
    await first.communicate()
    assert second.returncode == 3
    assert b"another bridge is using it" in log
    assert len(log.splitlines()) == 1


async def test_help_names_every_command(stand: Stand) -> None:
    process = await stand.start("--help")
    output, _ = await process.communicate()
    assert all(f"    {name} ".encode() in output for name in ("run", "once", "doctor", "demo", "settings"))
