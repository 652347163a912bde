"""The tests of this folder can fail: each deliberate bug is seen, by the crash points or by the property test."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from torture.crash_points import lived
from torture.seeded_bugs import BREAKS, BUGS
from torture.test_any_interleaving import SETTINGS, Interleaving
from torture.torture_dose import COUNTS, EVERY, FULL, uncounted

QUICK = ("the commit comes before the send", "totals in another transaction", "rejected counts as accepted")
DELICATE = ("before its answer", "after COMMIT", "before the backend takes", "before INSERT")
EXAMPLES = 400  # of the property test

pytestmark = pytest.mark.timeout(1800 if FULL else 60)


@pytest.mark.parametrize("name", BUGS if FULL else QUICK)
async def test_the_crash_points_see_the_bug(name: str, tmp_path: Path) -> None:
    COUNTS["tried on the crash points"] += 1
    with BUGS[name].seeded():
        assert await is_seen(BUGS[name].play, tmp_path), (
            f"{name}: the crash points of {BUGS[name].play} do not see it"
        )
    COUNTS["seen by the crash points"] += 1


async def is_seen(play: str, folder: Path) -> bool:
    """Whether a life without a kill shows the bug, or one with a kill at some delicate point."""
    try:
        undisturbed = await lived(play, [], folder / "undisturbed")
        if undisturbed.wrong:
            return True
        for at in DELICATE:
            for number in count(1):
                outcome = await lived(play, [number], folder / f"{at}-{number}", at=at)
                if outcome.wrong:
                    return True
                if not outcome.deaths:
                    break
    except BREAKS:
        return True
    return False


@pytest.mark.skipif(not EVERY, reason="with TORTURE=every alone")
@pytest.mark.parametrize("name", BUGS)
def test_the_property_test_sees_the_bug(name: str) -> None:
    COUNTS["tried on the property test"] += 1
    with uncounted(), BUGS[name].seeded(), pytest.raises(BREAKS):
        run_state_machine_as_test(
            Interleaving,
            settings=settings(SETTINGS, max_examples=EXAMPLES, phases=[Phase.generate], derandomize=True),
        )
    COUNTS["seen by the property test"] += 1
