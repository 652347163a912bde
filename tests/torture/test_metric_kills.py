"""Differences through kill -9: real processes between the stand-in and a receiver over real sockets."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from metric_points import added_up, of_letta
from receivers import HttpReceiver, Play, Received, hangs, says

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from bridge.ledger.open import open_ledger

pytestmark = pytest.mark.fault("backend", "the bridge is killed around an export of differences")


class Stand:
    """A Letta stand-in, a receiver that adds up, and bridges between them, one after the other."""

    def __init__(self, letta: str, store: Store, backend: HttpReceiver, folder: Path) -> None:
        self.store = store
        self.backend = backend
        self.taken: list[bytes] = []
        self.arrived: list[bytes] = []
        self.fall: Callable[[int], str] = lambda _: ""  # at which export of differences, before or after its answer
        backend.rule = self._rule
        self._letta = letta
        self._ledger = folder / "ledger"
        self._process: asyncio.subprocess.Process | None = None

    def play(self, *names: str) -> None:
        for name in names:
            recording.load(name).play(self.store, time.time() - 1)

    async def start(self) -> asyncio.subprocess.Process:
        environ = {
            "PATH": os.environ["PATH"],
            "LETTA_BASE_URL": self._letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.backend.url,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "BRIDGE_LEDGER": str(self._ledger),
            "BRIDGE_LISTEN": "off",
            "BRIDGE_POLL_INTERVAL": "200ms",
            "BRIDGE_SETTLE": "300ms",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", "run", env=environ, stderr=asyncio.subprocess.PIPE
        )
        return self._process

    async def killed(self) -> None:
        """A bridge that goes until it falls."""
        process = await self.start()
        _, log = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == -signal.SIGKILL, log.decode()

    async def to_the_end(self) -> None:
        """A last bridge in good order, until every run has arrived and was counted."""
        process = await self.start()
        await until(lambda: self.counted("letta.runs") >= len(list(self.store.rows(Table.RUNS))))
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, log.decode()

    def counted(self, name: str) -> float:
        return sum(one.sum for one in of_letta(self.known()) if one.key[0] == name)

    def known(self) -> list[bytes]:
        """What was taken, once: a backend knows a request that comes twice by its bytes."""
        return list(dict.fromkeys(self.taken))

    async def totals(self) -> dict[object, float]:
        ledger = await open_ledger(str(self._ledger), source=self._letta, destination="default", now=0)
        totals = await ledger.totals()
        await ledger.close()
        return {key: total.sum for key, total in totals.items()}

    def _rule(self, received: Received) -> Play | None:
        if received.path != "/v1/metrics" or not of_letta([received.body]):
            return None
        self.arrived.append(received.body)
        when = self.fall(len(self.arrived))
        if when != "untaken":
            self.taken.append(received.body)
        return {"": None, "after": self._answers_and_kills}.get(when, self._kills)

    async def _answers_and_kills(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(200)(reader, writer)
        await self._kills(reader, writer)

    async def _kills(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGKILL)
        await hangs(reader, writer)


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as backend:
        yield Stand(letta, store, backend, tmp_path)


@pytest.mark.parametrize("when", ["untaken", "before"])
async def test_a_kill_between_send_and_settle_sends_the_same_bytes_again(stand: Stand, when: str) -> None:
    stand.play("text", "tool_ok")
    stand.fall = lambda number: when if number == 1 else ""
    await stand.killed()
    stand.play("max_steps")
    await stand.to_the_end()
    assert stand.arrived[1] == stand.arrived[0]
    await assert_adds_up(stand)


async def test_many_kills_in_a_row(stand: Stand) -> None:
    for number, when in enumerate(("before", "after", "untaken"), 1):
        stand.play("text", "tool_ok")
        goal = len(stand.arrived) + number % 2 + 1
        stand.fall = lambda number, goal=goal, when=when: when if number == goal else ""  # type: ignore[misc]
        stand.play("max_steps")
        await stand.killed()
    stand.fall = lambda _: ""
    await stand.to_the_end()
    await assert_adds_up(stand)


async def assert_adds_up(stand: Stand) -> None:
    told = {key: total for key, (total, *_) in added_up(of_letta(stand.known())).items()}
    assert told == {key: pytest.approx(total, rel=1e-12) for key, total in (await stand.totals()).items()}
    assert stand.counted("letta.runs") == len(list(stand.store.rows(Table.RUNS)))
