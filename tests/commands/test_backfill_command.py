"""`bridge backfill` as a person starts it: real processes between the stand-in and a receiver."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import socket
import sys
import termios
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import httpx
import pytest
from receivers import HttpReceiver, Received, hangs, says

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted

DAY = 86_400.0
NOTHING: Mapping[str, str] = {}
Process = asyncio.subprocess.Process


class Stand:
    """A Letta stand-in, a receiver, and commands between them."""

    def __init__(self, letta: str, app: StandIn, backend: HttpReceiver, folder: Path) -> None:
        self.letta = app
        self.store = app.store
        self.backend = backend
        self.ledger = folder / "ledger"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.page = f"127.0.0.1:{free.getsockname()[1]}"
        self.environ = {
            "PATH": os.environ["PATH"],
            "LETTA_BASE_URL": letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "BRIDGE_LEDGER": str(self.ledger),
            "BRIDGE_LISTEN": self.page,
            "BRIDGE_POLL_INTERVAL": "200ms",
            "BRIDGE_SETTLE": "300ms",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
            "BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "500",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    async def start(
        self, *arguments: str, environ: Mapping[str, str] = NOTHING, stderr: int = asyncio.subprocess.PIPE
    ) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridge",
            *arguments,
            env={**self.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )

    async def backfill(self, *arguments: str) -> tuple[int | None, str, str]:
        """Exit code, output and errors."""
        process = await self.start("backfill", *arguments)
        output, errors = await asyncio.wait_for(process.communicate(), 50)
        return process.returncode, output.decode(), errors.decode()

    def play(self, *names: str, ago: float, count: int = 1) -> None:
        for number in range(count):
            for name in names:
                recording.load(name).play(self.store, time.time() - ago + number)

    def ids(self, table: Table) -> list[str]:
        return sorted(row.id for row in self.store.rows(table))

    def traces(self) -> list[Received]:
        """The requests with spans."""
        return [request for request in self.backend.requests if request.path == "/v1/traces"]

    def sent(self, kind: str, name: str, requests: Iterable[Received] | None = None) -> list[str]:
        """An attribute of the spans of a kind, sorted; spans that came twice must have come alike."""
        spans: dict[bytes, bytes] = {}
        found: list[str] = []
        for span in (span for r in (self.traces() if requests is None else requests) for span in r.spans()):
            whole = span.SerializeToString()
            if spans.setdefault(span.span_id, whole) != whole:
                raise AssertionError(f"{span.name} came twice, and not alike")
            if span.name.split()[0] == kind:
                found += [a.value.string_value for a in span.attributes if a.key == name]
        return sorted(found)

    def runs(self) -> list[str]:
        return self.sent("invoke_agent", "letta.run.id")

    def steps(self) -> list[str]:
        return self.sent("agent_step", "letta.step.id")

    async def total(self, name: str) -> float:
        async with httpx.AsyncClient() as browser:
            try:
                text = (await browser.get(f"http://{self.page}/metrics")).text
            except httpx.TransportError:
                return -1
        return sum(float(value) for value in re.findall(rf"^{name}{{[^\n]*}} (\S+)$", text, re.MULTILINE))


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    app = StandIn(Store(SystemClock()))
    async with hosted(app.app) as letta, HttpReceiver() as backend:
        yield Stand(letta, app, backend, tmp_path)


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


async def test_it_says_what_it_did(stand: Stand) -> None:
    stand.play("tool_ok", "text", ago=3 * DAY)
    code, output, errors = await stand.backfill("--since", "4d", "--until", "2d")
    assert code == 0, errors
    assert stand.runs() == stand.ids(Table.RUNS)
    assert stand.steps() == stand.ids(Table.STEPS)
    first, second = output.splitlines()
    assert first.startswith("sent 2 runs, 3 steps and 9 spans; 0 dead letters; ")
    assert re.fullmatch(r"from 20.*Z to 20.*Z, all agents", second)
    assert "the service has not run yet: it will go on from" in errors
    assert "docs/backfill.md" in errors
    code, output, errors = await stand.backfill("--since", "beginning")
    assert (code, output.splitlines()[2]) == (0, "2 runs in that time were left out: an earlier backfill had them")


async def test_kill_9_in_the_middle_and_the_same_again(stand: Stand) -> None:
    stand.play("tool_ok", "multi_step", "parallel_tools", ago=3 * DAY, count=25)
    slow = {"BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "50"}
    for requests in (1, 3):  # the first of the second process is what the first one left aside
        process = await stand.start("backfill", "--since", "4d", environ=slow)
        await until(lambda requests=requests: len(stand.backend.requests) >= requests)  # type: ignore[misc]
        process.kill()
        await process.communicate()
    assert 0 < len(set(stand.steps())) < len(stand.ids(Table.STEPS))
    code, output, errors = await stand.backfill("--since", "4d")
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
    service = await stand.start("run", environ={"BRIDGE_START_FROM": "1h"})
    stand.play("text", "tool_raises", ago=600)
    await until(lambda: len(stand.runs()) >= 2)
    filling = asyncio.create_task(stand.backfill("--since", "beginning", "--until", "now"))
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
    code, output, _ = await stand.backfill("--since", "1d", "--with-metrics")
    assert (code, output[:11]) == (0, "sent 0 runs")
    await counted(stand, runs=12)
    service.terminate()
    _, log = await service.communicate()
    assert (service.returncode, b"Traceback" in log) == (0, False)


async def test_with_metrics_the_running_services_totals_grow_by_exactly_that(stand: Stand) -> None:
    stand.play("tool_ok", "text", ago=3 * DAY, count=4)
    stand.play("text", ago=600)
    service = await stand.start("run", environ={"BRIDGE_START_FROM": "1h"})
    await until(lambda: len(stand.runs()) >= 1)
    await counted(stand, runs=1)
    code, _, errors = await stand.backfill("--since", "beginning", "--with-metrics")
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
    process = await stand.start("backfill", "--since", "4d", environ=slow)
    await until(lambda: len(stand.backend.requests) >= 1)
    process.send_signal(number)
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == code, errors
    assert re.search(rb"\nstopped at 20.*Z; run the same command again to go on\n$", output)
    assert b"Traceback" not in errors
    assert (await stand.backfill("--since", "4d"))[0] == 0
    assert stand.runs() == stand.ids(Table.RUNS)
    assert stand.steps() == stand.ids(Table.STEPS)


async def test_a_second_signal_cuts_it_off(stand: Stand) -> None:
    async with HttpReceiver().answer(*[hangs] * 20) as letta:
        process = await stand.start("backfill", "--since", "4d", environ={"LETTA_BASE_URL": letta.url})
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
    code, _, errors = await stand.backfill("--since", "4d")
    assert code == 0
    assert "tried again in 1 s" in errors
    assert "backfill: goes on" in errors
    assert stand.steps() == stand.ids(Table.STEPS) * 3, "the receiver notes also what it turns down"
    assert stand.runs() == stand.ids(Table.RUNS) * 3


async def test_a_run_that_is_going_on_is_exit_code_6(stand: Stand) -> None:
    stand.play("server_killed", ago=3600)
    code, output, _ = await stand.backfill("--since", "4d")
    assert code == 6
    assert output.splitlines()[-1] == "1 run is still going on: run the same command again later"


async def test_dry_run_shows_what_would_be_sent_and_remembers_nothing(stand: Stand) -> None:
    stand.play("text", ago=3 * DAY)
    code, output, errors = await stand.backfill("--since", "4d", "--dry-run")
    assert code == 0, errors
    assert "invoke_agent" in output
    assert output.splitlines()[-1] == "dry run: nothing was sent, nothing is remembered"
    assert "shown 1 runs" in output
    assert stand.backend.requests == []
    assert not stand.ledger.exists()
    assert (await stand.backfill("--since", "4d"))[0] == 0
    before = stand.ledger.read_bytes()
    code, output, _ = await stand.backfill("--since", "beginning", "--dry-run")
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
async def test_bad_arguments_are_a_line_each(stand: Stand, arguments: list[str], lines: list[str]) -> None:
    code, output, errors = await stand.backfill(*arguments)
    assert (code, output, errors.splitlines()) == (2, "", [f"bridge: {line}" for line in lines])
    assert not stand.ledger.exists()


async def test_an_unknown_agent_is_one_line_and_exit_code_2(stand: Stand) -> None:
    agent = "agent-00000000-0000-4000-8000-00000000dead"
    code, _, errors = await stand.backfill("--since", "4d", "--agent", agent)
    assert code == 2
    (line,) = errors.splitlines()
    assert line.startswith("bridge: --agent: Letta has nothing (404) for GET /v1/agents/agent-")


async def test_with_no_way_out_it_is_not_begun(stand: Stand) -> None:
    process = await stand.start("backfill", "--since", "4d", environ={"OTEL_TRACES_EXPORTER": "none"})
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.startswith(b"bridge: OTEL_TRACES_EXPORTER is none: ")
    assert not stand.ledger.exists()


async def test_a_refused_key_is_one_line_and_exit_code_4(stand: Stand) -> None:
    stand.letta.api_key = "secret"
    code, _, errors = await stand.backfill("--since", "4d")
    assert code == 4
    assert re.fullmatch(r"bridge: Letta refused the key \(401\) .*\. Check LETTA_API_KEY\.\n", errors)


async def test_two_at_once_are_one_line_and_exit_code_3(stand: Stand) -> None:
    async with HttpReceiver().answer(*[hangs] * 20) as letta:
        first = await stand.start("backfill", "--since", "4d", environ={"LETTA_BASE_URL": letta.url})
        await until(lambda: len(letta.requests) >= 1)
        code, _, errors = await stand.backfill("--since", "4d")
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
    process = await stand.start("backfill", "--since", "4d", environ=slow, stderr=its)
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
