"""The latest example of each bucket of each histogram series: what OTLP and OpenMetrics call exemplars.

Kept in memory alone: a restart begins without any. The time of a bucket's example never goes back, because Prometheus
refuses an exemplar that is older than the one it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from bridge.map.series import SeriesGroup, SeriesKey
from bridge.map.telemetry import Example, Measurement, Measurements

_MOST_SERIES: Final = 1000  # with 18 buckets each of some 400 bytes: a few megabytes at worst


_Latest = tuple[int, float, Example]  # of one bucket: how many had come with it, its value, its span


class Examples:
    """Takes measurements that name their span, and gives the latest ones back."""

    def __init__(self, *, most: int = _MOST_SERIES) -> None:
        """Begin empty.

        Args:
            most: series that are kept; past them the one that got none for longest is forgotten.
        """
        self._most = most
        self._by_series: dict[SeriesKey, dict[int, _Latest]] = {}
        self.taken = 0  # how many there ever were

    def add(self, measurements: Iterable[Measurements]) -> None:
        """Take those of histograms, each series' in the order in which they came."""
        together: defaultdict[SeriesGroup, list[Measurements]] = defaultdict(list)
        for measured in measurements:
            together[measured.group].append(measured)
        for group, rows in together.items():
            for place, instrument in enumerate(group.instruments):
                if instrument.bounds:
                    self._take(group.keys[place], instrument.bounds, _column(rows, place))
        while len(self._by_series) > self._most:
            del self._by_series[next(iter(self._by_series))]

    def of(self, series: SeriesKey, *, after: int = 0) -> list[Measurement]:
        """The latest of each bucket, among those that came when so many had been taken already."""
        kept = self._by_series.get(series, {}).values()
        return [Measurement(*series, value, example) for number, value, example in kept if number > after]

    def _take(self, key: SeriesKey, bounds: Sequence[float], column: Sequence[tuple[float, Example]]) -> None:
        if not column:
            return
        buckets = self._by_series.pop(key, {})
        self._by_series[key] = buckets  # the last in the order is the last that got one
        for number, (value, example) in enumerate(column, self.taken + 1):
            bucket = bisect_left(bounds, value)
            before = buckets.get(bucket)
            if before is None or before[2].time_ns <= example.time_ns:
                buckets[bucket] = number, value, example
        self.taken += len(column)


def _column(rows: Iterable[Measurements], place: int) -> list[tuple[float, Example]]:
    """The values of one series, each with its span."""
    return [
        (value, example)
        for _, values, example in rows
        if example is not None and (value := values[place]) is not None
    ]
