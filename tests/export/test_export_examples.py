"""Which examples are kept for the exemplars."""

from measuring import alone

from bridge.export.examples import Examples
from bridge.map.series import SeriesKey
from bridge.map.telemetry import Example, Measurement

DURATION = "letta.step.duration"
SUCCESS = (("letta.step.status", "success"),)
KEY: SeriesKey = (DURATION, SUCCESS)


def measured(value: float, *, at: int = 1, status: str = "success", instrument: str = DURATION) -> Measurement:
    return Measurement(instrument, (("letta.step.status", status),), value, Example(b"t" * 16, b"s" * 8, at))


def test_the_latest_of_each_bucket_is_kept() -> None:
    examples = Examples()
    first, second, other = measured(0.015, at=1), measured(0.016, at=2), measured(7.0, at=1)
    examples.add(map(alone, [first, other, second]))
    assert examples.of(KEY) == [second, other]


def test_the_latest_is_the_one_that_ended_last() -> None:
    examples = Examples()
    late, early = measured(0.015, at=9), measured(0.016, at=3)
    examples.add(map(alone, [late, early]))
    assert examples.of(KEY) == [late]


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    examples = Examples()
    below, at = measured(0.015), measured(0.02)
    examples.add(map(alone, [below, at]))
    assert examples.of(KEY) == [at]


def test_series_are_kept_apart() -> None:
    examples = Examples()
    examples.add(map(alone, [measured(1.0), measured(1.0, status="failed")]))
    assert examples.of(KEY) == [measured(1.0)]
    assert examples.of((DURATION, ())) == []


def test_counters_and_measurements_without_a_span_have_none() -> None:
    examples = Examples()
    examples.add(map(alone, [Measurement(DURATION, SUCCESS, 1.0), measured(1, instrument="letta.steps")]))
    assert examples.of(KEY) == examples.of(("letta.steps", SUCCESS)) == []
    assert examples.taken == 0


def test_what_came_before_a_time_can_be_left_out() -> None:
    examples = Examples()
    examples.add(map(alone, [measured(1.0), measured(7.0)]))
    told = examples.taken
    examples.add([alone(measured(7.0, at=2))])
    assert examples.of(KEY, after=told) == [measured(7.0, at=2)]
    assert len(examples.of(KEY)) == 2


def test_there_is_a_bound_to_the_series() -> None:
    examples = Examples(most=2)
    examples.add([alone(measured(1.0, status=status)) for status in ("a", "b", "a", "c")])
    kept = [status for status in "abc" if examples.of((DURATION, (("letta.step.status", status),)))]
    assert kept == ["a", "c"], "b got none for longest"
