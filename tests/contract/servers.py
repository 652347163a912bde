"""The two servers behind one face.

The stand-in's clock stands still but for `until`, which turns it: a run of ten seconds is over in a fraction of one.
The real server is the one that LETTA_LAB_URL names; LETTA_LAB_DIR (where that lab lives) lets a test edit its rows.
"""

from __future__ import annotations

import abc
import asyncio
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx
import pytest
from real.driver import Driver

from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from contract.plays import PLAYS, Stage

T = TypeVar("T")
Record = dict[str, Any]

MANY_STEPS = 61


class HandClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = time.time()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Server(abc.ABC):
    """One Letta server: its address, and how to make things happen on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=60, verify=False)

    @abc.abstractmethod
    async def play(self, name: str) -> str:
        """Send the message that the recording of this name is of; the id of the agent, which is new."""

    @abc.abstractmethod
    async def finished(self, name: str, status: str = "completed") -> Record:
        """A run that was played, at its end; tests that read nothing else of it may share one."""

    @abc.abstractmethod
    async def several_runs(self) -> tuple[str, list[str]]:
        """An agent that had seven messages, and its runs, oldest first."""

    @abc.abstractmethod
    async def many_steps(self) -> str:
        """A run of 61 steps, over."""

    @abc.abstractmethod
    async def wait(self) -> None:
        """Let some time pass."""

    @abc.abstractmethod
    async def copy_run(self, run: str, *, seconds: float) -> str:
        """Make a copy of a run visible, without steps, created `seconds` after it; the copy's id."""

    @abc.abstractmethod
    async def make_simultaneous(self, steps: list[str]) -> None:
        """Give all these steps the created_at of the first."""

    async def close(self) -> None:
        await self.http.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of a 200."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def runs(self, **query: Any) -> list[str]:
        """The ids of a page of the run list."""
        return [run["id"] for run in await self.get("/v1/runs/", **query)]

    async def run_of(self, agent: str) -> Record:
        """The agent's newest run, once there is one."""
        found: Record = (await self.until(lambda: self.get("/v1/runs/", agent_id=agent)))[0]
        return found

    async def steps_of(self, run: str) -> list[Record]:
        """A run's steps, oldest first."""
        steps: list[Record] = await self.get(f"/v1/runs/{run}/steps", order="asc")
        return steps

    async def until(self, check: Callable[[], Awaitable[T]]) -> T:
        """The first truthy answer of `check`."""
        deadline = time.monotonic() + 90
        while not (answer := await check()):
            assert time.monotonic() < deadline, f"never came: {check}"
            await self.wait()
        return answer

    async def over(self, agent: str, status: str = "completed") -> Record:
        """The agent's newest run, once it has this status."""

        async def check() -> Record | None:
            run: Record = await self.run_of(agent)
            return run if run["status"] == status else None

        found = await self.until(check)
        assert found is not None
        return found


class StandInServer(Server):
    """The stand-in, on a port of its own.

    Attributes:
        clock: what its rows are read at.
        store: its rows.
        standin: its switches.
        pace: seconds that one `wait` lets pass.
    """

    def __init__(self, url: str, standin: StandIn, clock: HandClock) -> None:
        super().__init__(url)
        self.clock = clock
        self.store: Store = standin.store
        self.standin = standin
        self.pace = 0.1

    async def play(self, name: str) -> str:
        played = recording.load(name)
        agent = played.agent.model_copy(update={"id": f"agent-{uuid.uuid4()}"})
        played.model_copy(update={"agent": agent}).play(self.store, self.clock.now())
        return agent.id

    async def several_runs(self) -> tuple[str, list[str]]:
        agent, runs = f"agent-{uuid.uuid4()}", [f"run-{uuid.uuid4()}" for _ in range(7)]
        for age, run in enumerate(reversed(runs)):
            ended = {"agent_id": agent, "status": "completed", "stop_reason": "end_turn"}
            self.store.put(Table.RUNS, run, ended, created_at=self.clock.now() - 1 - age)
        return agent, runs

    async def many_steps(self) -> str:
        run = f"run-{uuid.uuid4()}"
        self.store.put(Table.RUNS, run, {"status": "completed"})
        for number in range(MANY_STEPS):
            tokens = {
                "prompt_tokens": 1000 + 100 * number,
                "completion_tokens": 20,
                "total_tokens": 1020 + 100 * number,
            }
            step = {"run_id": run, "status": "success", **tokens}
            self.store.put(Table.STEPS, f"step-{uuid.uuid4()}", step, created_at=self.clock.now() + number)
        return run

    async def wait(self) -> None:
        await self.clock.sleep(self.pace)

    async def finished(self, name: str, status: str = "completed") -> Record:
        return await self.over(await self.play(name), status)

    async def copy_run(self, run: str, *, seconds: float) -> str:
        row = self.store.get(Table.RUNS, run)
        assert row is not None
        copy = f"run-{uuid.uuid4()}"
        fields = {"agent_id": row.fields["agent_id"], "status": row.fields["status"]}
        self.store.put(Table.RUNS, copy, fields, created_at=row.created_at.timestamp() + seconds)
        return copy

    async def make_simultaneous(self, steps: list[str]) -> None:
        first = self.store.get(Table.STEPS, steps[0])
        assert first is not None
        for step in steps:
            self.store.put(Table.STEPS, step, {}, created_at=first.created_at.timestamp())


class RealServer(Server):
    """The lab's server; agents that several tests only read are made once."""

    _made: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str, home: str | None) -> None:
        super().__init__(url)
        self._home = Path(home) if home else None
        self._driver = Driver(url)
        self._playing: set[asyncio.Task[None]] = set()

    async def play(self, name: str) -> str:
        stage = await self._stage()
        agent = await asyncio.to_thread(PLAYS[name].agent, stage)
        task = asyncio.create_task(asyncio.to_thread(PLAYS[name].drive, stage.driver, agent))
        self._playing.add(task)
        return agent

    async def several_runs(self) -> tuple[str, list[str]]:
        return await self._once("several runs", self._seven_messages)

    async def many_steps(self) -> str:
        return str((await self.finished("many_steps"))["id"])

    async def wait(self) -> None:
        await asyncio.sleep(0.1)

    async def finished(self, name: str, status: str = "completed") -> Record:
        agent = await self._once(name, lambda: self.play(name))
        return await self.over(agent, status)

    async def copy_run(self, run: str, *, seconds: float) -> str:
        copy = f"run-{uuid.uuid4()}"
        columns = await self._sql(
            "select string_agg(quote_ident(column_name), ',') from information_schema.columns"
            " where table_schema = 'letta' and table_name = 'runs' and column_name not in ('id', 'created_at')"
        )
        await self._sql(
            f"insert into runs (id, created_at, {columns})"
            f" select '{copy}', created_at + interval '{seconds} seconds', {columns} from runs where id = '{run}'"
        )
        return copy

    async def make_simultaneous(self, steps: list[str]) -> None:
        listed = ",".join(f"'{step}'" for step in steps)
        created_at = f"(select created_at from steps where id = '{steps[0]}')"
        await self._sql(f"update steps set created_at = {created_at} where id in ({listed})")

    async def close(self) -> None:
        await asyncio.gather(*self._playing)
        await asyncio.to_thread(self._driver.close)
        await super().close()

    async def _seven_messages(self) -> tuple[str, list[str]]:
        stage = await self._stage()
        agent = await asyncio.to_thread(stage.agent)
        for _ in range(7):
            await asyncio.to_thread(stage.driver.send, agent, "text")
        runs = await asyncio.to_thread(stage.driver.runs, agent)
        return agent, [run["id"] for run in reversed(runs)]

    async def _stage(self) -> Stage:
        tools = await self._once("tools", lambda: asyncio.to_thread(self._driver.tools))
        return Stage(self._driver, tools)

    async def _once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        key = f"{self.url} {name}"
        if key not in self._made:
            self._made[key] = await make()
        made: T = self._made[key]
        return made

    async def _sql(self, statement: str) -> str:
        if self._home is None:
            pytest.skip("LETTA_LAB_DIR is not set: the rows of this server may not be edited")
        command = [str(self._home / "lab" / "pg.sh"), "psql", "-qAt", "-c", statement]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return done.stdout.strip()
