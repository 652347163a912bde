"""Differences: together they are the total, whatever came between."""

import random

import pytest
from measuring import alone

from bridge.export.deltas import differences
from bridge.ledger.ledger import Told
from bridge.map.series import SeriesKey
from bridge.map.telemetry import Measurement
from bridge.map.totals import Total, fold

STEPS: SeriesKey = ("letta.steps", (("letta.step.status", "failed"),))
DURATION: SeriesKey = ("letta.step.duration", ())
COST: SeriesKey = ("letta.cost", ())


def counted(key: SeriesKey, *values: float) -> Total:
    return fold(alone(Measurement(*key, value)) for value in values)[key]


def test_the_first_holds_all_since_the_beginning() -> None:
    totals = {STEPS: counted(STEPS, 1, 1), DURATION: counted(DURATION, 0.5)}
    found = differences(totals, Told(7, {}))
    assert {key: (one.added, one.since_ns, one.whole) for key, one in found.items()} == {
        key: (total, 7, total) for key, total in totals.items()
    }


def test_the_next_holds_what_came_since() -> None:
    before, after = counted(DURATION, 0.5, 7.0), counted(DURATION, 0.5, 7.0, 7.5)
    one = differences({DURATION: after}, Told(9, {DURATION: (before, 8)}))[DURATION]
    assert one.added == counted(DURATION, 7.5)
    assert (one.since_ns, one.whole) == (8, after)


def test_what_did_not_move_is_left_out() -> None:
    total = counted(STEPS, 1)
    assert differences({STEPS: total, DURATION: Total()}, Told(9, {STEPS: (total, 8)})) == {}


def test_an_unknown_instrument_waits_for_a_version_that_knows_it() -> None:
    assert differences({("letta.odd", ()): Total(sum=1, count=1)}, Told(9, {})) == {}


def test_whole_numbers_stay_exact() -> None:
    before, after = Total(sum=2**60, count=1), Total(sum=2**60 + 1, count=2)
    assert repr(differences({STEPS: after}, Told(9, {STEPS: (before, 8)}))[STEPS].added) == repr(
        Total(sum=1, count=1)
    )


@pytest.mark.parametrize("seed", range(5))
def test_rounding_errors_never_pile_up(seed: int) -> None:
    numbers = random.Random(seed)
    total, told, received = Total(), Told(1, {}), 0.0
    for at in range(2000):
        total = total.plus(counted(COST, numbers.random() * 10 ** numbers.randint(-9, 6)))
        one = differences({COST: total}, told)[COST]
        assert one.added.sum >= 0
        received += one.added.sum
        told = Told(at, {COST: (one.whole, at)})
    assert received == pytest.approx(total.sum, rel=1e-15)


def test_the_ledger_knows_what_a_backend_that_adds_up_has() -> None:
    before, total = Total(sum=0.76, count=1), Total(sum=3.31, count=2)
    one = differences({COST: total}, Told(9, {COST: (before, 8)}))[COST]
    assert one.whole.sum == 0.76 + one.added.sum != 3.31
    (again,) = differences({COST: Total(sum=3.31, count=3)}, Told(9, {COST: (one.whole, 8)})).values()
    assert one.whole.sum + again.added.sum == 3.31
