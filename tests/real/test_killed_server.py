"""A Letta server killed in the middle of runs leaves them `created` or `running` for ever, their steps `pending`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from real.seen import SeenSpan
from real.world import World

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def zombies(world: World) -> set[str]:
    """The ids of the runs the server died in."""
    if not world.zombies:
        pytest.skip("this server may not be killed: set LETTA_LAB_DIR to where it lives")
    return {run for runs in world.zombies.values() for run in runs}


def test_the_api_says_nothing_of_the_crash(world: World, zombies: set[str]) -> None:
    """What makes the rest worth testing: no row tells that these are over."""
    assert {world.truth.runs[run].ending.outcome for run in zombies} == {"abandoned"}


def test_each_run_is_closed_as_abandoned(world: World, zombies: set[str]) -> None:
    for span in _of(world, zombies, "invoke_agent"):
        assert (span.status, span.attributes["error.type"]) == ("error", "abandoned"), span


def test_each_pending_step_is_abandoned_and_the_one_before_it_is_a_success(world: World, zombies: set[str]) -> None:
    second = world.zombies["second step"][0]
    for lane in world.lanes.values():
        outcomes: dict[str, list[str]] = {run: [] for run in zombies}
        for span in sorted(lane.spans, key=lambda span: span.start_ns):
            if span.operation == "agent_step" and span.run_id in zombies:
                outcomes[span.run_id].append(str(span.attributes["letta.step.status"]))
        assert outcomes.pop(second) == ["success", "abandoned"]
        assert list(outcomes.values()) == [["abandoned"]] * len(outcomes)


def _of(world: World, runs: set[str], operation: str) -> Iterator[SeenSpan]:
    for lane in world.lanes.values():
        found = [span for span in lane.spans if span.operation == operation and span.run_id in runs]
        assert {span.run_id for span in found} == runs
        yield from found
