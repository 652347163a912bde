"""The ledger's size follows its open and watched runs, not history: a small dose of the benchmark."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "ledger_size.py"


@pytest.mark.parametrize("watch_days", [7, 0])
def test_after_20_000_steps_it_is_no_larger_than_after_half(tmp_path: Path, watch_days: int) -> None:
    load = ["--steps", "20000", "--every", "10000", "--runs-a-day", "50", "--watch-days", str(watch_days)]
    command = [sys.executable, str(BENCHMARK), *load, "--folder", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    half, end = (line.replace(",", "").split() for line in done.stdout.splitlines()[1:3])
    assert (half[0], end[0]) == ("10000", "20000")
    assert int(end[1]) <= int(half[1]) <= 50 * watch_days + 16  # runs that are kept
    assert int(end[2]) <= int(half[2]) * 1.01  # bytes: a page more or less that is not filled yet
