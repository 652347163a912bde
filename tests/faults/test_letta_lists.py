"""Lists that lie: pages that repeat or are cut, cursors that are gone, rows that come late or share an instant."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from bridge_world import START, World
from faults.letta import ACTIVE_LIST, MESSAGES, RUN_LIST, STEPS, LettaSide, after, edits, ignoring, page, says
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, survived, ticks

from bridge.demo.standin.rows import Table
from bridge.follow.state import Phase

NEXT_PAGE = r"/v1/runs/\?.*(before|after)="
MANY = 250
ENDED = {"status": "completed", "stop_reason": "end_turn"}


def runs(world: World, count: int, *, start: float = START - 9000, apart: float = 1.0) -> list[str]:
    """Old runs without steps, oldest first, each with an agent of its own."""
    made = sorted(f"run-{uuid.uuid4()}" for _ in range(count))
    for number, run in enumerate(made):
        at = start + number * apart
        world.store.put(Table.RUNS, run, {**ENDED, "agent_id": f"agent-{run[4:]}"}, created_at=at, visible_at=at)
    return made


@pytest.mark.fault("letta", "a page of the run list that repeats for ever")
async def test_a_run_list_that_repeats(world: World, letta: LettaSide, lines: Lines) -> None:
    runs(world, MANY)
    async with world.bridge() as bridge:
        with letta.fault(NEXT_PAGE, ignoring("before", "after")) as happening:
            await ticks(world, bridge, 10)
            assert 0 < happening.met < 50
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("Letta", "does not continue")


@pytest.mark.fault("letta", "a page of steps that repeats")
async def test_a_page_of_steps_that_repeats(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(f"{STEPS}.*after=", ignoring("after")))
        await assert_promise(world, bridge)


@pytest.mark.fault("letta", "a page of messages that repeats")
async def test_a_page_of_messages_that_repeats(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(f"{MESSAGES}.*after=", ignoring("after")))
        await assert_promise(world, bridge)


@pytest.mark.fault("letta", "a page of the run list cut short below the limit")
@pytest.mark.parametrize("cut", [1, 2, 50])
async def test_a_run_list_that_is_cut_short(world: World, letta: LettaSide, lines: Lines, cut: int) -> None:
    runs(world, 60, apart=100.0)
    async with world.bridge() as bridge:
        with letta.fault(RUN_LIST, edits(lambda rows: rows[:cut])):
            await ticks(world, bridge, 4)
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "a page of steps cut short below the limit")
async def test_a_page_of_steps_that_is_cut_short(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "multi_step", "max_steps", at=START - 600)
    async with world.bridge() as bridge:
        with letta.fault(STEPS, edits(lambda rows: rows[:1])) as happening:
            await drained(world, bridge)
            assert happening.met
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "a page of messages cut short below the limit")
async def test_a_page_of_messages_that_is_cut_short(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "multi_step", "tool_ok", at=START - 600)
    async with world.bridge() as bridge:
        with letta.fault(MESSAGES, edits(lambda rows: rows[:1])) as happening:
            await drained(world, bridge)
            assert happening.met
        await assert_promise(world, bridge)
    assert len(world.spans("execute_tool")) >= 2, "a tool's message was not on the first page"
    lines.assert_quiet()


@pytest.mark.fault("letta", "an active list cut short")
async def test_an_active_list_that_is_cut_short(world: World, letta: LettaSide, lines: Lines) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(ACTIVE_LIST, edits(lambda rows: rows[:1])))
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "the run that is the list's cursor is deleted between two pages")
async def test_the_run_lists_cursor_is_deleted(world: World, letta: LettaSide, lines: Lines) -> None:
    made = runs(world, MANY)
    last_of_the_first_page = made[-100]
    gone = lambda: world.store.delete_agent(f"agent-{last_of_the_first_page[4:]}")  # noqa: E731
    async with world.bridge() as bridge:
        with letta.fault(f"{NEXT_PAGE}{last_of_the_first_page}", after(gone), times=1) as happening:
            await drained(world, bridge)
            assert happening.met
        delivered = world.delivered("invoke_agent", "letta.run.id")
    assert set(delivered) - {last_of_the_first_page} == set(made) - {last_of_the_first_page}
    assert len(delivered) == len(set(delivered))
    lines.assert_quiet()


@pytest.mark.fault("letta", "runs inserted above and deleted below between two pages")
async def test_a_run_list_that_changes_between_pages(world: World, letta: LettaSide, lines: Lines) -> None:
    made = runs(world, MANY)
    new: list[str] = []

    def change() -> None:
        new.extend(runs(world, 3, start=START - 10))
        world.store.delete_agent(f"agent-{made[40][4:]}")

    async with world.bridge() as bridge:
        with letta.fault(NEXT_PAGE, after(change), times=1) as happening:
            await ticks(world, bridge, 1)
            assert happening.met
        await drained(world, bridge)
        await assert_promise(world, bridge)
    assert set(new) <= set(world.delivered("invoke_agent", "letta.run.id"))
    lines.assert_quiet()


@pytest.mark.fault("letta", "a cursor of the steps that was deleted")
async def test_a_cursor_of_the_steps_that_was_deleted(world: World, letta: LettaSide, lines: Lines) -> None:
    gone = says(404, detail="No Step found with id step-1")
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(f"{STEPS}.*after=", gone))
        await assert_promise(world, bridge)


@pytest.mark.fault("letta", "a cursor of the messages that was deleted")
async def test_a_cursor_of_the_messages_that_was_deleted(world: World, letta: LettaSide, lines: Lines) -> None:
    gone = says(404, detail="No message found with id 'message-1' for agent 'None'.")
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(f"{MESSAGES}.*after=", gone))
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "a run deleted mid-way, with its agent")
@pytest.mark.parametrize("route", [STEPS, MESSAGES, r"/v1/steps/[^/]+/metrics"])
async def test_a_run_deleted_mid_way(world: World, letta: LettaSide, lines: Lines, route: str) -> None:
    (doomed,) = play(world, "multi_step")
    (kept,) = play(world, "tool_raises")
    world.clock.time += 60
    row = world.store.get(Table.RUNS, doomed)
    assert row is not None
    agent = row.fields["agent_id"]
    async with world.bridge() as bridge:
        with letta.fault(route, after(lambda: world.store.delete_agent(agent)), times=1) as happening:
            await drained(world, bridge)
            assert happening.met
        run = await bridge.ledger.run(doomed)
        assert run is None or run.phase is Phase.CLOSED
        left = {row.id for row in world.store.rows(Table.STEPS)}
        assert left <= set(world.delivered("agent_step", "letta.step.id"))
        assert kept in world.delivered("invoke_agent", "letta.run.id")
        assert await bridge.ledger.in_flight() is None
    lines.assert_quiet()


@pytest.mark.fault("letta", "the server is killed with runs in flight and started again")
async def test_a_server_killed_with_runs_in_flight(world: World, letta: LettaSide, lines: Lines) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "60s"
    play(world, "server_killed", "conversation")
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault("/", page(503)))
        await assert_promise(world, bridge)
    lines.assert_one("Letta", "503")


@pytest.mark.fault("letta", "steps that become visible late, behind later ones")
async def test_steps_that_become_visible_late(world: World, letta: LettaSide, lines: Lines) -> None:
    def without_the_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if row["id"] != hidden]

    play(world, "multi_step", at=START - 5)
    world.clock.time += 5
    hidden = world.store.rows(Table.STEPS)[0].id
    async with world.bridge() as bridge:
        with letta.fault(STEPS, edits(without_the_first)) as happening:
            await ticks(world, bridge, 2)
            assert happening.met
        await drained(world, bridge)
        await assert_promise(world, bridge)


@pytest.mark.fault("letta", "runs that become visible late and out of order")
async def test_runs_that_become_visible_late(world: World, letta: LettaSide, lines: Lines) -> None:
    hidden = play(world, "text", "tool_ok")
    play(world, "multi_step", at=START + 2)
    late = edits(lambda rows: [row for row in rows if row["id"] not in hidden])
    async with world.bridge() as bridge:
        with letta.fault(f"{RUN_LIST}|{ACTIVE_LIST}", late) as happening:
            await ticks(world, bridge, 20)
            assert happening.met
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "two steps with the same created_at")
async def test_two_steps_of_one_instant(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "multi_step", "max_steps")
    async with world.bridge() as bridge:
        for _ in range(12):
            _of_one_instant(world, Table.STEPS, [row.id for row in world.store.rows(Table.STEPS)])
            await ticks(world, bridge, 1)
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "two runs with the same created_at on the edge of a page")
@pytest.mark.parametrize("documented", [False, True])
async def test_two_runs_of_one_instant_on_a_pages_edge(
    world: World, letta: LettaSide, lines: Lines, *, documented: bool
) -> None:
    world.letta.documented = documented
    made = runs(world, MANY)
    _of_one_instant(world, Table.RUNS, made[-105:-95])
    async with world.bridge() as bridge:
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "all runs with the same created_at")
async def test_all_runs_of_one_instant(world: World, letta: LettaSide, lines: Lines) -> None:
    runs(world, MANY, apart=0.0)
    async with world.bridge() as bridge:
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


def _of_one_instant(world: World, table: Table, ids: Sequence[str]) -> None:
    if ids:
        first = world.store.get(table, ids[0])
        assert first is not None
        for row_id in ids:
            world.store.put(table, row_id, {}, created_at=first.created_at.timestamp())
