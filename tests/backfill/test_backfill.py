"""What is older than the service's own arrives once, and the service's totals stay as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from backfill_world import DAY, START, Past, Table
from bridge_world import attribute

from bridge.demo import recording
from bridge.errors import SettingsError
from bridge.export.answers import Accepted, Answer

ALL = recording.names()


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


async def test_every_recording_arrives_once_with_all_its_steps(past: Past) -> None:
    for number, name in enumerate(ALL):
        past.play(name, at=START + number * 3600)
    result = await past.backfill()
    past.assert_all_sent_once()
    assert (result.tally.runs, result.tally.steps) == (len(past.ids(Table.RUNS)), len(past.ids(Table.STEPS)))
    assert (result.going_on, result.unfinished, result.letters, result.tally.share) == (0, 0, 0, 1.0)
    assert result.tally.spans == len(past.sink.accepted)


async def test_the_same_again_sends_nothing_and_keeps_no_tombstone(past: Past) -> None:
    past.texts(3)
    await past.backfill()
    sent = len(past.sink.requests)
    again = await past.backfill()
    assert len(past.sink.requests) == sent
    assert (again.tally.runs, again.passed) == (0, 3)
    with closing(sqlite3.connect(past._folder / "ledger")) as ledger:
        assert ledger.execute("SELECT count(*) FROM run").fetchone() == (0,)
        assert len(ledger.execute("SELECT * FROM covered").fetchall()) == 1


async def test_only_the_time_that_was_asked_for(past: Past) -> None:
    past.environ["BRIDGE_START_FROM"] = "1h"
    past.texts(10, every=DAY)
    await past.backfill("2027-01-17", "2027-01-20")
    since, until = 1_800_144_000.0, 1_800_403_200.0
    assert past.runs_sent() == past.ids(Table.RUNS, since=since, until=until)
    assert len(past.runs_sent()) == 3
    await past.backfill("2027-01-16", "2027-01-22")
    assert past.runs_sent() == past.ids(Table.RUNS, since=since - DAY, until=until + 2 * DAY)
    await past.backfill()
    past.assert_all_sent_once()


async def test_a_service_that_ran_before_keeps_its_own_and_its_totals(past: Past) -> None:
    past.texts(4, at=START)
    past.texts(3, at=START + 30 * DAY - 1800)
    past.environ["BRIDGE_START_FROM"] = "1h"
    async with past.bridge() as bridge:
        await bridge.drain()
        assert len(past.runs_sent()) == 3
        before = await bridge.ledger.totals()
    result = await past.backfill(until="now")
    past.assert_all_sent_once()
    assert result.tally.runs == 4
    assert any("the service's" in line for line in past.seen.lines)
    async with past.bridge() as bridge:
        assert await bridge.ledger.totals() == before
        await bridge.drain()
    past.assert_all_sent_once()


async def test_with_metrics_the_totals_grow_by_exactly_what_was_sent(past: Past) -> None:
    for number, name in enumerate(ALL):
        past.play(name, at=START + number * 3600)
    past.play("tool_ok", "multi_step", at=START + 30 * DAY - 1800)
    past.environ["BRIDGE_START_FROM"] = "1h"
    async with past.bridge() as bridge:
        await bridge.drain()
    await past.backfill(metrics=True)
    async with past.bridge() as bridge:
        assert await bridge.total("letta.runs") == len(past.ids(Table.RUNS))
        assert await bridge.total("letta.steps") == len(past.ids(Table.STEPS))
    past.assert_all_sent_once()


async def test_the_service_goes_on_where_a_first_backfill_ended(past: Past) -> None:
    past.texts(4, at=START)
    past.texts(5, at=START + 30 * DAY - 400, every=50)
    await past.backfill()
    assert any("the service has not run yet: it will go on from" in line for line in past.seen.lines)
    sent = past.runs_sent()
    assert sent == past.ids(Table.RUNS, until=START + 30 * DAY - 300)
    assert 4 < len(sent) < 9
    async with past.bridge() as bridge:  # BRIDGE_START_FROM=beginning must not send it all again
        await bridge.drain()
        assert await bridge.total("letta.runs") == 9 - len(sent)
    past.assert_all_sent_once()


async def test_a_run_that_shows_up_late_is_lost_to_neither(past: Past) -> None:
    at = past.clock.time - 2
    late = recording.load("text").model_copy(
        update={"changes": [c.model_copy(update={"at": c.at + 30}) for c in recording.load("text").changes]}
    )
    late.play(past.store, at)
    past.play("text", at=START)
    await past.backfill()
    async with past.bridge() as bridge:
        await bridge.drain()
    past.assert_all_sent_once()


async def test_right_after_the_service_began_the_newest_runs_are_looked_for_again(past: Past) -> None:
    past.environ["BRIDGE_START_FROM"] = "now"
    late = recording.load("text").model_copy(
        update={"changes": [c.model_copy(update={"at": c.at + 60}) for c in recording.load("text").changes]}
    )
    late.play(past.store, past.clock.time - 1)
    past.texts(3)
    async with past.bridge() as bridge:
        await bridge.sweep()
    first = await past.backfill()
    assert first.not_yet_shown
    assert len(past.runs_sent()) == 3
    past.clock.time += 600
    second = await past.backfill()
    assert not second.not_yet_shown
    assert second.tally.runs == 1
    past.assert_all_sent_once()


async def test_one_agents_runs_and_then_all(past: Past) -> None:
    for number, name in enumerate(ALL):
        past.play(name, at=START + number * 3600)
    agents = sorted({row.fields["agent_id"] for row in past.store.rows(Table.RUNS)})
    assert len(agents) > 1
    await past.backfill(agent=agents[0])
    own = sorted(row.id for row in past.store.rows(Table.RUNS) if row.fields["agent_id"] == agents[0])
    assert past.runs_sent() == own
    result = await past.backfill()
    past.assert_all_sent_once()
    assert result.passed == len(own)
    for agent in agents:
        assert (await past.backfill(agent=agent)).tally.runs == 0


@pytest.mark.parametrize("agent", ["agent-00000000-0000-4000-8000-00000000dead", "nobody", "../runs/"])
async def test_an_unknown_agent_is_one_line(past: Past, agent: str) -> None:
    past.play("text", at=START)
    with pytest.raises(SettingsError, match=r"^--agent: [^\n]*$"):
        await past.backfill(agent=agent)
    assert past.runs_sent() == []


@pytest.mark.parametrize("documented", [False, True])
async def test_runs_of_one_instant_at_the_edges_of_pages(past: Past, *, documented: bool) -> None:
    past.letta.documented = documented
    past.texts(20, at=START)
    for _ in range(110):
        past.play("text", at=START + DAY)
    past.texts(50, at=START + 2 * DAY)
    await past.backfill()
    past.assert_all_sent_once()


async def test_a_zombie_is_closed_as_stale_and_a_young_run_is_left_open(past: Past) -> None:
    past.play("server_killed", at=START)
    (zombie,) = past.ids(Table.RUNS)
    past.play("server_killed", at=past.clock.time - 3600)
    past.play("text", at=START + DAY)
    result = await past.backfill()
    assert zombie in past.runs_sent()
    assert (result.going_on, result.tally.runs, len(past.runs_sent())) == (1, 2, 2)
    past.clock.time += 6 * 3600
    result = await past.backfill()
    assert (result.going_on, result.tally.runs) == (0, 1)
    past.assert_all_sent_once()


async def test_a_zombie_that_ends_after_all_is_gone_on_with(past: Past) -> None:
    past.play("server_killed", at=START)
    await past.backfill()
    (run,), sent = past.runs_sent(), past.steps_sent()
    step = "step-00000000-0000-4000-8000-000000000001"
    fields = {"run_id": run, "status": "success", "stop_reason": "end_turn"}
    past.store.put(Table.STEPS, step, fields, created_at=past.clock.time, visible_at=past.clock.time)
    past.store.put(Table.RUNS, run, {"status": "completed", "stop_reason": "end_turn"})
    await past.backfill()
    assert past.steps_sent() == sorted([*sent, step])
    assert past.runs_sent() == [run]


async def test_a_run_that_was_going_on_is_finished_by_the_same_command_later(past: Past) -> None:
    began = past.clock.time - 600
    slow = recording.load("tool_ok").model_copy(
        update={
            "changes": [
                c.model_copy(update={"at": c.at if number < 2 else c.at + 1000})
                for number, c in enumerate(recording.load("tool_ok").changes)
            ]
        }
    )
    slow.play(past.store, began)
    assert (await past.backfill()).going_on == 1
    assert past.runs_sent() == []
    past.clock.time += 1000
    assert (await past.backfill()).going_on == 0
    past.assert_all_sent_once()


async def test_progress_goes_one_way_and_ends_at_one(past: Past) -> None:
    past.texts(130, every=3600)
    past.slow_down(0.2)
    await past.backfill("2027-01-01")
    assert past.seen.shares == sorted(past.seen.shares)
    assert past.seen.shares[-1] == 1.0
    assert len({share for share in past.seen.shares if 0 < share < 1}) > 20


async def test_the_ledger_holds_one_page_of_runs_at_a_time(past: Past) -> None:
    past.texts(220)
    past.slow_down(0.1)
    held: list[int] = []

    def count(_payload: bytes) -> Answer:
        with closing(sqlite3.connect(past._folder / "ledger")) as ledger:
            held.append(ledger.execute("SELECT count(*) FROM run").fetchone()[0])
        return Accepted()

    past.sink.answer = count
    await past.backfill()
    assert len(held) > 20
    assert max(held) <= 100


async def test_lengths_are_asked_for_however_long_it_takes(past: Past) -> None:
    past.play(*["tool_ok"] * 60, at=START)
    past.slow_down(0.5)
    began = past.clock.time
    await past.backfill()
    assert past.clock.time - began > 120
    assert {attribute(span, "letta.timing") for span in past.spans("agent_step")} == {"reconstructed"}


async def test_covered_runs_cost_few_requests(past: Past) -> None:
    past.texts(210)
    await past.backfill()
    past.requests.clear()
    await past.backfill()
    assert len(past.requests) == 4, "the oldest, a page, a full page, and the empty one that proves the end"
