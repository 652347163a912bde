"""Measurements one by one: easier to write down, and to look at, than those that were taken together."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.map.series import SeriesGroup
from bridge.map.telemetry import Measurement, Measurements


def alone(measurement: Measurement) -> Measurements:
    """One that nothing was measured with."""
    instrument, attributes, value, example = measurement
    return Measurements(SeriesGroup((instrument, attributes)), (value,), example)


def each(measurements: Iterable[Measurements]) -> list[Measurement]:
    """All of them, in their order; a counter's names no span."""
    return [
        Measurement(*key, value, measured.example if instrument.bounds else None)
        for measured in measurements
        for key, instrument, value in zip(
            measured.group.keys, measured.group.instruments, measured.values, strict=True
        )
        if value is not None
    ]
