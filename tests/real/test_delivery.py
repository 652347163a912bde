"""Every settled step of a real server once at each real receiver, and totals that are the sum over the API."""

from __future__ import annotations

import pytest

from real import compare
from real.world import LANES, LEFT_ALONE, Lane, World

pytestmark = pytest.mark.real


@pytest.fixture(scope="session", params=LANES)
def lane(world: World, request: pytest.FixtureRequest) -> Lane:
    """One bridge and its receiver; a span that a killed bridge sent again, and the same, counts once."""
    return world.lanes[request.param]


def test_the_pass_saw_every_way_to_end(world: World) -> None:
    """Otherwise the tests below would prove less than they say."""
    endings = {step.ending.outcome for step in world.truth.steps.values()}
    assert endings >= {"success", "failed", "cancelled"}
    assert {run.ending.outcome for run in world.truth.runs.values()} >= {"completed", "failed", "cancelled"}
    assert any(tool.failed for tool in world.truth.tools)
    assert any(tool.run_id != world.truth.steps[tool.step_id].run_id for tool in world.truth.tools), "no approval"
    assert {run for runs in world.played.values() for run in runs} <= world.truth.runs.keys()


def test_every_step_request_tool_and_run_has_one_span(world: World, lane: Lane) -> None:
    _none(compare.spans_once(world.truth, lane.spans))


def test_every_span_hangs_where_it_belongs(world: World, lane: Lane) -> None:
    _none(compare.parents(world.truth, lane.spans))


def test_every_status_is_how_it_ended(world: World, lane: Lane) -> None:
    _none(compare.statuses(world.truth, lane.spans))


def test_tokens_are_those_of_the_api(world: World, lane: Lane) -> None:
    _none(compare.usage(world.truth, lane.spans))


def test_kinds_and_times_make_sense(lane: Lane) -> None:
    _none(compare.shape(lane.spans))


def test_steps_start_in_the_order_of_the_api(world: World, lane: Lane) -> None:
    _none(compare.order(world.truth, lane.spans))


def test_totals_on_the_metrics_page_are_the_sum_over_the_api(world: World, lane: Lane) -> None:
    _none(compare.totals(world.truth, lane.page))


@pytest.mark.parametrize("name", [name for name in LANES if name != "phoenix"])  # it takes no metrics
def test_totals_over_otlp_are_the_sum_over_the_api(world: World, name: str) -> None:
    points = world.lanes[name].points
    assert points
    _none(compare.totals(world.truth, compare.last_totals(points)))
    _none(compare.never_back(points))


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_the_bridge_ends_well(world: World, name: str) -> None:
    assert world.lanes[name].service.stopped_with == [0]


def _none(complaints: list[str]) -> None:
    assert not complaints, "\n".join(["", *sorted(complaints)])
