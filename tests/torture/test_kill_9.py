"""The real process, killed with -9 again and again under load: what the backend holds is what Letta shows.

A failure names its seed: `pytest tests/torture/test_kill_9.py --seed N`. The moments are the seed's, the machine's
speed is not, so the same seed can strike elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from real import compare
from torture.killed_bridge import load, scene
from torture.torture_dose import COUNTS, FULL, dose, judge
from torture.torture_truth import complaints, counted, off_by

KILLS = dose(small=8, full=25)  # of one scene
SCENES = dose(small=1, full=9)
RUN_EVERY = 0.2  # seconds

pytestmark = pytest.mark.timeout(600 if FULL else 120)


@pytest.mark.parametrize("number", range(SCENES))
async def test_kill_9_under_load_loses_nothing_and_counts_nothing_twice(
    number: int, tmp_path: Path, seed: int
) -> None:
    async with scene(seed + number, tmp_path) as scene_:
        async with load(scene_, every=RUN_EVERY):
            for _ in range(KILLS):
                await scene_.strike()
        held = await scene_.to_the_end(seconds=120 if FULL else 60)
        found = complaints(scene_, held) + compare.never_back(scene_.points)
        found += [f"exported: {line}" for line in off_by(compare.last_totals(scene_.points), counted(held.totals))]
        judge(found, f"--seed {seed + number}")
    COUNTS["kill -9"] += scene_.deaths
    COUNTS["resent spans"] += scene_.backend.resent()
