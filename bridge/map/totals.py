"""Cumulative totals: what measurements add up to, one for each instrument and set of attributes."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from bridge.map.instruments import CATALOGUE, Instrument
from bridge.map.series import SeriesGroup, SeriesKey
from bridge.map.telemetry import Measurements


class Total(BaseModel):
    """A cumulative total: of a counter only `sum` has a meaning, of a histogram all three.

    Attributes:
        sum: an int where the instrument counts whole things, and then exact.
        count: number of observations.
        buckets: observations per bucket, one more than the instrument has bounds; empty for a counter, and for a
            histogram that has not observed anything.
    """

    model_config = ConfigDict(frozen=True)

    sum: int | float = 0
    count: int = 0
    buckets: tuple[int, ...] = ()

    def plus(self, other: Total) -> Total:
        """Both together.

        Raises:
            ValueError: the two have different numbers of buckets: an instrument's bounds are fixed for good.
        """
        return Total(
            sum=self.sum + other.sum,
            count=self.count + other.count,
            buckets=_added(self.buckets, other.buckets),
        )


def fold(measurements: Iterable[Measurements]) -> dict[SeriesKey, Total]:
    """The measurements as totals to add, by series, in the order in which the series first came up."""
    together: defaultdict[SeriesGroup, list[tuple[float | None, ...]]] = defaultdict(list)
    for group, values, _ in measurements:
        together[group].append(values)
    by_series: defaultdict[SeriesKey, list[float]] = defaultdict(list)
    for group, rows in together.items():
        for key, column in zip(group.keys, zip(*rows, strict=True), strict=True):
            if observed := [value for value in column if value is not None]:
                by_series[key] += observed
    return {key: observed_by(CATALOGUE[key[0]], observed) for key, observed in by_series.items()}


def observed_by(instrument: Instrument, observed: Sequence[float]) -> Total:
    """What one series of the instrument has after these values."""
    if not instrument.bounds:
        return Total(sum=sum(observed), count=len(observed))
    buckets = [0] * (len(instrument.bounds) + 1)
    for value in observed:
        buckets[bisect_left(instrument.bounds, value)] += 1  # a bound belongs to the bucket below it
    return Total(sum=sum(observed), count=len(observed), buckets=tuple(buckets))


def _added(ours: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, ...]:
    if not (ours and theirs):
        return ours or theirs
    return tuple(one + other for one, other in zip(ours, theirs, strict=True))
