"""The latest example of each bucket of each histogram series: what OTLP and OpenMetrics call exemplars.

Kept in memory alone: a restart begins without any. The time of a bucket's example never goes back, because Prometheus
refuses an exemplar that is older than the one it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from bridge.map.instruments import CATALOGUE
from bridge.map.telemetry import Measurement
from bridge.map.totals import SeriesKey

_MOST_SERIES: Final = 1000  # with 18 buckets each of some 400 bytes: a few megabytes at worst


class Examples:
    """Takes measurements that name their span, and gives the latest ones back."""

    def __init__(self, *, most: int = _MOST_SERIES) -> None:
        """Begin empty.

        Args:
            most: series that are kept; past them the one that got none for longest is forgotten.
        """
        self._most = most
        self._by_series: dict[SeriesKey, dict[int, tuple[int, Measurement]]] = {}
        self.taken = 0  # how many there ever were

    def add(self, measurements: Iterable[Measurement]) -> None:
        """Take those of histograms, in the order in which they came."""
        for measurement in measurements:
            instrument, _, value, example = measurement
            bounds = CATALOGUE[instrument].bounds
            if example and bounds:
                self.taken += 1
                self._take(measurement, bisect_left(bounds, value))
        while len(self._by_series) > self._most:
            del self._by_series[next(iter(self._by_series))]

    def of(self, series: SeriesKey, *, after: int = 0) -> list[Measurement]:
        """The latest of each bucket, among those that came when so many had been taken already."""
        return [measurement for number, measurement in self._by_series.get(series, {}).values() if number > after]

    def _take(self, measurement: Measurement, bucket: int) -> None:
        key = measurement[:2]
        buckets = self._by_series.pop(key, {})
        self._by_series[key] = buckets  # the last in the order is the last that got one
        before = buckets.get(bucket)
        if before is None or _time(before[1]) <= _time(measurement):
            buckets[bucket] = (self.taken, measurement)


def _time(measurement: Measurement) -> int:
    return measurement.example.time_ns if measurement.example else 0
