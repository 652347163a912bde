"""What the property test has found, each as its smallest case."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from bridge_world import START
from torture.torture_letta import AGENTS, Letta
from torture.torture_truth import complaints
from torture.torture_world import TortureWorld

from bridge.export.answers import Signal


@pytest.fixture
def world(tmp_path: Path) -> TortureWorld:
    return TortureWorld(tmp_path)


async def wrong(world: TortureWorld) -> list[str]:
    await world.live(world.to_the_end)
    return complaints(world, await world.books())


async def test_a_page_of_messages_that_ends_within_the_last_step_is_not_the_last(world: TortureWorld) -> None:
    world.page_cap = 20
    letta = Letta(world.store)
    run = letta.new_run(START, AGENTS[0])
    for number in range(11):  # two messages each but for one; of the last one's the first is the twentieth
        at, last = START + number / 10, number == 10
        letta.finish(at, run, letta.new_step(at, run), tools=int(number != 5), thinks=last)
    letta.end(START + 2, run, "completed")
    world.clock.time += 5
    assert await wrong(world) == []


async def test_a_walk_through_runs_of_one_instant_goes_on_beside_a_look_at_the_newest(world: TortureWorld) -> None:
    world.page_cap = 2
    letta = Letta(world.store)
    for late in (1000.0, 1000.0, 1000.0, *[0.0] * 7):
        letta.end(START, letta.new_run(START, AGENTS[0], late=late), "completed")
    with mock.patch("bridge.sweep.discovery._PAGES_A_SWEEP", 2):
        assert await wrong(world) == []


async def test_feedback_on_a_conversation_is_told_although_its_run_says_created_for_ever(world: TortureWorld) -> None:
    letta = Letta(world.store)
    run = letta.new_run(START, AGENTS[0])
    step = letta.new_step(START, run)
    letta.finish(START, run, step)
    world.agenda = [(START + 1000, lambda: letta.give_feedback(step, "positive"))]
    world.step, world.until = 150.0, START + 8 * 86_400
    assert await wrong(world) == []
    assert len(world.backend.times[Signal.LOGS]) == 1
