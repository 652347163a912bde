"""How much is measured: in a few minutes, or in fifty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.stage import Workload


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        workloads: for the comparisons, with the rounds of each.
        counted: for what is compared by instructions, which takes minutes; empty for nothing.
        kept: steps of a run in the comparisons whose ratios the history keeps.
        histories: runs on a quiet server, few and many.
        tick_rounds: how often an idle tick is measured on each.
        open_runs: that go on without news; 0 for no such measurement.
        soak: runs of 25 steps, few and many; empty for none.
        samples: of freshness, each way.
        idle: seconds.
    """

    workloads: Sequence[tuple[Workload, int]]
    counted: Sequence[Workload]
    kept: int
    histories: Sequence[int]
    tick_rounds: int
    open_runs: int
    soak: Sequence[int]
    samples: int
    idle: float


QUICK = Size(
    workloads=(
        (Workload("50 runs of 40 steps", 50, 40), 3),
        (Workload("15 runs of 40 steps", 15, 40, durations=True), 3),
    ),
    counted=(),
    kept=40,
    histories=(1_000, 100_000, 1_000_000),
    tick_rounds=3,
    open_runs=0,
    soak=(),
    samples=10,
    idle=15.0,
)
FULL = replace(
    QUICK,
    workloads=(
        (Workload("500 runs of 40 steps", 500, 40), 2),
        (Workload("250 runs of 40 steps", 250, 40, durations=True), 2),
        (Workload("20,000 runs of 1 step", 20_000, 1), 1),
        (Workload("1 run of 20,000 steps", 1, 20_000), 1),
    ),
    counted=(
        Workload("20 runs of 40 steps", 20, 40),
        Workload("20 runs of 40 steps", 20, 40, durations=True),
        Workload("400 runs of 1 step", 400, 1),
    ),
    open_runs=10_000,
    soak=(400, 40_000),
    samples=100,
    idle=30.0,
)
