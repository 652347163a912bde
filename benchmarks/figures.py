"""The figures of one run of all benchmarks: what was measured, what is to be reached, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from benchmarks.compare import compare
from benchmarks.running import freshness, idle, percentile
from benchmarks.stage import Mark, Result, Workload, staged

_RUNS_OF_25 = Workload("25 runs", runs=25, steps=40)
_MB = 1024  # kB
_BY_POLLING, _BY_HOOK = 1.0, 30.0  # seconds between two sweeps
_SETTLE = 15.0  # seconds: the default


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `met` is None where nothing is to be reached."""

    name: str
    value: str
    reach: str = ""
    met: bool | None = None

    def row(self) -> str:
        """As a line of a Markdown table."""
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.name} | {self.value} | {self.reach} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: of every comparison.
        workloads: for the comparisons.
        histories: runs on a quiet server.
        open_runs: that go on without news; 0 for no such measurement.
        soak: runs of 25 steps, few and many; empty for none.
        samples: of freshness, each way.
        idle: seconds.
    """

    rounds: int
    workloads: Sequence[Workload]
    histories: Sequence[int]
    open_runs: int
    soak: Sequence[int]
    samples: int
    idle: float


QUICK = Size(
    rounds=3,
    workloads=(Workload("50 runs of 40 steps", 50, 40), Workload("15 runs of 40 steps", 15, 40, durations=True)),
    histories=(1_000, 100_000, 1_000_000),
    open_runs=0,
    soak=(),
    samples=10,
    idle=15.0,
)
FULL = replace(
    QUICK,
    rounds=5,
    workloads=(
        Workload("500 runs of 40 steps", 500, 40),
        Workload("500 runs of 40 steps", 500, 40, durations=True),
        Workload("20,000 runs of 1 step", 20_000, 1),
        Workload("1 run of 20,000 steps", 1, 20_000),
    ),
    open_runs=10_000,
    soak=(400, 40_000),
    samples=100,
    idle=60.0,
)


def measure(size: Size, done: Callable[[Figure], None]) -> None:
    """Measure everything, and hand each figure over as soon as it is there."""
    for figures in (
        _requests(),
        *(_compared(workload, size.rounds) for workload in size.workloads),
        _quiet(size),
        _open(size.open_runs),
        _fresh(size.samples),
        _idle(size.idle),
        *(_soaked(contestant, size.soak) for contestant in ("ours", "backfill")),
    ):
        for figure in figures:
            done(figure)


def _compared(load: Workload, rounds: int) -> Iterator[Figure]:
    comparison = compare(load, rounds=rounds)
    what = f"{load.name}, {'with durations' if load.durations else 'without durations'}"
    for name in comparison.results:
        last = comparison.results[name][-1]
        speed = median(load.total / result.told["wall"] for result in comparison.results[name])
        told = f"{comparison.cpu(name):.3f} s; {speed:.0f} steps/s; {last.told['peak_rss_kb'] / _MB:.0f} MB at most"
        yield Figure(f"{what}: *{name}*, CPU per 1,000 steps", f"{told}; {comparison.requests(name):.0f} requests")
    naive, floor = comparison.ratio("naive", "ours"), comparison.ratio("ours", "floor")
    yield Figure(f"{what}: CPU, naive / ours", f"{naive:.2f}", "at least 5", naive >= 5)
    yield Figure(f"{what}: CPU, official / ours", f"{comparison.ratio('official', 'ours'):.2f}")
    yield Figure(f"{what}: CPU, ours / floor", f"{floor:.2f}", "at most 2.5", floor <= 2.5)


def _requests() -> Iterator[Figure]:
    for load, most in ((_RUNS_OF_25, 100), (replace(_RUNS_OF_25, durations=True), 1100)):
        with staged(load) as stage:
            asked = stage.play("ours", load).asked
        count, how = sum(asked.values()), "with" if load.durations else "without"
        name = f"requests to Letta per 1,000 steps of 25 runs, {how} durations"
        yield Figure(name, f"{count}", f"under {most:,}", count < most)


def _quiet(size: Size) -> Iterator[Figure]:
    costs: dict[int, list[float]] = {runs: [] for runs in size.histories}
    asked: dict[int, float] = {}
    for _ in range(size.rounds):
        for runs, of_one in costs.items():
            result = _tick(Workload("history", runs, 1), "--start-from", "1h", "--ticks", "40")
            of_one.append(result.told["tick_cpu"])
            asked[runs] = sum(result.asked.values()) / 40
    few = size.histories[0]
    for runs, of_one in costs.items():
        name = f"idle tick, {runs:,} old runs"
        yield Figure(f"{name}: requests to Letta", f"{asked[runs]:g}", "at most 2", asked[runs] <= 2)
        ratio = median(many / one for many, one in zip(of_one, costs[few], strict=True))
        reached = None if runs == few else ratio <= 1.2
        yield Figure(f"{name}: CPU, against {few:,} runs", f"{ratio:.2f}", "flat" * (runs != few), reached)


def _open(runs: int) -> Iterator[Figure]:
    if runs:
        load = Workload("open", runs, 2, open_runs=runs)
        result = _tick(load, "--pause", "3600", "--ticks", "20")
        told, asked = result.told, sum(result.asked.values()) / 20
        name = f"{runs:,} open runs, an hour without news"
        yield Figure(f"{name}: a tick", f"{told['tick_cpu']:.3f} s of CPU, {asked:.0f} requests")
        yield Figure(f"{name}: first sight", f"{told['first_cpu'] * 1000 / runs:.2f} s of CPU per 1,000 runs")
        yield Figure(f"{name}: memory at most", f"{told['peak_rss_kb'] / _MB:.0f} MB")


def _tick(load: Workload, *more: str) -> Result:
    with staged(load, "--undated") as stage:
        return stage.play("quiet", load, *more)


def _fresh(samples: int) -> Iterator[Figure]:
    for hook, interval, most in ((False, _BY_POLLING, _BY_POLLING + 0.3), (True, _BY_HOOK, _SETTLE + 0.3)):
        waits = freshness(hook=hook, samples=samples, interval=interval)
        name = "by the webhook" if hook else f"by polling every {interval:g} s"
        limit = f"under {most:g} s ({'settle time' if hook else 'interval'} + 300 ms)"
        p99 = percentile(waits, 0.99)
        value = f"{percentile(waits, 0.5):.2f} s at the median, {p99:.2f} s at p99 of {samples}"
        yield Figure(f"freshness {name}", value, limit, p99 < most)


def _idle(seconds: float) -> Iterator[Figure]:
    found = idle(seconds)
    yield Figure("start-up of `bridge run`, first sweep included", f"{found.start_cpu:.2f} s of CPU")
    yield Figure("idle CPU, a sweep every 5 s", f"{found.share:.2%} of a core")
    yield Figure("idle memory", f"{found.rss_mb:.0f} MB", "under 50 MB", found.rss_mb < 50)


def _soaked(contestant: str, sizes: Sequence[int]) -> Iterator[Figure]:
    if not sizes:
        return
    peaks: list[float] = []
    for runs in sizes:
        load = Workload("soak", runs, 25)
        with staged(load) as stage:
            result, marks = stage.follow(contestant, load)
        peaks.append(result.told["peak_rss_kb"])
    name = {"ours": "the service", "backfill": "a backfill"}[contestant]
    whole, told = f"{name}, {sizes[-1] * 25:,} steps through", result.told
    yield Figure(
        f"{whole}: speed", f"{load.total / told['wall']:.0f} steps/s; {told['cpu'] / load.total * 1e6:.0f} µs"
    )
    growth = peaks[-1] / peaks[0]
    yield Figure(f"{whole}: peak memory against {sizes[0] * 25:,}", f"{growth:.2f}", "at most 1.1", growth <= 1.1)
    slowing = slowed(marks)
    yield Figure(f"{whole}: CPU per step, last tenth / first tenth", f"{slowing:.2f}", "at most 1.1", slowing <= 1.1)
    yield Figure(
        f"{whole}: ledger", f"{told['ledger_bytes'] / 1e6:.1f} MB, {told['ledger_bytes'] / sizes[-1]:.0f} bytes a run"
    )


def slowed(marks: Sequence[Mark]) -> float:
    """CPU per span in the last tenth of all spans against the first tenth that is not start-up."""
    moving = [mark for mark, later in pairwise(marks) if mark.spans and mark.spans < later.spans]
    tenth = max(1, len(moving) // 10)
    return _cost(moving[-1 - tenth], moving[-1]) / _cost(moving[0], moving[tenth])


def _cost(one: Mark, other: Mark) -> float:
    return (other.cpu - one.cpu) / max(1, other.spans - one.spans)
