"""The parts of one run of all benchmarks. One that fails says so in its line, and the others go on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from benchmarks.compare import FLOORS, Comparison, compare, instructions
from benchmarks.figures import Figure, Kept, Line, Performance
from benchmarks.running import freshness, idle, percentile
from benchmarks.sizes import Size
from benchmarks.soak import soaked
from benchmarks.stage import Failed, Result, Workload, staged

_RUNS_OF_25 = Workload("25 runs", runs=25, steps=40)
_MIB = 1024  # kB
_BY_POLLING, _BY_HOOK = 1.0, 30.0  # seconds between two sweeps
_SETTLE = 15.0  # seconds: the default
_TICKS = 40
_TURN = 80  # ticks in which every run that is silent for an hour has its turn: one is looked at after a tenth of that
_LOWEST, _HIGHEST = 5.0, 2.5  # naive / ours, ours / floor


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is measured by itself."""

    name: str
    measure: Callable[[], Iterator[Line]]


def parts(size: Size) -> Sequence[Part]:
    """What there is to be measured, in the order of the table."""
    return (
        *(Part(_said(load), partial(_compared, size, load, rounds)) for load, rounds in size.workloads),
        *(Part(f"instructions: {_said(load)}", partial(_counted, load)) for load in size.counted),
        Part("requests to Letta", _requests),
        Part("idle ticks", partial(_ticks, size)),
        *([Part("open runs", partial(_open, size.open_runs))] if size.open_runs else ()),
        *(Part(f"soak: {of}", partial(soaked, of, size.soak)) for of in ("ours", "backfill") if size.soak),
        Part("start-up and idle", partial(_idle, size.idle)),
        Part("freshness by polling", partial(_fresh, size.samples, hook=False)),
        Part("freshness by the webhook", partial(_fresh, size.samples, hook=True)),
    )


def measure(wanted: Sequence[Part], done: Callable[[Line], None]) -> bool:
    """Measure it all, and hand each line over as soon as it is there; whether every part came to its end."""
    failed = False
    for part in wanted:
        try:
            for line in part.measure():
                done(line)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other parts can still be measured
            traceback.print_exc(file=sys.stderr)
            failed = True
            # What others raise may show paths of this machine, and the line goes into the docs.
            told = str(error) if isinstance(error, Failed) else type(error).__name__
            done(Figure(part.name, f"**failed**: {told}"))
    return not failed


def _said(load: Workload) -> str:
    return f"{load.name}, durations" if load.durations else load.name


def _compared(size: Size, load: Workload, rounds: int) -> Iterator[Line]:
    comparison = compare(load, rounds=rounds)
    for name in comparison.results:
        yield _performance(comparison, name)
    naive, floor = comparison.ratio("naive", "ours"), comparison.ratio("ours", "floor")
    how, kept = _said(load), load.steps == size.kept
    columns = (Kept.NAIVE_DURATIONS, Kept.FLOOR_DURATIONS) if load.durations else (Kept.NAIVE, Kept.FLOOR)
    against_naive, against_floor = columns if kept else (None, None)
    told = f"{naive:.2f}"
    yield Figure(f"CPU, naive / ours: {how}", told, "at least 5", naive >= _LOWEST, against_naive, told)
    told = f"{floor:.2f}"
    yield Figure(f"CPU, ours / floor: {how}", told, "at most 2.5", floor <= _HIGHEST, against_floor, told)


def _counted(load: Workload) -> Iterator[Line]:
    counted = instructions(load, ("ours", *FLOORS))
    ratio, on_httpx = (counted["ours"] / counted[floor] for floor in FLOORS)
    yield Figure(f"instructions, ours / floor: {_said(load)}", f"{ratio:.2f}", "at most 2.5", ratio <= _HIGHEST)
    yield Figure(f"instructions, ours / floor on httpx: {_said(load)}", f"{on_httpx:.2f}")


def _performance(comparison: Comparison, name: str) -> Performance:
    results, load = comparison.results[name], comparison.workload
    return Performance(
        workload=_said(load),
        contestant=name,
        cpu=comparison.cpu(name),
        against=comparison.ratio(name, "ours"),
        speed=median(load.total / result.told["wall"] for result in results),
        peak_mib=median(result.told["peak_rss_kb"] for result in results) / _MIB,
        requests=comparison.requests(name),
    )


def _requests() -> Iterator[Line]:
    for durations, most, kept in ((False, 100, Kept.REQUESTS), (True, 1100, Kept.REQUESTS_DURATIONS)):
        load = replace(_RUNS_OF_25, durations=durations)
        with staged(load) as stage:
            count = sum(stage.play("ours", load).asked.values())
        name = "requests to Letta per 1,000 steps of 25 runs" + ", durations" * durations
        yield Figure(name, f"{count:,}", f"under {most:,}", count < most, kept, f"{count:,}")


def _ticks(size: Size) -> Iterator[Line]:
    costs: dict[int, list[float]] = {runs: [] for runs in size.histories}
    asked: dict[int, float] = {}
    for _ in range(size.tick_rounds):
        for runs, of_one in costs.items():
            result = _watched(Workload("history", runs, 1), _TICKS, "--start-from", "1h")
            of_one.append(result.told["tick_cpu"])
            asked[runs] = sum(result.asked.values()) / _TICKS
    few, many = size.histories[0], size.histories[-1]
    for runs, count in asked.items():
        kept = Kept.TICK_REQUESTS if runs == many else None
        name = f"idle tick, {runs:,} old runs: requests to Letta"
        yield Figure(name, f"{count:g}", "at most 2", count <= 2, kept, f"{count:g}")
    for runs in size.histories[1:]:
        kept = Kept.TICK_CPU if runs == many else None
        ratio = median(more / one for more, one in zip(costs[runs], costs[few], strict=True))
        name, told = f"idle tick, {runs:,} old runs: CPU", f"{ratio:.2f}"
        value = f"{told} times that at {few:,}"
        yield Figure(name, value, "flat (at most 1.2)", ratio <= 1.2, kept, told)


def _open(runs: int) -> Iterator[Line]:
    result = _watched(Workload("open", runs, 2, open_runs=runs), _TURN, "--pause", "3600")
    told, asked = result.told, sum(result.asked.values()) / _TURN
    name = f"{runs:,} open runs, silent for an hour"
    yield Figure(f"{name}: a tick", f"{told['tick_cpu']:.3f} s of CPU, {asked:.0f} requests")
    yield Figure(f"{name}: first sight", f"{told['first_cpu'] * 1000 / runs:.2f} s of CPU per 1,000 runs")
    yield Figure(f"{name}: peak memory", f"{told['peak_rss_kb'] / _MIB:.0f} MiB")


def _watched(load: Workload, ticks: int, *more: str) -> Result:
    with staged(load, "--undated") as stage:
        return stage.play("quiet", load, "--ticks", str(ticks), *more)


def _fresh(samples: int, *, hook: bool) -> Iterator[Line]:
    interval = _BY_HOOK if hook else _BY_POLLING
    waits = freshness(hook=hook, samples=samples, interval=interval)
    most, kept = (_SETTLE + 0.3, Kept.HOOK) if hook else (interval + 0.3, Kept.POLLING)
    name = "freshness by the webhook" if hook else f"freshness by polling every {interval:g} s"
    limit = f"p99 under {most:g} s ({'settle time' if hook else 'interval'} + 300 ms)"
    p99 = percentile(waits, 0.99)
    told = f"{percentile(waits, 0.5):.2f} s at the median, {p99:.2f} s at p99 of {samples}"
    yield Figure(name, told, limit, p99 < most, kept, f"{p99:.2f}")


def _idle(seconds: float) -> Iterator[Line]:
    found = idle(seconds)
    yield Figure("start-up of `bridge run`, first sweep included", f"{found.start_cpu:.2f} s of CPU")
    yield Figure("idle CPU, a sweep every 5 s", f"{found.share:.2%} of a core")
    name, told = "idle memory (RSS), no development packages", f"{found.rss:.1f}"
    small = found.rss * 2**20 < 50e6
    yield Figure(name, f"{told} MiB", "under 50 MB, which are 47.7 MiB", small, Kept.IDLE_MEMORY, told)
    yield Figure(f"{name}, a page asked for", f"{found.rss_asked:.1f} MiB")
    yield Figure(f"{name}, some steps sent", f"{found.rss_later:.1f} MiB")
