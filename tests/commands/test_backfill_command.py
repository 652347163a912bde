"""`bridge backfill` as a person starts it: real processes between the stand-in and a receiver."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import termios
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bridge_process import Stand, standing, until
from receivers import HttpReceiver, hangs, says

from bridge import cli
from bridge.demo.standin.rows import Table

DAY = 86_400.0


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path, BRIDGE_BACKFILL_REQUESTS_PER_SECOND="500") as stand:
        yield stand


async def backfill(stand: Stand, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors."""
    return await stand.command("backfill", *arguments)


class Shell:
    """The command without a process of its own, for what it refuses before it asks anybody."""

    def __init__(self, ledger: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.ledger = ledger
        self._capture = capture

    def backfill(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit code and lines of errors; nothing else is printed."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["backfill", *arguments])
        output, errors = self._capture.readouterr()
        assert output == ""
        return int(str(ended.value.code)), errors.splitlines()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "LETTA_", "OTEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LETTA_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("BRIDGE_LEDGER", str(tmp_path / "ledger"))
    return Shell(tmp_path / "ledger", capsys)


async def test_it_says_what_it_did(stand: Stand) -> None:
    stand.play("tool_ok", "text", ago=3 * DAY)
    code, output, errors = await backfill(stand, "--since", "4d", "--until", "2d")
    assert code == 0, errors
    assert stand.runs() == stand.ids(Table.RUNS)
    assert stand.steps() == stand.ids(Table.STEPS)
    first, second = output.splitlines()
    assert first.startswith("sent 2 runs, 3 steps and 9 spans; 0 dead letters; ")
    assert re.fullmatch(r"from 20.*Z to 20.*Z, all agents", second)
    assert "the service has not run yet: it will go on from" in errors
    assert "docs/backfill.md" in errors
    code, output, errors = await backfill(stand, "--since", "beginning")
    assert (code, output.splitlines()[2]) == (0, "2 runs in that time were left out: an earlier backfill had them")


async def test_kill_9_in_the_middle_and_the_same_again(stand: Stand) -> None:
    stand.play("tool_ok", "multi_step", "parallel_tools", ago=3 * DAY, count=25)
    slow = {"BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "50"}
    for requests in (1, 3):  # the first of the second process is what the first one left aside
        process = await stand.start("backfill", "--since", "4d", **slow)
        await until(lambda requests=requests: len(stand.backend.requests) >= requests)
        process.kill()
        await process.communicate()
    assert 0 < len(set(stand.steps())) < len(stand.ids(Table.STEPS))
    code, output, errors = await backfill(stand, "--since", "4d")
    assert code == 0, errors
    assert sorted(set(stand.runs())) == stand.ids(Table.RUNS)
    assert sorted(set(stand.steps())) == stand.ids(Table.STEPS)
    sent = stand.traces()
    again = [request for at, request in enumerate(sent) if any(request.body == other.body for other in sent[:at])]
    assert len(again) <= 2, "only the batch in flight is sent again, once for each kill"
    steps = Counter(stand.steps())
    assert +(steps - Counter(set(steps))) == Counter(stand.sent("agent_step", "letta.step.id", again))
    assert "left out" in output


async def test_beside_a_running_service_on_the_same_ledger(stand: Stand) -> None:
    stand.play("tool_ok", "multi_step", ago=3 * DAY, count=8)
    service = await stand.start("run", BRIDGE_START_FROM="1h")
    stand.play("text", "tool_raises", ago=600)
    await until(lambda: len(stand.runs()) >= 2)
    filling = asyncio.create_task(backfill(stand, "--since", "beginning", "--until", "now"))
    for _ in range(10):
        stand.play("text", ago=10)
        await asyncio.sleep(0.1)
    code, output, errors = await filling
    assert code == 0, errors
    assert "sent 16 runs" in output
    assert "are the service's: left to it" in errors
    await until(lambda: stand.runs() == stand.ids(Table.RUNS))
    assert stand.steps() == stand.ids(Table.STEPS)
    await counted(stand, runs=12)

    stand.play("tool_ok", ago=2 * DAY, count=4)
    code, output, _ = await backfill(stand, "--since", "1d", "--with-metrics")
    assert (code, output[:11]) == (0, "sent 0 runs")
    await counted(stand, runs=12)
    service.terminate()
    _, log = await service.communicate()
    assert (service.returncode, b"Traceback" in log) == (0, False)


async def test_with_metrics_the_running_services_totals_grow_by_exactly_that(stand: Stand) -> None:
    stand.play("tool_ok", "text", ago=3 * DAY, count=4)
    stand.play("text", ago=600)
    service = await stand.start("run", BRIDGE_START_FROM="1h")
    await until(lambda: len(stand.runs()) >= 1)
    await counted(stand, runs=1)
    code, _, errors = await backfill(stand, "--since", "beginning", "--with-metrics")
    assert code == 0, errors
    await counted(stand, runs=9)
    assert await stand.total("letta_steps_total") == len(stand.ids(Table.STEPS))
    service.terminate()
    await service.communicate()


async def counted(stand: Stand, *, runs: int) -> None:
    end = time.monotonic() + 20
    while (total := await stand.total("letta_runs_total")) != runs:
        assert time.monotonic() < end, f"{total} runs are counted"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_finishes_the_batch_and_says_how_to_go_on(stand: Stand, number: int, code: int) -> None:
    stand.play("multi_step", ago=3 * DAY, count=40)
    slow = {"BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "60"}
    process = await stand.start("backfill", "--since", "4d", **slow)
    await until(lambda: len(stand.backend.requests) >= 1)
    process.send_signal(number)
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == code, errors
    assert re.search(rb"\nstopped at 20.*Z; run the same command again to go on\n$", output)
    assert b"Traceback" not in errors
    assert (await backfill(stand, "--since", "4d"))[0] == 0
    assert stand.runs() == stand.ids(Table.RUNS)
    assert stand.steps() == stand.ids(Table.STEPS)


async def test_a_second_signal_cuts_it_off(stand: Stand) -> None:
    async with HttpReceiver().answer(*[hangs] * 20) as letta:
        process = await stand.start("backfill", "--since", "4d", LETTA_BASE_URL=letta.url)
        await until(lambda: len(letta.requests) >= 1)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
    assert errors.decode().splitlines()[-1] == "backfill: cut off; run the same command again to go on"


async def test_a_busy_backend_is_waited_for(stand: Stand) -> None:
    stand.play("text", ago=3 * DAY)
    stand.backend.answer(says(503, retry_after="1"), says(429))
    code, _, errors = await backfill(stand, "--since", "4d")
    assert code == 0
    assert "tried again in 1 s" in errors
    assert "backfill: goes on" in errors
    assert stand.steps() == stand.ids(Table.STEPS) * 3, "the receiver notes also what it turns down"
    assert stand.runs() == stand.ids(Table.RUNS) * 3


async def test_a_run_that_is_going_on_is_exit_code_6(stand: Stand) -> None:
    stand.play("server_killed", ago=3600)
    code, output, _ = await backfill(stand, "--since", "4d")
    assert code == 6
    assert output.splitlines()[-1] == "1 run is still going on: run the same command again later"


async def test_dry_run_shows_what_would_be_sent_and_remembers_nothing(stand: Stand) -> None:
    stand.play("text", ago=3 * DAY)
    code, output, errors = await backfill(stand, "--since", "4d", "--dry-run")
    assert code == 0, errors
    assert "invoke_agent" in output
    assert output.splitlines()[-1] == "dry run: nothing was sent, nothing is remembered"
    assert "shown 1 runs" in output
    assert stand.backend.requests == []
    assert not stand.ledger.exists()
    assert (await backfill(stand, "--since", "4d"))[0] == 0
    before = stand.ledger.read_bytes()
    code, output, _ = await backfill(stand, "--since", "beginning", "--dry-run")
    assert "invoke_agent" not in output, "it knows what was sent before"
    assert stand.ledger.read_bytes() == before


@pytest.mark.parametrize(("arguments", "lines"), [
    (["--since", "5"], ["--since: '5' is not now, beginning, an age like 1h, or a time like 2026-01-31T08:00:00Z"]),
    (["--since", "1d", "--until", "soon", "--agent", " "], [
        "--until: 'soon' is not now, beginning, an age like 1h, or a time like 2026-01-31T08:00:00Z",
        "--agent: give the id of an agent, such as agent-00000000-0000-4000-8000-000000000000",
    ]),
    (["--since", "2026-02-01", "--until", "2026-01-01"], [
        "--since (2026-02-01 00:00:00Z) is not before --until (2026-01-01 00:00:00Z): nothing lies between"
    ]),
])  # fmt: skip
def test_bad_arguments_are_a_line_each(shell: Shell, arguments: list[str], lines: list[str]) -> None:
    assert shell.backfill(*arguments) == (2, [f"bridge: {line}" for line in lines])
    assert not shell.ledger.exists()


async def test_an_unknown_agent_is_one_line_and_exit_code_2(stand: Stand) -> None:
    agent = "agent-00000000-0000-4000-8000-00000000dead"
    code, _, errors = await backfill(stand, "--since", "4d", "--agent", agent)
    assert code == 2
    (line,) = errors.splitlines()
    assert line.startswith("bridge: --agent: Letta has nothing (404) for GET /v1/agents/agent-")


def test_with_no_way_out_it_is_not_begun(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    code, (line,) = shell.backfill("--since", "4d")
    assert code == 2
    assert line.startswith("bridge: OTEL_TRACES_EXPORTER is none: ")
    assert not shell.ledger.exists()


async def test_a_refused_key_is_one_line_and_exit_code_4(stand: Stand) -> None:
    stand.letta.api_key = "secret"
    code, _, errors = await backfill(stand, "--since", "4d")
    assert code == 4
    assert re.fullmatch(r"bridge: Letta refused the key \(401\) .*\. Check LETTA_API_KEY\.\n", errors)


async def test_two_at_once_are_one_line_and_exit_code_3(stand: Stand) -> None:
    async with HttpReceiver().answer(*[hangs] * 20) as letta:
        first = await stand.start("backfill", "--since", "4d", LETTA_BASE_URL=letta.url)
        await until(lambda: len(letta.requests) >= 1)
        code, _, errors = await backfill(stand, "--since", "4d")
        first.kill()
        await first.communicate()
    assert code == 3
    assert "another backfill is running on it" in errors
    assert len(errors.splitlines()) == 1


async def test_on_a_terminal_there_is_a_bar(stand: Stand) -> None:
    stand.play("multi_step", ago=3 * DAY, count=20)
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))
    slow = {"BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "60", "COLUMNS": "100", "TERM": "xterm"}
    environ = {**stand.environ, **slow}
    process = await stand.processes.start("backfill", "--since", "4d", environ=environ, stderr=its)
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := await asyncio.to_thread(os.read, mine, 65536):
            shown += part
    output, _ = await process.communicate()
    os.close(mine)
    assert process.returncode == 0
    assert output.startswith(b"sent 20 runs")
    assert re.search(rb"\r *\d+% \|.*\| 20[\d -]+:\d\d, \d+ runs, \d+ steps, \d+ spans \[", shown), shown
    assert b"of the time" not in shown
