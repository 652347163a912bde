"""The canned server is like the real one where it counts: sizes, fields, cursors; and the contestants are fair."""

import json
import sys
from statistics import median

import pytest

from benchmarks.canned.http import Request
from benchmarks.canned.letta import CannedLetta
from benchmarks.canned.records import KINDS, World, dumped, run_id, step_id
from benchmarks.compare import Comparison, check
from benchmarks.stage import Failed, Result, Workload
from bridge.source.models import MESSAGES, RUN_METRICS, RUNS, STEP_METRICS, STEPS, unknown_fields

WORLD = World(runs=10, steps=4, open_runs=2, spacing=60.0, newest=1_800_000_000.0)


def answer(target: str) -> object:
    return json.loads(CannedLetta(WORLD)(Request(b"GET", target.encode(), b"")).body)


def numbers(target: str) -> list[int]:
    rows = answer(target)
    assert isinstance(rows, list)
    return [int(row["id"].split("-")[1], 16) for row in rows]


def test_records_have_the_sizes_of_real_ones() -> None:
    steps = [len(dumped(WORLD.step(run, step))) for run in range(10) for step in range(4)]
    assert median(steps) == pytest.approx(906, rel=0.05)
    assert len(dumped(WORLD.run(3))) == pytest.approx(660, rel=0.05)


def test_records_have_no_field_that_the_bridge_does_not_know() -> None:
    runs = RUNS.validate_json(dumped([WORLD.run(3), WORLD.run(9)]))
    steps = STEPS.validate_json(dumped([WORLD.step(3, 0), WORLD.step(3, 3)]))
    lengths = [
        STEP_METRICS.validate_python(WORLD.step_metrics(3, 0)),
        RUN_METRICS.validate_python(WORLD.run_metrics(3)),
    ]
    assert not unknown_fields([*runs, *steps, *lengths])
    messages = MESSAGES.validate_json(dumped(WORLD.messages(3)))
    assert [message.message_type for message in messages].count("tool_return_message") == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=3", [9, 8, 7]),
        (f"order=desc&limit=3&before={run_id(4)}", [3, 2, 1]),
        (f"order=desc&after={run_id(4)}", [9, 8, 7, 6, 5]),
        (f"order=asc&before={run_id(4)}", [5, 6, 7, 8, 9]),
        (f"order=asc&after={run_id(4)}", [0, 1, 2, 3]),
        ("active=True", [9, 8]),
    ],
)
def test_the_cursors_of_the_run_list_are_swapped(query: str, expected: list[int]) -> None:
    assert numbers(f"/v1/runs/?{query}") == expected


def test_steps_and_messages_go_on_after_their_cursor() -> None:
    steps = answer(f"/v1/runs/{run_id(2)}/steps?order=asc&after={step_id(2, 1)}")
    assert isinstance(steps, list)
    assert [step["id"] for step in steps] == [step_id(2, 2), step_id(2, 3)]
    first = answer(f"/v1/runs/{run_id(2)}/messages?order=asc&limit=4")
    assert isinstance(first, list)
    rest = answer(f"/v1/runs/{run_id(2)}/messages?order=asc&after={first[-1]['id']}")
    assert [*first, *rest] == WORLD.messages(2)  # type: ignore[misc]


def test_a_body_from_a_template_is_the_one_that_would_have_been_written() -> None:
    world = World(
        runs=2 * KINDS + 3, steps=4, open_runs=2, spacing=59.7, newest=1_800_000_000.3, added=[1_800_000_009.5]
    )
    canned = CannedLetta(world)

    def body(target: str) -> bytes:
        return canned(Request(b"GET", target.encode(), b"")).body

    for run in (0, 1, KINDS, KINDS + 1, *range(2 * KINDS, world.count)):
        steps = [world.step(run, step) for step in range(4)]
        messages = [message for step in range(4) for message in world.step_messages(run, step)]
        of = f"/v1/runs/{run_id(run)}"
        assert body(f"{of}/steps?order=asc&limit=1000") == dumped(steps)
        assert body(f"{of}/steps?limit=2") == dumped(steps[:1:-1])
        assert body(f"{of}/steps?order=asc&after={step_id(run, 2)}") == dumped(steps[3:])
        assert body(f"{of}/messages?order=asc&limit=1000") == dumped(messages)
        assert body(f"{of}/messages?order=asc&after={messages[3]['id']}") == dumped(messages[4:])
    assert STEPS.validate_json(body(f"/v1/runs/{run_id(KINDS)}/steps"))[0].run_id == run_id(KINDS)


def result(cpu: float, **received: int) -> Result:
    return Result({"cpu": cpu}, {}, received)


def test_a_contestant_that_delivers_less_is_no_contestant() -> None:
    whole = {"spans": 300, "spans.chat": 100, "attributes.chat": 2200}
    check({"naive": [result(1.0, **whole)], "ours": [result(0.2, **whole)]})
    with pytest.raises(Failed, match="not the same output"):
        check({"naive": [result(1.0, **whole)], "ours": [result(0.2, **{**whole, "attributes.chat": 2100})]})
    with pytest.raises(Failed, match="floor"):
        check({"ours": [result(1.0, **whole)], "floor": [result(0.1, spans=200)]})


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    rounds = {"naive": [result(11.0), result(21.0), result(41.0)], "ours": [result(3.0), result(5.0), result(11.0)]}
    both = Comparison(Workload("x", runs=1, steps=1004), rounds, {"naive": 1.0, "ours": 1.0})
    assert both.rounds("naive") == [10.0, 20.0, 40.0]
    assert both.ratio("naive", "ours") == 5.0


def test_nothing_here_needs_what_only_the_naive_contestant_uses() -> None:
    assert "letta_client" not in sys.modules
