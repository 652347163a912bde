"""Measurements and what they add up to."""

from __future__ import annotations

import pytest
from measuring import alone

from bridge.map.instruments import CATALOGUE, Kind
from bridge.map.series import SeriesGroup
from bridge.map.telemetry import Example, Measurement, Measurements
from bridge.map.totals import Total, fold

HANDLE = (("letta.model.handle", "m"),)


def test_a_counter_adds_up_exactly() -> None:
    measured = [alone(Measurement("letta.tokens", HANDLE, 2**53 + n)) for n in (0, 1, 1)]
    totals = fold(measured)
    assert totals == {("letta.tokens", HANDLE): Total(sum=3 * 2**53 + 2, count=3)}
    assert isinstance(totals["letta.tokens", HANDLE].sum, int)


def test_a_histogram_counts_a_bound_in_the_bucket_below_it() -> None:
    bounds = CATALOGUE["letta.context_window.used_ratio"].bounds
    values = [0.05, 0.1, 0.100001, 1.0, 1.5]
    (total,) = fold(alone(Measurement("letta.context_window.used_ratio", (), value)) for value in values).values()
    assert total.buckets == (2, 1, *[0] * 7, 1, 1)
    assert len(total.buckets) == len(bounds) + 1
    assert total.count == 5
    assert total.sum == pytest.approx(2.750001)


def test_series_are_told_apart_by_instrument_and_attributes() -> None:
    measured = [
        Measurement("letta.steps", HANDLE, 1),
        Measurement("letta.steps", (), 1),
        Measurement("letta.runs", (), 1),
        Measurement("letta.steps", HANDLE, 1),
    ]
    assert [(key, total.sum) for key, total in fold(map(alone, measured)).items()] == [
        (("letta.steps", HANDLE), 2),
        (("letta.steps", ()), 1),
        (("letta.runs", ()), 1),
    ]


def test_what_was_measured_together_counts_by_series() -> None:
    steps, tokens = ("letta.steps", HANDLE), ("gen_ai.client.token.usage", ())
    both, other = SeriesGroup(steps, tokens), SeriesGroup(tokens)
    span = Example(b"t" * 16, b"s" * 8, 1)
    totals = fold(
        [
            Measurements(both, (1, 4), span),
            Measurements(other, (0,)),
            Measurements(both, (1, None)),
            Measurements(SeriesGroup(("letta.runs", ())), (None,)),
        ]
    )
    assert {key: (total.sum, total.count) for key, total in totals.items()} == {steps: (2, 2), tokens: (4, 2)}


def test_an_instrument_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        fold([alone(Measurement("letta.typo", (), 1))])


def test_totals_of_two_batches_are_the_total_of_both() -> None:
    one = [alone(Measurement("letta.step.duration", (), value)) for value in (0.25, 4.0)]
    other = [alone(Measurement("letta.step.duration", (), value)) for value in (8.0, 100.0)]
    (together,) = fold(one + other).values()
    (first,), (second,) = fold(one).values(), fold(other).values()
    assert first.plus(second) == together
    assert Total().plus(second) == second


def test_other_bounds_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Total(buckets=(1, 2, 3)).plus(Total(buckets=(1, 2)))


def test_the_catalogue_is_complete() -> None:
    assert {(instrument.name, instrument.kind.value, instrument.unit) for instrument in CATALOGUE.values()} == {
        ("gen_ai.client.token.usage", "histogram", "{token}"),
        ("gen_ai.client.operation.duration", "histogram", "s"),
        ("letta.steps", "counter", "{step}"),
        ("letta.tokens", "counter", "{token}"),
        ("letta.step.duration", "histogram", "s"),
        ("letta.tool.duration", "histogram", "s"),
        ("letta.run.duration", "histogram", "s"),
        ("letta.tool.calls", "counter", "{call}"),
        ("letta.runs", "counter", "{run}"),
        ("letta.feedback", "counter", "{feedback}"),
        ("letta.late_changes", "counter", "{change}"),
        ("letta.context_window.used_ratio", "histogram", "1"),
        ("letta.cost", "counter", "USD"),
        ("letta.cost.unpriced_tokens", "counter", "{token}"),
        ("letta.step.last_failure.timestamp", "gauge", "s"),
        ("letta.run.last_failure.timestamp", "gauge", "s"),
        ("letta.runs.open", "gauge", "{run}"),
        ("letta.run.oldest_open_age", "gauge", "s"),
        ("letta.approvals.waiting", "gauge", "{run}"),
    }


def test_bounds_are_those_of_the_convention() -> None:
    tokens = "1 4 16 64 256 1024 4096 16384 65536 262144 1048576 4194304 16777216 67108864"
    seconds = "0.01 0.02 0.04 0.08 0.16 0.32 0.64 1.28 2.56 5.12 10.24 20.48 40.96 81.92"
    assert CATALOGUE["gen_ai.client.token.usage"].bounds == _numbers(tokens)
    assert CATALOGUE["gen_ai.client.operation.duration"].bounds == _numbers(seconds)
    assert CATALOGUE["letta.run.duration"].bounds == _numbers(seconds + " 163.84 327.68 655.36 1310.72")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split())


@pytest.mark.parametrize("name", CATALOGUE)
def test_histograms_and_they_alone_have_bounds(name: str) -> None:
    instrument = CATALOGUE[name]
    assert bool(instrument.bounds) is (instrument.kind is Kind.HISTOGRAM)
    assert instrument.bounds == tuple(sorted(set(instrument.bounds)))
    assert instrument.description.endswith(".")
