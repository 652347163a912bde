"""A process that is killed within a commit leaves all of it or nothing, and the batch to send again."""

import subprocess
import sys
from pathlib import Path

import pytest
from ledger_samples import FULL_PLAN, NOW, batch, followed

from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_ledger

BEFORE: tuple[object, ...] = (batch(b"first", b"second", plan=FULL_PLAN), followed("run-1"), {}, 0, None, set[str]())
AFTER: tuple[object, ...] = (
    None,
    FULL_PLAN.runs[0],
    {(name, attributes): total for name, attributes, total in FULL_PLAN.totals},
    2,
    NOW + 0.25,
    {"step-7"},
)


@pytest.fixture
def left_behind(tmp_path: Path) -> list[str]:
    script = Path(__file__).with_name("kill_commits.py")
    done = subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, text=True)
    return done.stdout.split()


async def state(ledger: Ledger) -> tuple[object, ...]:
    return (
        await ledger.in_flight(),
        await ledger.run("run-1"),
        await ledger.totals(),
        await ledger.dead_letter_count(),
        await ledger.steps_watermark(),
        await ledger.loose_steps(),
    )


async def test_a_kill_at_any_statement_leaves_all_or_nothing(left_behind: list[str]) -> None:
    states = []
    for path in left_behind:
        ledger = await open_ledger(path, source="letta", destination="otlp", now=NOW)
        states.append(await state(ledger))
        await ledger.close()
    assert len(states) > 10  # the commit's statements were found, and each was killed at
    assert states[-1] == AFTER
    assert all(one == BEFORE for one in states[:-1])
