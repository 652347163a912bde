"""Backfills between the stand-in and a recording backend, on the ledger of a `World` and by its clock."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from bridge_world import START, DatedTransport, HandClock, World

from bridge import app
from bridge.app.backfill import assemble_backfill
from bridge.backfill.backfill import Backfill, Requests
from bridge.backfill.bounds import Asked, asked
from bridge.backfill.result import Result
from bridge.backfill.tally import Tally
from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.ledger.backfill import BackfillLedger, open_backfill_ledger
from bridge.settings import load
from bridge.source.client import LettaClient
from bridge.source.letta import LettaSource

DAY = 86_400.0


class Seen:
    """Progress that a test looks at."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: list[float] = []

    def show(self, tally: Tally) -> None:
        self.shares.append(tally.share)

    def say(self, line: str) -> None:
        self.lines.append(line)


class Slow(httpx.AsyncBaseTransport):
    """A Letta that takes its time by the world's clock."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: HandClock, seconds: float) -> None:
        self._inner = inner
        self._clock = clock
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.time += self._seconds
        return await self._inner.handle_async_request(request)


class Past(World):
    """A world whose clock stands days after what was played, and backfills in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clock.time = START + 30 * DAY
        self.seen = Seen()

    def slow_down(self, seconds: float) -> None:
        self.wrap_transport = lambda inner: Slow(inner, self.clock, seconds)

    def play(self, *names: str, at: float) -> list[str]:
        return [run for name in names for run in recording.load(name).play(self.store, at)]

    def texts(self, count: int, *, at: float = START, every: float = 60.0) -> None:
        """Many short runs."""
        for number in range(count):
            self.play("text", at=at + number * every)

    def assert_all_sent_once(self) -> None:
        assert self.runs_sent() == self.ids(Table.RUNS)
        assert self.steps_sent() == self.ids(Table.STEPS)

    def ids(self, table: Table, *, since: float = 0, until: float = float("inf")) -> list[str]:
        return sorted(row.id for row in self.store.rows(table) if since <= row.created_at.timestamp() < until)

    @contextlib.asynccontextmanager
    async def opened(self, *, with_metrics: bool = False) -> AsyncIterator[tuple[Backfill, BackfillLedger]]:
        """The process of one backfill."""
        settings = load(self.environ, None)
        ledger = await open_backfill_ledger(
            str(self._folder / "ledger"),
            source="letta",
            destination="default",
            now=self.clock.now(),
            with_metrics=with_metrics,
        )
        requests = Requests()

        def answered(endpoint: str, answer: str) -> None:
            self.requests.append(endpoint)
            requests(endpoint, answer)

        transport = self.wrap_transport(DatedTransport(self.letta, self.lettas_clock))
        client = LettaClient(app.access(settings), self.clock, on_answer=answered, transport=transport)
        source = LettaSource(client, self.clock)
        try:
            yield (
                assemble_backfill(
                    settings, source=source, ledger=ledger, sink=self.sink, clock=self.clock, requests=requests
                ),
                ledger,
            )
        finally:
            await client.close()
            await ledger.close()

    async def backfill(
        self, since: str = "beginning", until: str | None = None, agent: str | None = None, *, metrics: bool = False
    ) -> Result:
        """One backfill from start to end."""
        async with self.opened(with_metrics=metrics) as (backfill, _):
            return await backfill.run(asked(since, until, agent, now=self.clock.now()), self.seen)

    def runs_sent(self) -> list[str]:
        return self.delivered("invoke_agent", "letta.run.id")

    def steps_sent(self) -> list[str]:
        return self.delivered("agent_step", "letta.step.id")


__all__ = ["DAY", "START", "Asked", "Past", "Seen", "Table"]
