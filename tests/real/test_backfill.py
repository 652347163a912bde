"""`bridge backfill` of all that a real server holds of the pass, into a receiver that has seen nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from real import compare
from real import lab as labs
from real.lab import Lab
from real.process import INHERITED
from real.receivers import Ddapm
from real.seen import SeenSpan
from real.world import World

pytestmark = pytest.mark.real

PACE = {
    "BRIDGE_OVERLAP": "1s",
    "BRIDGE_SETTLE": "3s",
    "BRIDGE_ABANDON_AFTER": "1s",
    "BRIDGE_STALE_AFTER": "30s",  # the runs that the killed server left behind are older
    "BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "20",
}


@dataclass(frozen=True)
class Fetched:
    """What two backfills of the same time did.

    Attributes:
        first: the output of the first.
        second: the output of the second, which finds all of it fetched.
        spans: what the receiver shows after both.
    """

    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    spans: list[SeenSpan]


@pytest.fixture(scope="session")
def fetched(world: World, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    """Both backfills, on a ledger of their own."""
    folder = tmp_path_factory.mktemp("backfill")
    receiver = Ddapm(labs.scratch(), folder, "http/protobuf")
    receiver.start()
    try:
        receiver.wait_ready()
        settings = {**PACE, **receiver.environment(), "LETTA_BASE_URL": lab.url, "BRIDGE_LEDGER": "ledger"}
        first, second = (_backfill(world, settings, folder) for _ in range(2))
        return Fetched(first, second, receiver.spans())
    finally:
        receiver.stop()


def test_it_fetches_each_run_step_request_and_tool_once(world: World, fetched: Fetched) -> None:
    assert fetched.first.returncode == 0, fetched.first.stderr
    complaints = [
        *compare.spans_once(world.truth, fetched.spans),
        *compare.parents(world.truth, fetched.spans),
        *compare.usage(world.truth, fetched.spans),
    ]
    assert not complaints, "\n".join(["", *sorted(complaints)])


def test_a_second_one_finds_nothing_left_to_fetch(fetched: Fetched) -> None:
    assert fetched.second.returncode == 0, fetched.second.stderr
    assert "sent 0 runs, 0 steps and 0 spans" in fetched.second.stdout


def _backfill(world: World, settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Without a terminal; the ledger is in `folder`."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(settings)
    program = str(Path(sys.executable).with_name("bridge"))
    command = [program, "backfill", "--since", world.since.isoformat(), "--until", world.until.isoformat()]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
