"""Everything that Letta shows arrives once: over every recording, through outages, crashes and restarts."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from bridge_world import START, Bridge, HandClock, World, attribute, spans_in

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer, Refused, Retryable
from bridge.follow.state import Phase
from bridge.ledger.ledger import Batch, Plan

ALL = recording.names()
LOOSE = "step-00000000-0000-4000-8000-000000000001"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def play(world: World, *names: str, at: float = START) -> list[str]:
    return [run for name in names for run in recording.load(name).play(world.store, at)]


def ids(world: World, table: Table) -> list[str]:
    return sorted(row.id for row in world.store.rows(table))


def tokens(world: World, field: str) -> int:
    return sum(row.fields[field] or 0 for row in world.store.rows(Table.STEPS))


async def assert_all_delivered_once(world: World, bridge: Bridge) -> None:
    assert world.delivered("agent_step", "letta.step.id") == ids(world, Table.STEPS)
    assert world.delivered("chat", "letta.step.id") == ids(world, Table.STEPS)
    assert world.delivered("invoke_agent", "letta.run.id") == ids(world, Table.RUNS)
    assert await bridge.total("letta.steps") == len(ids(world, Table.STEPS))
    assert await bridge.total("letta.runs") == len(ids(world, Table.RUNS))
    sums = {
        kind: total.sum for (name, kind), total in (await bridge.ledger.totals()).items() if name == "letta.tokens"
    }
    by_type: dict[object, float] = defaultdict(float)
    for kind, total in sums.items():
        by_type[dict(kind)["letta.token.type"]] += total
    assert by_type["input"] == tokens(world, "prompt_tokens")
    assert by_type["output"] == tokens(world, "completion_tokens")


def patient(world: World) -> None:
    world.environ |= {"BRIDGE_STALE_AFTER": "60s"}


@pytest.mark.parametrize("name", ALL)
async def test_each_recording_arrives_once(world: World, name: str) -> None:
    patient(world)
    play(world, name)
    async with world.bridge() as bridge:
        await bridge.drain()
        await bridge.sweep(times=3)
        await assert_all_delivered_once(world, bridge)


async def test_all_recordings_at_once_through_a_restart_after_every_sweep(world: World) -> None:
    patient(world)
    play(world, *ALL)
    for _ in range(40):
        async with world.bridge() as bridge:
            await bridge.sweep()
    async with world.bridge() as bridge:
        await bridge.drain()
        await assert_all_delivered_once(world, bridge)


async def test_a_backend_that_is_away_gets_the_same_bytes_when_it_is_back(world: World) -> None:
    play(world, "tool_ok", "llm_500", "multi_step")
    away = Retryable("away", retry_after=3)
    world.sink.answer = lambda _payload: away
    async with world.bridge() as bridge:
        await bridge.sweep(times=8)
        assert world.sink.accepted == []
        assert len(set(world.sink.requests)) == 1, "nothing new is read while something waits"
        world.sink.answer = lambda _payload: Accepted()
        await bridge.drain()
        assert world.sink.requests[0] in world.sink.requests[1:]
        await assert_all_delivered_once(world, bridge)


class Killed(BaseException):
    """What kill -9 is to the process under test."""


async def test_a_crash_between_yes_and_commit_resends_the_same_bytes_and_counts_once(world: World) -> None:
    play(world, "tool_ok")

    def die(payload: bytes) -> Answer:
        world.sink.accepted += spans_in(payload)
        raise Killed

    world.sink.answer = die
    with pytest.raises(Killed):
        async with world.bridge() as bridge:
            await bridge.drain()
    first = world.sink.requests[-1]
    world.sink.accepted.clear()
    world.sink.answer = lambda _payload: Accepted()
    rows = world.store.rows(Table.STEPS)
    world.store.put(Table.STEPS, rows[0].id, {"error_type": "Changed", "model": "other"})
    async with world.bridge() as bridge:
        await bridge.drain()
        assert world.sink.requests[1] == first, "although the row has changed since"
        await assert_all_delivered_once(world, bridge)


async def test_one_bad_span_is_kept_aside_and_all_others_go_on(world: World) -> None:
    play(world, "multi_step")

    def refuse(payload: bytes) -> Answer:
        return Refused("bad tool") if any("execute_tool" in span.name for span in spans_in(payload)) else Accepted()

    world.sink.answer = refuse
    async with world.bridge() as bridge:
        await bridge.drain()
        await assert_all_delivered_once(world, bridge)
        assert world.spans("execute_tool") == []
        assert await bridge.ledger.dead_letter_count() == 4


async def test_letta_out_of_order_for_a_while_loses_nothing(world: World) -> None:
    play(world, "tool_ok", "max_steps")
    async with world.bridge() as bridge:
        await bridge.sweep()
        world.letta.database_down = True
        await bridge.sweep(times=5)
        world.letta.database_down = False
        await bridge.drain()
        await assert_all_delivered_once(world, bridge)


async def test_a_quiet_server_costs_two_requests_a_tick_however_many_old_runs_it_has(world: World) -> None:
    for number in range(150):
        play(world, "text", at=START - 90_000 + 60 * number)
    play(world, "server_killed", at=START - 500)
    async with world.bridge() as bridge:
        await bridge.sweep(times=10)
        world.requests.clear()
        await bridge.sweep()
        assert world.requests.count("/v1/runs/") == 2
        assert len(world.requests) - 2 <= 1 + 1, "beside the zombie's own rare visits"


async def test_more_runs_than_fit_one_page_are_all_found(world: World) -> None:
    for number in range(230):
        play(world, "text", at=START - 3600 + number)
    world.clock.time = START + 10
    for documented in (False, True):
        world.letta.documented = documented
        async with world.bridge() as bridge:
            await bridge.drain()
            await assert_all_delivered_once(world, bridge)


async def test_a_backlog_is_found_over_several_sweeps_and_none_before_says_that_all_is_done(world: World) -> None:
    for number in range(50):
        play(world, "text", at=START - 3600 + 60 * number)
    world.clock.time = START + 10
    with mock.patch.multiple("bridge.sweep.discovery", _FIRST_PAGE=20, FULL_PAGE=20, _ENOUGH=30):
        async with world.bridge() as bridge:
            said = [(await bridge.service.sweep()).listing for _ in range(3)]
            await bridge.drain()
            await assert_all_delivered_once(world, bridge)
    assert said == [True, False, False]


async def test_start_from_now_leaves_the_past_alone_also_after_a_restart(world: World) -> None:
    world.environ["BRIDGE_START_FROM"] = "now"
    play(world, "text", at=START - 100)
    new = play(world, "text", at=START + 20)
    async with world.bridge() as bridge:
        await bridge.sweep()
    world.clock.time = START + 40
    async with world.bridge() as bridge:
        await bridge.drain()
    assert world.delivered("invoke_agent", "letta.run.id") == new


async def test_a_run_that_becomes_visible_late_and_out_of_order_is_found(world: World) -> None:
    late = recording.load("text").model_copy(
        update={"changes": [c.model_copy(update={"at": c.at + 30}) for c in recording.load("text").changes]}
    )
    late.play(world.store, START)
    play(world, "text", at=START + 3)
    async with world.bridge() as bridge:
        await bridge.drain()
        await assert_all_delivered_once(world, bridge)


@pytest.mark.parametrize("ahead", [3600, -3600])
async def test_an_hour_between_the_clocks_changes_nothing(world: World, ahead: float) -> None:
    patient(world)
    world.environ["BRIDGE_START_FROM"] = "now"
    world.lettas_clock.ahead = ahead
    play(world, "text", at=START + ahead - 100)
    async with world.bridge() as bridge:
        await bridge.sweep()
        new = play(world, "tool_ok", at=START + ahead + 20)
        await bridge.drain()
    assert world.delivered("invoke_agent", "letta.run.id") == new


async def test_new_runs_are_found_after_the_servers_clock_was_set_back_an_hour(world: World) -> None:
    world.lettas_clock.ahead = 3600
    play(world, "text", at=START + 3600)
    async with world.bridge() as bridge:
        await bridge.sweep(times=8)
        world.lettas_clock.ahead = 0
        play(world, "tool_ok", at=world.clock.time)
        await bridge.drain()
        await assert_all_delivered_once(world, bridge)


async def test_a_step_that_cannot_be_read_is_kept_and_the_run_goes_on(world: World) -> None:
    play(world, "tool_ok")
    world.clock.time += 60
    first, *_ = world.store.rows(Table.STEPS)
    world.store.put(Table.STEPS, first.id, {"prompt_tokens": "many"})
    async with world.bridge() as bridge:
        await bridge.drain()
        assert world.delivered("agent_step", "letta.step.id") == [i for i in ids(world, Table.STEPS) if i != first.id]
        assert await bridge.ledger.dead_letter_count() == 1
        await bridge.sweep(times=3)
        assert await bridge.ledger.dead_letter_count() == 1


async def test_a_cursor_that_letta_no_longer_knows_does_not_close_its_run(world: World) -> None:
    play(world, "server_killed")
    async with world.bridge() as bridge:
        await bridge.sweep(times=2)
        (run_id,) = ids(world, Table.RUNS)
        followed = await bridge.ledger.run(run_id)
        assert followed is not None
        lost = followed.model_copy(update={"cursor": LOOSE, "next_visit": 0.0})
        await bridge.ledger.commit(Batch((), 0, Plan(runs=(lost,))))
        await bridge.sweep()
        after = await bridge.ledger.run(run_id)
        assert after is not None
        assert after.phase is Phase.OPEN


async def test_a_deleted_agents_runs_are_closed_and_cost_nothing_more(world: World) -> None:
    play(world, "server_killed")
    async with world.bridge() as bridge:
        await bridge.sweep(times=3)
        for row in world.store.rows(Table.AGENTS):
            world.store.delete_agent(row.id)
        await bridge.drain()


async def test_steps_without_a_run_arrive_where_the_global_list_works(world: World) -> None:
    world.letta.global_steps = True
    fields: dict[str, Any] = {"status": "failed", "error_type": "LLMServerError", "agent_id": "agent-1"}
    world.store.put(Table.STEPS, LOOSE, fields, created_at=START, visible_at=START)
    async with world.bridge() as bridge:
        await bridge.sweep(times=60)
        assert world.delivered("agent_step", "letta.step.id") == [LOOSE]
        assert await bridge.total("letta.steps") == 1


async def test_a_tool_that_waited_for_approval_is_one_span_linked_to_its_step(world: World) -> None:
    play(world, "approval")
    async with world.bridge() as bridge:
        await bridge.drain()
    tools = world.spans("execute_tool")
    assert len(tools) == 1
    steps: Sequence[Any] = world.spans("agent_step")
    owner = next(step for step in steps if attribute(step, "letta.step.id") == attribute(tools[0], "letta.step.id"))
    linked = {link.span_id for link in tools[0].links} | {tools[0].parent_span_id}
    assert owner.span_id in linked


class RunningClock(HandClock):
    """Goes on by a hundredth of a second each time it is read, as a real one does."""

    def now(self) -> float:
        self.time += 0.01
        return self.time


async def test_no_run_is_visited_twice_in_a_sweep_while_the_clock_goes_on(world: World) -> None:
    world.clock.__class__ = RunningClock
    play(world, "server_killed", "server_killed")
    async with world.bridge() as bridge:
        for _ in range(4):
            report = await bridge.service.sweep()
            assert report.visits <= 2
            world.clock.time += 5
