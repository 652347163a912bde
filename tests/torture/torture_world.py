"""A whole bridge whose process can be killed at a numbered point, between Letta, a backend and a disk that go on.

Everything in it repeats itself: the clock is turned by hand, and a recording gets the same ids each time it is played
into a new world.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest import mock

from bridge_world import START, Bridge, World
from torture.crash_seam import Killed, Seam
from torture.torture_backend import Backend
from torture.torture_truth import Books, books

from bridge.demo import recording
from bridge.demo.standin.rows import Fields, Table

MOST_SWEEPS = 100
QUIET_SWEEPS = 2  # and so many sweeps without anything new show that all is done


class TortureWorld(World):
    """Letta, the backend, the disk and the clock; `live` is one process between them.

    Attributes:
        backend: the sink.
        deaths: how many processes were killed.
        step: seconds between two sweeps.
        until: the clock when it may end: late changes are found by looks that become ever rarer.
        page_cap: rows at most in a page of Letta's, whatever was asked for; None for no cap of its own.
        agenda: what happens besides, each at the first sweep from its time on.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "disk-0")
        self._folder.mkdir()
        self.sink = self.backend = Backend()
        self.deaths = 0
        self.step = 5.0
        self.until = 0.0
        self.page_cap: int | None = None
        self.agenda: list[tuple[float, Callable[[], object]]] = []
        self._seam: Seam | None = None
        self._ids = random.Random(1)
        self._app = self.letta.app
        self.letta.app = self._over_there  # type: ignore[assignment] # any ASGI application will do

    def play(self, *names: str, at: float = START, hidden_for: float = 0.0) -> list[str]:
        """Play recordings, of which everything becomes visible so much later; returns the ids of their runs."""
        with mock.patch("bridge.demo.recording.uuid.uuid4", self._uuid4):
            return [run for name in names for run in _hidden(name, hidden_for).play(self.store, at)]

    def rows(self, table: Table) -> list[Fields]:
        """The rows of a table as they are now."""
        return [row.fields for row in self.store.rows(table)]

    async def live(
        self, life: Callable[[Bridge], Coroutine[Any, Any, Any]], *, kill_in: int | None = None, at: str = ""
    ) -> Seam:
        """One process that does `life`, until it is done, or killed as `Seam.run` says.

        What a kill leaves is the next one's disk.
        """
        seam = self._new_seam()

        async def process() -> None:
            async with self.bridge() as bridge:
                await life(bridge)

        await seam.run(process, kill_in=kill_in, at=at)
        self._bury(seam)
        return seam

    async def books(self) -> Books:
        """What its ledger holds, read by a process of its own."""
        found: list[Books] = []

        async def read(bridge: Bridge) -> None:
            found.append(await books(bridge.ledger))

        await self.live(read)
        return found[0]

    def _new_seam(self) -> Seam:
        self._seam = self.backend.seam = Seam(self._folder, self._folder.with_name(f"disk-{self.deaths + 1}"))
        return self._seam

    def _bury(self, seam: Seam) -> None:
        if seam.dead:
            self.deaths += 1
            self._folder = self._folder.with_name(f"disk-{self.deaths}")
            self.clock.time += 1  # it takes a moment to start again

    async def to_the_end(self, bridge: Bridge) -> None:
        """Sweep until everything is over, settled and sent, and nothing comes any more; then through `until`."""
        quiet = 0
        for _ in range(MOST_SWEEPS):
            self._go_through_agenda()
            played = not self.store.pending() and not self.agenda
            report = await bridge.service.sweep()
            still = played and report.problem is None and not report.spans
            quiet = quiet + 1 if still and not (await bridge.ledger.open_runs()).by_status else 0
            if quiet >= QUIET_SWEEPS and self.clock.time >= self.until:
                return
            self.clock.time += self.step * 2 ** max(0, quiet - QUIET_SWEEPS)
        raise AssertionError(f"it never comes to an end: {report}, {await bridge.ledger.open_runs()}")

    def _go_through_agenda(self) -> None:
        due = [happens for at, happens in self.agenda if at <= self.clock.time]
        self.agenda = [(at, happens) for at, happens in self.agenda if at > self.clock.time]
        for happens in due:
            happens()

    async def _over_there(self, scope: Any, receive: Any, send: Any) -> None:
        """Letta is another machine; it may cap its pages, but for the list of active runs, which is read as one."""
        assert self._seam is not None
        if self.page_cap is not None and b"active=" not in scope["query_string"]:
            scope = {**scope, "query_string": _capped(scope["query_string"], self.page_cap)}
        await self._seam.elsewhere(self._app(scope, receive, send))

    def _uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._ids.getrandbits(128), version=4)


class Process:
    """One process of a world that lives from one call to the next."""

    def __init__(self, world: TortureWorld) -> None:
        self._world = world
        self._seam = world._new_seam()
        self._open = contextlib.AsyncExitStack()
        self.bridge: Bridge | None = None

    async def sweep(self, *, kill_in: int | None = None, at: str = "") -> bool:
        """One sweep, with the start before it where it is the first; returns whether the process is still alive.

        It is killed as `Seam.run` says.
        """
        await self._seam.run(self._sweep, kill_in=kill_in, at=at)
        if self._seam.dead:
            await self._clear_away()
            self._world._bury(self._seam)
        return not self._seam.dead

    async def stop(self) -> None:
        """An end in good order."""
        await self._seam.run(self._open.aclose)

    async def _sweep(self) -> None:
        if self.bridge is None:
            self.bridge = await self._open.enter_async_context(self._world.bridge())
        await self.bridge.service.sweep()

    async def _clear_away(self) -> None:
        """Free what the dead process had open, as the kernel does."""
        with contextlib.suppress(Killed):
            await self._open.aclose()


def _hidden(name: str, seconds: float) -> recording.Recording:
    played = recording.load(name)
    changes = [change.model_copy(update={"at": change.at + seconds}) for change in played.changes]
    return played.model_copy(update={"changes": changes})


def _capped(query: bytes, cap: int) -> bytes:
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    return b"&".join(
        b"limit=%d" % min(cap, int(value)) if name == b"limit" else name + sign + value for name, sign, value in pairs
    )
