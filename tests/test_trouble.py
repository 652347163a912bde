"""A trouble is one line, whatever ids and numbers its words carry, and however often it comes and goes."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from bridge.trouble import Recurring, Trouble

DAY = 86_400


def begun(*texts: str) -> list[str]:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        for text in texts:
            trouble.begins(text, now=0)
    return events(found)


def events(lines: Iterable[EventDict]) -> list[str]:
    return [line["event"] for line in lines]


def flapping(*, bad: int, well: int, over: int = DAY) -> tuple[Trouble, list[str]]:
    """A side that is bad for so many seconds, then well for so many, met or found well every five."""
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        for now in range(0, over, 5):
            if now % (bad + well) < bad:
                trouble.begins("away", now=now)
            else:
                trouble.ends("well again", now=now)
    return trouble, events(found)


def test_the_same_with_another_id_is_not_said_again() -> None:
    assert begun("GET /v1/runs/run-1 is away", "GET /v1/runs/run-2 is away") == ["GET /v1/runs/run-1 is away"]


def test_another_kind_is_said_and_the_first_is_not_said_again_after_it() -> None:
    assert begun("refused", "slow", "refused", "slow") == ["refused", "slow"]


def test_words_that_differ_each_time_are_not_a_line_each_time() -> None:
    words = ["".join("abcdefghij"[int(digit)] for digit in str(number)) for number in range(1000)]
    assert 1 < len(begun(*words)) <= 20


def test_once_over_it_is_said_with_how_often_and_for_how_long() -> None:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        trouble.begins("refused", now=0, waiting_for="Letta")
        trouble.begins("refused", now=60)
        trouble.ends("well again", now=90)
        trouble.ends("well again", now=95)
        trouble.begins("refused", now=2 * DAY, serious=True)
    assert [(line["event"], line["log_level"]) for line in found] == [
        ("refused", "warning"),
        ("well again", "info"),
        ("refused", "error"),
    ]
    assert found[0]["waiting_for"] == "Letta"
    assert (found[1]["failures"], found[1]["for_seconds"]) == (2, 90)


def test_what_goes_on_stays_said() -> None:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        trouble.begins("run postponed", now=0, reason="run-1 is broken")
        trouble.begins("refused", now=0)
        trouble.ends("well again", now=1, but=["run-1 is broken"])
        trouble.begins("run postponed", now=2, reason="run-1 is broken")
        trouble.begins("refused", now=3)
    assert events(found) == ["run postponed", "refused", "well again", "refused"]


def test_what_flaps_every_ten_seconds_is_two_lines_and_not_two_for_each_flap() -> None:
    trouble, said = flapping(bad=5, well=5)
    assert said == ["away", "well again", "away"]
    with capture_logs() as found:
        for now in range(DAY, DAY + 300, 5):
            trouble.ends("well again", now=now)
    (end,) = found
    assert end["failures"] > 8000
    assert end["for_seconds"] > 0.99 * DAY


def test_what_flaps_slowly_is_said_ever_more_rarely() -> None:
    _, said = flapping(bad=60, well=300)
    assert 3 <= len(said) <= 9


def test_what_comes_back_after_hours_is_news_each_time() -> None:
    _, said = flapping(bad=60, well=2 * 3600 - 60)
    assert said == ["away", "well again"] * 12


def test_a_clock_set_back_holds_nothing_up() -> None:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        for now in (1000, 1010):
            trouble.begins("away", now=now)
            trouble.ends("well again", now=now + 5)  # the second is not said yet
        trouble.ends("well again", now=-DAY)
    assert events(found) == ["away", "well again", "away", "well again"]
    assert found[-1]["for_seconds"] >= 0


def test_what_recurs_is_a_line_an_hour_with_how_often() -> None:
    recurring = Recurring(structlog.get_logger())
    with capture_logs() as found:
        for now in range(0, 2 * 3600, 10):
            recurring.met("a span was refused", now=now, times=3, reason=f"bad id {now}")
    assert [line["times"] for line in found] == [3, 360 * 3]


def test_each_kind_of_what_recurs_is_told_until_there_are_too_many() -> None:
    recurring = Recurring(structlog.get_logger())
    with capture_logs() as found:
        recurring.met("refused", now=0, reason="no", level="error", span="x")
        recurring.met("refused", now=0, reason="never", level="info")
        for number in range(1000):
            recurring.met("refused", now=0, reason="".join("abcdefghij"[int(digit)] for digit in str(number)))
    assert [(line["reason"], line["log_level"]) for line in found[:2]] == [("no", "error"), ("never", "info")]
    assert found[0]["span"] == "x"
    assert len(found) <= 21
