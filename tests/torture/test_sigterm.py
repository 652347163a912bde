"""SIGTERM to the real process under load: it ends well and in time, and what the backend holds is what Letta shows.

The signal comes while a batch is with the backend, which may take its time for the answer, or right after one. A stop
in good order is no death: nothing at all is sent twice after it. Only of a backend that never answers the batch is
cut off, when the grace time is over, and then sent again byte for byte.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from real import compare
from torture.killed_bridge import load, scene
from torture.torture_dose import COUNTS, FULL, dose, judge
from torture.torture_truth import complaints, counted, off_by

STOPS = dose(small=5, full=25)
RUN_EVERY = 0.1  # seconds
IN_TIME = 10.0  # seconds, of docs/operations.md
SLOW = (0.0, 0.05, 0.5, 2.0)  # seconds that an answer takes
NEVER = 20.0

pytestmark = pytest.mark.timeout(600 if FULL else 180)


async def test_sigterm_under_load_loses_nothing_and_sends_nothing_twice(tmp_path: Path, seed: int) -> None:
    async with scene(seed, tmp_path) as scene_:
        async with load(scene_, every=RUN_EVERY):
            took = [await scene_.stop(scene_.rng.choice(SLOW)) for _ in range(STOPS)]
        held = await scene_.to_the_end(seconds=120 if FULL else 60)
        found = complaints(scene_, held) + compare.never_back(scene_.points)
        found += [f"exported: {line}" for line in off_by(compare.last_totals(scene_.points), counted(held.totals))]
        found += [f"a stop took {seconds:.1f} s" for seconds in took if seconds > IN_TIME]
        judge(found, f"--seed {seed}")
    assert scene_.backend.resent() == 0
    COUNTS["SIGTERM"] += STOPS


async def test_a_backend_that_never_answers_holds_no_stop_up(tmp_path: Path, seed: int) -> None:
    async with scene(seed, tmp_path) as scene_:
        async with load(scene_, every=RUN_EVERY):
            took = await scene_.stop(NEVER)
            scene_.deaths += 1  # of the batch that was cut off
        held = await scene_.to_the_end(seconds=60)
        judge([*complaints(scene_, held), *([f"took {took:.1f} s"] if took > IN_TIME else [])], f"--seed {seed}")
