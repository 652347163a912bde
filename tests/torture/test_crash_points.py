"""A kill at every await, statement, COMMIT and request of a whole life: the next process makes good, byte for byte.

One point again: `pytest tests/torture/test_crash_points.py --point busy:123` (or busy:123:45 with a second kill at
the 45th point of the recovery).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from torture.crash_points import lived
from torture.torture_dose import COUNTS, FULL, dose, judge, spread
from torture.torture_plays import PLAYS

SMALL, FULL_DOSE = 6, 120  # points a play
TWICE, TWICE_FULL = 1, 15  # of a second kill in the recovery from the first

pytestmark = pytest.mark.timeout(7200 if FULL else 60)


@pytest.mark.parametrize("name", PLAYS)
async def test_a_kill_at_any_point_loses_nothing_and_counts_nothing_twice(
    name: str, tmp_path: Path, only_point: tuple[str, Sequence[int]] | None
) -> None:
    if only_point:
        play, kills = only_point
        if play != name:
            pytest.skip("a point of another play is asked for")
        await check(name, kills, tmp_path / "only")
        return
    points = await check(name, [], tmp_path / "undisturbed")
    for point in spread(points, dose(small=SMALL, full=FULL_DOSE, every=points)):
        await check(name, [point], tmp_path / f"{point}")
    rng = random.Random(name)
    for number in range(dose(small=TWICE, full=TWICE_FULL, every=points // 8)):
        await check(name, [rng.randint(1, points), rng.randint(1, points)], tmp_path / f"twice-{number}")


async def check(name: str, kills: Sequence[int], folder: Path) -> int:
    """Returns how many points the first life had."""
    outcome = await lived(name, kills, folder)
    judge(outcome.wrong, "\n".join([f"--point {name}:{':'.join(map(str, kills))}", *outcome.trails]))
    COUNTS["crash points"] += outcome.deaths
    COUNTS["second kills"] += max(0, outcome.deaths - 1)
    COUNTS["resent spans"] += outcome.resent
    return outcome.points
