"""What a command line asks for, and what of it is a backfill's business."""

import pytest

from bridge.backfill.bounds import Bounds, asked, bounds
from bridge.errors import SettingsError
from bridge.ledger.covered import Range
from bridge.settings.durations import StartFrom

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00Z
HOUR, DAY, NS = 3600.0, 86_400.0, 1_000_000_000
AN_HOUR_AGO = StartFrom(age=HOUR)


def found(
    since: str,
    until: str | None = None,
    *,
    origin: float | None = None,
    start_from: StartFrom = AN_HOUR_AGO,
) -> Bounds:
    origin_ns = None if origin is None else round(origin * NS)
    request = asked(since, until, "agent-1", now=NOW)
    return bounds(request, now=NOW, overlap=300, origin_ns=origin_ns, start_from=start_from)


def seconds(range_: Range) -> tuple[float, float]:
    return range_.from_ns / NS, range_.until_ns / NS


@pytest.mark.parametrize(("since", "until", "start_from", "expected", "origin"), [
    ("30d", None, AN_HOUR_AGO, (NOW - 30 * DAY, NOW - 300), NOW - 300),
    ("30d", None, StartFrom(age=0.0), (NOW - 30 * DAY, NOW - 300), NOW - 300),
    ("30d", "now", StartFrom(moment=0.0), (NOW - 30 * DAY, NOW - 300), NOW - 300),
    ("30d", "10d", AN_HOUR_AGO, (NOW - 30 * DAY, NOW - 10 * DAY), NOW - HOUR),
    ("30d", "10d", StartFrom(moment=0.0), (NOW - 30 * DAY, NOW - 10 * DAY), NOW - 10 * DAY),
    ("30d", "10d", StartFrom(age=0.0), (NOW - 30 * DAY, NOW - 10 * DAY), NOW - 300),
    ("beginning", "2027-01-01", AN_HOUR_AGO, (0, NOW - 14 * DAY - 8 * HOUR), NOW - HOUR),
    ("2027-01-15T00:00:00+00:00", "2027-01-15T07:00:00", AN_HOUR_AGO, (NOW - 8 * HOUR, NOW - HOUR), NOW - HOUR),
])  # fmt: skip
def test_before_the_service_has_run(
    since: str, until: str | None, start_from: StartFrom, expected: tuple[float, float], origin: float
) -> None:
    here = found(since, until, start_from=start_from)
    assert seconds(here.range) == expected
    assert here.range.agent_id == "agent-1"
    assert here.origin_ns == round(origin * NS)
    assert here.complete
    assert sum("has not run yet" in note for note in here.notes) == 1


def test_what_the_service_has_is_left_to_it() -> None:
    here = found("30d", "1d", origin=NOW - 5 * DAY)
    assert seconds(here.range) == (NOW - 30 * DAY, NOW - 5 * DAY)
    assert here.notes[0] == "runs created from 2027-01-10 08:00:00Z on are the service's: left to it"
    assert found("30d", origin=NOW - 5 * DAY).notes == here.notes[1:]


def test_nothing_is_left_to_do_where_the_service_has_it_all() -> None:
    here = found("1d", origin=NOW - 5 * DAY)
    assert here.range.from_ns == here.range.until_ns
    assert here.complete
    assert here.notes[0] == "nothing to do: the service has every run created from 2027-01-10 08:00:00Z on"


def test_right_after_the_service_began_not_all_may_have_shown_up() -> None:
    assert not found("30d", origin=NOW - 60).complete
    assert found("30d", origin=NOW - 301).complete


@pytest.mark.parametrize(("since", "warned"), [("59m", False), ("61m", True), ("beginning", True)])
def test_old_spans_are_warned_of(since: str, *, warned: bool) -> None:
    assert any("docs/backfill.md" in note for note in found(since).notes) == warned


@pytest.mark.parametrize(("since", "until"), [("now", None), ("1d", "2d"), ("1d", "1d"), ("2099-01-01", None)])
def test_an_empty_time_is_refused(since: str, until: str | None) -> None:
    with pytest.raises(SettingsError, match=r"^--since \(.*\) is not before .*: nothing lies between$"):
        asked(since, until, None, now=NOW)


@pytest.mark.parametrize("text", ["", "5", "yesterday", "-1d", "2026-13-01", "99999-01-01", "0000", "1d1"])
def test_a_bad_moment_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--since: [^\n]+$"):
        asked(text, None, None, now=NOW)


def test_a_moment_before_1970_is_the_beginning() -> None:
    assert asked("1950-01-01", None, None, now=NOW).since == StartFrom(moment=0.0)
    assert asked("0001-01-01", None, None, now=NOW).since == StartFrom(moment=0.0)
