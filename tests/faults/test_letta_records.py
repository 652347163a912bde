"""Single records that cannot be read as they are: each costs itself at most, and is a dead letter once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bridge_world import START, World
from faults.letta import LENGTHS, MESSAGES, RUN_LENGTHS, RUN_LIST, STEPS, LettaSide, edits, says
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, ticks

from bridge.demo.standin.rows import Table

ODD_NUMBERS = {"a number past 64 bits": 10**30, "a number of 1,000 digits": 10**1000, "a number with a fraction": 1.5}
JSON = {"content-type": "application/json"}


def fault(kind: str, *values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.fault("letta", kind), id=kind)


def changed(row_id: str, **fields: Any) -> Callable[[Any], Any]:
    """An edit of one record, in a list or alone."""

    def change(body: Any) -> Any:
        for row in body if isinstance(body, list) else [body]:
            if row["id"] == row_id:
                row.update(fields)
        return body

    return change


STEPS_AMISS = [
    fault("a step whose count is a text", {"prompt_tokens": "many"}),
    fault("a step whose error is a list", {"error_data": ["no"]}),
    fault("a step whose tags are an object", {"tags": {"a": 1}}),
    fault("a step whose id is a number", {"id": 7}),
    fault("a step whose id is empty", {"id": ""}),
    fault("a step whose id is longer than an address may be", {"id": "step-" + "x" * 70_000}),
    *(fault(f"a step with {kind}", {"prompt_tokens": number}) for kind, number in ODD_NUMBERS.items()),
    fault("a step with a number past 64 bits in its details", {"prompt_tokens_details": {"cached_tokens": 10**40}}),
]


@pytest.mark.parametrize("fields", STEPS_AMISS)
@pytest.mark.parametrize("position", [0, -1])
async def test_one_step_amiss(
    world: World, letta: LettaSide, lines: Lines, fields: dict[str, Any], position: int
) -> None:
    play(world, "multi_step", "text")
    world.clock.time += 60
    bad = [row.id for row in world.store.rows(Table.STEPS) if row.fields["model"]][position]
    async with world.bridge() as bridge:
        with letta.fault(STEPS, edits(changed(bad, **fields))) as happening:
            await drained(world, bridge)
            assert happening.met
        await assert_promise(world, bridge, letters=1, unread=[bad])
    lines.assert_one("Letta", "dead letter")


RUNS_AMISS = [
    fault("a run whose flag is a text", {"background": "perhaps"}),
    fault("a run whose metadata are a text", {"metadata": "none"}),
    fault("a run whose end is in the year 9999", {"completed_at": "9999-12-31T23:59:59"}),
    fault("a run with a number past 64 bits", {"total_duration_ns": 10**30}),
]


@pytest.mark.parametrize("fields", RUNS_AMISS)
async def test_one_run_amiss_is_followed_all_the_same(
    world: World, letta: LettaSide, lines: Lines, fields: dict[str, Any]
) -> None:
    (bad,) = play(world, "multi_step")
    play(world, "text")
    async with world.bridge() as bridge:
        with letta.fault(r"/v1/runs/(\?|[^/]+$)", edits(changed(bad, **fields))):
            await drained(world, bridge)
            await ticks(world, bridge, 3)
            await assert_promise(world, bridge, letters=0)
    lines.assert_one("Letta", "goes on without it")


RUNS_BEYOND = [
    fault("a run without a created_at", {"created_at": None}),
    fault("a run of the year 1", {"created_at": "0001-01-01T00:00:00Z"}),
    fault("a run of the year 9999", {"created_at": "9999-12-31T23:59:59Z"}),
    fault("a run whose id is a number", {"id": 7}),
]


@pytest.mark.parametrize("fields", RUNS_BEYOND)
async def test_one_run_that_has_no_place(
    world: World, letta: LettaSide, lines: Lines, fields: dict[str, Any]
) -> None:
    (bad,) = play(world, "text")
    play(world, "tool_ok", at=START + 1)
    async with world.bridge() as bridge:
        with letta.fault(r"/v1/runs/(\?|[^/]+$)", edits(changed(bad, **fields))):
            await drained(world, bridge)
            await ticks(world, bridge, 3)
        steps = [row.id for row in world.store.rows(Table.STEPS) if row.fields["run_id"] == bad]
        await assert_promise(world, bridge, letters=1, unread=[bad, *steps])
    lines.assert_one("Letta", "dead letter")


MESSAGES_AMISS = [
    fault("a message whose tools are a text", {"tool_calls": "hammer"}),
    fault("a message of the year 9999", {"date": "9999-12-31T23:59:59Z"}),
    fault("a message without an id", {"id": None}),
]


@pytest.mark.parametrize("fields", MESSAGES_AMISS)
async def test_one_message_amiss_costs_no_step(
    world: World, letta: LettaSide, lines: Lines, fields: dict[str, Any]
) -> None:
    play(world, "multi_step", "text")
    world.clock.time += 60
    bad = world.store.rows(Table.MESSAGES)[-1].id
    async with world.bridge() as bridge:
        with letta.fault(MESSAGES, edits(changed(bad, **fields))) as happening:
            await drained(world, bridge)
            assert happening.met
        await assert_promise(world, bridge, letters=1)
    lines.assert_one("Letta", "dead letter")


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        fault("a length that is a text", LENGTHS, {"step_ns": "long"}),
        fault("a length past 64 bits", LENGTHS, {"step_ns": 10**30}),
        fault("a negative length", LENGTHS, {"step_ns": -(10**12)}),
        fault("a run's start that is a text", RUN_LENGTHS, {"run_start_ns": "early"}),
        fault("a run's start before all time", RUN_LENGTHS, {"run_start_ns": -(2**62)}),
        fault("a run's start after all time", RUN_LENGTHS, {"run_start_ns": 2**63 - 1}),
    ],
)
async def test_lengths_amiss_cost_nothing(
    world: World, letta: LettaSide, lines: Lines, route: str, fields: dict[str, Any]
) -> None:
    play(world, "multi_step", "text")
    async with world.bridge() as bridge:
        with letta.fault(route, edits(lambda row: {**row, **fields})) as happening:
            await drained(world, bridge)
            assert happening.met
        await assert_promise(world, bridge)
    lines.assert_quiet()
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in world.sink.accepted)


@pytest.mark.fault("letta", "a row that breaks the server's answer for one run, for good")
@pytest.mark.parametrize("status", [500, 403, 502])
async def test_one_run_that_can_never_be_read_costs_no_other_anything(
    world: World, letta: LettaSide, lines: Lines, status: int
) -> None:
    (bad,) = play(world, "tool_ok")
    async with world.bridge() as bridge:
        with letta.fault(rf"/v1/runs/{bad}/steps", says(status, detail="no")):
            for _ in range(6):
                play(world, "text")
            await ticks(world, bridge, 20)
            assert len(world.delivered("invoke_agent", "letta.run.id")) == 6
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("Letta", bad)


@pytest.mark.fault("letta", "a row that breaks the server's answer for one step's lengths, for good")
@pytest.mark.parametrize("status", [500, 400])
async def test_one_steps_lengths_that_can_never_be_read(
    world: World, letta: LettaSide, lines: Lines, status: int
) -> None:
    play(world, "multi_step", "text")
    world.clock.time += 60
    bad = world.store.rows(Table.STEPS)[0].id
    async with world.bridge() as bridge:
        with letta.fault(rf"/v1/steps/{bad}/metrics", says(status, detail="no")):
            await drained(world, bridge)
            await assert_promise(world, bridge)
    lines.assert_one("Letta", bad)


@pytest.mark.fault("letta", "the same step twice on a page")
async def test_a_step_that_is_listed_twice_counts_once(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "multi_step")
    async with world.bridge() as bridge:
        with letta.fault(STEPS, edits(lambda rows: [row for row in rows for _ in range(2)])):
            await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("letta", "10 MB of error text in a step")
async def test_ten_megabytes_of_error_text(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "llm_500", "text")
    world.clock.time += 60
    bad = next(row.id for row in world.store.rows(Table.STEPS) if row.fields["status"] == "failed")
    text = "why " * (10 << 18)
    error = {"message": text, "traceback": text, "details": {"raw": text}}
    async with world.bridge() as bridge:
        with letta.fault(STEPS, edits(changed(bad, error_data=error))):
            await drained(world, bridge)
        await assert_promise(world, bridge)
    assert max(map(len, world.sink.requests)) < 1 << 20
    lines.assert_quiet()


@pytest.mark.fault("letta", "ids that would be another address")
async def test_an_id_with_a_slash_asks_no_other_route(world: World, letta: LettaSide, lines: Lines) -> None:
    play(world, "tool_ok")
    (odd,) = play(world, "text", at=START + 1)
    play(world, "text", at=START + 2)
    world.clock.time += 5
    asked: list[str] = []
    letta.watch = lambda request: asked.append(request.url.raw_path.decode())
    async with world.bridge() as bridge:
        with letta.fault(RUN_LIST, edits(changed(odd, id="../agents/x?y=\n#"))):
            await ticks(world, bridge, 3)
        assert any(path.startswith("/v1/runs/..%2Fagents%2Fx%3Fy%3D%0A%23") for path in asked)
        assert not [path for path in asked if path.startswith("/v1/agents/x")]
    assert lines.troubles, "the stand-in calls it a 400"


@pytest.mark.fault("letta", "a run that cannot be read, through restarts of the bridge")
async def test_a_run_amiss_is_one_letter_through_restarts(world: World, letta: LettaSide) -> None:
    (bad,) = play(world, "text")
    play(world, "multi_step", at=START + 1)
    with letta.fault(r"/v1/runs/(\?|[^/]+$)", edits(changed(bad, created_at=None))):
        for _ in range(4):
            async with world.bridge() as bridge:
                await ticks(world, bridge, 2)
        async with world.bridge() as bridge:
            await drained(world, bridge)
            steps = [row.id for row in world.store.rows(Table.STEPS) if row.fields["run_id"] == bad]
            await assert_promise(world, bridge, letters=1, unread=[bad, *steps])
