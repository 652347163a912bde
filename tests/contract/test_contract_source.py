"""The source itself, on both servers: every trap, seen from behind the bridge's own reader."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC

import pytest

from bridge.clock import SystemClock
from bridge.errors import CursorIgnored, LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable
from bridge.source.client import Access, LettaClient
from bridge.source.letta import LettaSource
from bridge.source.models import Run
from bridge.source.pager import Dialect
from contract.servers import MANY_STEPS, Server, StandInServer
from contract.test_contract_lists import NOWHERE


class Reading:
    """A source, and the fields it did not know."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.unknown: set[str] = set()
        clock = SystemClock()
        client = LettaClient(Access(base_url=url, api_key=api_key, requests_per_second=1000), clock)
        self.source = LettaSource(client, clock, on_unknown_field=self.unknown.add)

    async def walk(self, limit: int) -> list[Run]:
        """All runs, page by page, newest first."""
        runs: list[Run] = []
        while page := await self.source.runs_before(runs[-1] if runs else None, limit):
            runs += page
        return runs


@pytest.fixture
async def reading(server: Server) -> AsyncIterator[Reading]:
    reading = Reading(server.url)
    yield reading
    await reading.source.close()


@pytest.fixture
async def reading_standin(standin: StandInServer) -> AsyncIterator[Reading]:
    reading = Reading(standin.url)
    yield reading
    await reading.source.close()


async def test_walks_every_run_once_over_swapped_cursors(server: Server, reading: Reading) -> None:
    await server.several_runs()
    expected = await server.runs(limit=1000)

    walked = [run.id for run in await reading.walk(limit=max(3, len(expected) // 4))]

    assert reading.source.pager.dialect is Dialect.SWAPPED
    assert len(walked) == len(set(walked))
    assert set(expected) <= set(walked)


async def test_walks_every_run_once_over_documented_cursors(standin: StandInServer, reading_standin: Reading) -> None:
    standin.standin.documented = True
    _, runs = await standin.several_runs()

    assert [run.id for run in await reading_standin.walk(limit=3)] == runs[::-1]
    assert reading_standin.source.pager.dialect is Dialect.DOCUMENTED


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_walks_over_equal_timestamps(standin: StandInServer, reading_standin: Reading, limit: int) -> None:
    """On the stand-in alone: a real server's list holds too many runs to walk it one by one."""
    agent, runs = await standin.several_runs()
    copies = [await standin.copy_run(runs[3], seconds=0) for _ in range(5)]

    walked = [run.id for run in await reading_standin.walk(limit)]

    assert sorted(walked) == sorted([*runs, *copies])
    assert walked == await standin.runs(agent_id=agent)


async def test_notices_that_a_cursor_was_ignored(server: Server, reading: Reading) -> None:
    agent = await server.play("text")
    run = (await server.over(agent))["id"]
    page = await reading.source.runs_before(None, 1000)
    cursor = next(row for row in page if row.id == run)
    await server.over(await server.play("text"))
    await server.http.delete(f"/v1/agents/{agent}")

    with pytest.raises(CursorIgnored):
        await reading.source.runs_before(cursor, 1)


async def test_reads_all_steps_oldest_first(server: Server, reading: Reading) -> None:
    run = await server.many_steps()
    expected = [step["id"] for step in await server.steps_of(run)]

    page, more = await reading.source.steps(run, None)
    rest, _ = await reading.source.steps(run, expected[9])

    assert ([step.id for step in page.items], more) == (expected, False)
    assert len(expected) == MANY_STEPS
    assert [step.id for step in rest.items] == expected[10:]


@pytest.mark.parametrize(
    ("name", "status"),
    [("text", "completed"), ("parallel_tools", "completed"), ("older_agent", "completed"), ("llm_500", "failed")],
)
async def test_knows_every_field(server: Server, reading: Reading, name: str, status: str) -> None:
    run_id = (await server.finished(name, status))["id"]
    source = reading.source

    run = await source.run(run_id)
    page, _ = await source.steps(run_id, None)
    await source.run_metrics(run_id)
    await source.active_runs()
    for step in page.items:
        await source.step_metrics(step.id)

    assert run.id == run_id
    assert reading.unknown == set()
    assert not page.malformed


async def test_reads_naive_times_as_utc(server: Server, reading: Reading) -> None:
    run = await reading.source.run((await server.finished("text"))["id"])

    assert run.created_at is not None
    assert run.completed_at is not None
    assert run.completed_at.tzinfo is UTC
    assert 0 < (run.completed_at - run.created_at).total_seconds() < 90


async def test_reads_each_tools_own_status(server: Server, reading: Reading) -> None:
    messages = await reading.source.messages((await server.finished("parallel_tools"))["id"], None)

    [returns] = [message.tool_returns for message in messages if message.tool_returns]
    assert [one.status for one in returns] == ["success", "error", "success"]


async def test_lists_zombies_as_active(server: Server, reading: Reading) -> None:
    zombie = await server.run_of(await server.play("conversation"))

    assert zombie["id"] in {run.id for run in await reading.source.active_runs()}


async def test_what_is_not_there_is_nothing(server: Server, reading: Reading) -> None:
    source = reading.source

    assert await source.step_metrics(f"step-{NOWHERE}") is None
    assert await source.run_metrics(f"run-{NOWHERE}") is None
    assert not await source.step_messages(f"step-{NOWHERE}")
    assert await source.agent_name(f"agent-{NOWHERE}") is None
    with pytest.raises(LettaNotFound):
        await source.run(f"run-{NOWHERE}")
    with pytest.raises(LettaMisbehaved):
        await source.run("garbage")


async def test_names_the_agent_and_the_server(server: Server, reading: Reading) -> None:
    agent = (await server.finished("text"))["agent_id"]

    assert await reading.source.agent_name(agent) == (await server.get(f"/v1/agents/{agent}"))["name"]
    assert await reading.source.version() == "0.16.8"
    assert reading.source.server_now() is not None


async def test_finds_the_global_step_list_broken(server: Server, reading: Reading) -> None:
    assert await reading.source.has_global_steps() is False


async def test_reads_a_global_step_list_that_works(standin: StandInServer, reading_standin: Reading) -> None:
    standin.standin.global_steps = True
    start = standin.clock.now() - 1
    run = await standin.finished("max_steps")
    expected = [step["id"] for step in await standin.steps_of(run["id"])]

    page = await reading_standin.source.all_steps(start, None)
    rest = await reading_standin.source.all_steps(start, expected[0])

    assert await reading_standin.source.has_global_steps() is True
    assert [step.id for step in page.items] == expected
    assert [step.id for step in rest.items] == expected[1:]


async def test_a_database_that_is_down_may_pass(standin: StandInServer, reading_standin: Reading) -> None:
    """And the connection that each such answer closes costs the next request nothing."""
    standin.standin.database_down = True
    for _ in range(3):
        with pytest.raises(LettaUnavailable, match="500"):
            await reading_standin.source.active_runs()
    standin.standin.database_down = False

    assert not await reading_standin.source.active_runs()


async def test_a_key_is_asked_for_and_shown(standin: StandInServer, reading_standin: Reading) -> None:
    standin.standin.api_key = "sesame"
    with pytest.raises(LettaRefused):
        await reading_standin.source.active_runs()

    allowed = Reading(standin.url, api_key="sesame")
    assert not await allowed.source.active_runs()
    await allowed.source.close()
