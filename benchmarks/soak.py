"""A million steps through one process: how fast, in how much memory, and no slower at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, Kept, Line
from benchmarks.stage import Failed, Mark, Result, Workload, staged

_STEPS = 25  # of a run
_MOST = 1.1
_NAMES = {"ours": "the service", "backfill": "a backfill"}


def soaked(contestant: str, sizes: Sequence[int]) -> Iterator[Line]:
    """The same with few and with many runs: the first shows what memory it takes anyway."""
    few, many = sizes
    (little, _), (much, marks) = _followed(contestant, few), _followed(contestant, many)
    told, steps = much.told, many * _STEPS
    name = f"{steps:,} steps through {_NAMES[contestant]}"
    speed = steps / told["wall"]
    kept = (Kept.BACKFILL, Kept.SLOWING) if contestant == "backfill" else (None, None)
    value = f"{speed:,.0f} steps/s on one core, {told['cpu'] / steps * 1e6:.0f} µs of CPU a step"
    yield Figure(f"{name}: speed", value, kept=kept[0], short=f"{speed:,.0f}")
    growth = told["peak_rss_kb"] / little.told["peak_rss_kb"]
    value = f"{growth:.2f} times that of {few * _STEPS:,} ({told['peak_rss_kb'] / 1024:.0f} MiB)"
    column = Kept.GROWTH if contestant == "ours" else None
    yield Figure(f"{name}: peak memory", value, "at most 1.1", growth <= _MOST, column, f"{growth:.2f}")
    size = told["ledger_bytes"]
    yield Figure(f"{name}: ledger", f"{size / 1e6:.1f} MB, {size / many:,.0f} bytes a run")
    ratio = slowed(marks)
    what, value = f"{name}: CPU a step in the last tenth", f"{ratio:.2f} times the first tenth's"
    yield Figure(what, value, "at most 1.1", ratio <= _MOST, kept[1], f"{ratio:.2f}")


def _followed(contestant: str, runs: int) -> tuple[Result, Sequence[Mark]]:
    load = Workload("soak", runs, _STEPS)
    with staged(load) as stage:
        return stage.follow(contestant, load)


def slowed(marks: Sequence[Mark]) -> float:
    """CPU per span in the last tenth of all spans against the first tenth, without start-up.

    Raises:
        Failed: it was over too soon for that.
    """
    moving = [mark for mark in marks if mark.spans]
    whole = moving[-1].spans if moving else 0
    late = [mark for mark in moving if mark.spans <= whole * 0.9]
    if not late:
        raise Failed("over too soon to compare its end with its beginning")
    begun = next(mark for mark in moving if mark.spans >= moving[0].spans + whole / 10)
    over = next(mark for mark in moving if mark.spans == whole)  # what comes later is no work on spans
    return _cost(late[-1], over) / _cost(moving[0], begun)


def _cost(one: Mark, other: Mark) -> float:
    return (other.cpu - one.cpu) / (other.spans - one.spans)
