"""`bridge run` and `bridge once` as a person starts them: real processes between the stand-in and a receiver."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest
from bridge_process import Process, Stand, standing, until
from receivers import HttpReceiver, hangs, says
from starlette.types import Receive, Scope, Send

from bridge import app
from bridge.demo.standin.rows import Table
from bridge.hosting import hosted
from bridge.settings import load


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path, BRIDGE_START_FROM="1h") as stand:
        yield stand


TOOL_OK = ["agent_step", "agent_step", "chat", "chat", "execute_tool", "invoke_agent"]


async def test_run_follows_until_sigterm_and_goes_on_where_it_stopped(stand: Stand) -> None:
    stand.play("tool_ok")
    first = await stand.start("run")
    await until(lambda: stand.names() == TOOL_OK)

    async def counted() -> bool:
        return "letta_steps_total" in (await stand.pages.get("/metrics")).text

    await until(counted)
    first.send_signal(signal.SIGTERM)
    output, log = await asyncio.wait_for(first.communicate(), 15)
    assert (first.returncode, output) == (0, b"")
    assert b"Traceback" not in log
    assert b"stopped" in log.splitlines()[-1]

    stand.play("text")
    second = await stand.start("run")
    await until(lambda: len(stand.names()) >= len(TOOL_OK) + 3)
    second.send_signal(signal.SIGINT)
    await asyncio.wait_for(second.communicate(), 15)
    assert stand.names() == sorted([*TOOL_OK, "agent_step", "chat", "invoke_agent"])


async def test_kill_9_at_any_moment_loses_nothing(stand: Stand) -> None:
    stand.play("multi_step", "tool_raises", "parallel_tools")
    for asked, sent in ((1, 0), (4, 0), (7, 0), (0, 1)):  # so much more was heard of it: the moments are arbitrary
        before, taken = len(stand.asked) + asked, len(stand.backend.requests) + sent
        process = await stand.start("run")
        await until(lambda: len(stand.asked) >= before and len(stand.backend.requests) >= taken)  # noqa: B023
        process.kill()
        await process.communicate()
    last = await stand.start("run")

    await until(stand.is_up)
    await until(lambda: set(stand.runs()) == set(stand.ids(Table.RUNS)))
    assert set(stand.steps()) == set(stand.ids(Table.STEPS))
    last.terminate()
    await last.communicate()
    assert last.returncode == 0


async def test_sigterm_while_the_backend_is_away_exits_in_time_and_keeps_the_batch(stand: Stand) -> None:
    stand.play("tool_ok")
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
    stand.play("tool_ok")
    reached = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("/messages"):
            reached.set()
            await asyncio.Event().wait()
        await stand.letta.app(scope, receive, send)

    async with hosted(hanging) as letta:
        process = await stand.start("run", LETTA_BASE_URL=letta, BRIDGE_GRACE="40s")
        await asyncio.wait_for(reached.wait(), 30)
        await until(stand.is_up)
        seconds, _ = await ended(process)
    assert seconds < 4
    assert stand.names() == []


async def test_sigterm_while_the_backend_hangs_waits_for_the_grace_time_and_says_so(stand: Stand) -> None:
    stand.play("tool_ok")
    stand.backend.answer(*[hangs] * 20)
    process = await stand.start("run", BRIDGE_GRACE="1s")
    await until(lambda: len(stand.backend.requests) >= 1)
    await until(stand.is_up)
    seconds, log = await ended(process)
    assert b"the grace time is over" in log
    assert seconds < 4  # the grace time, and the end of the pages


async def test_once_says_what_happened(stand: Stand) -> None:
    stand.play("text")
    done = await stand.start("once")
    await done.communicate()
    assert done.returncode == 0
    assert stand.names() == ["agent_step", "chat", "invoke_agent"]

    stand.play("text")
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
        stand.play("text")
    with mock.patch.multiple("bridge.sweep.discovery", _FIRST_PAGE=5, FULL_PAGE=5, _ENOUGH=10):
        assert await app.once(load(stand.environ, None)) == 0
    assert stand.names().count("invoke_agent") == 12


async def test_dry_run_prints_and_remembers_nothing(stand: Stand, tmp_path: Path) -> None:
    stand.play("tool_ok")
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


async def test_a_test_that_fails_leaves_no_bridge_behind(tmp_path: Path) -> None:
    async def failing() -> None:
        async with standing(tmp_path) as stand:
            started.append(await stand.start("run"))
            raise AssertionError("on purpose")

    started: list[Process] = []
    with pytest.raises(AssertionError, match="on purpose"):
        await failing()
    assert [process.returncode for process in started] == [-signal.SIGKILL]
