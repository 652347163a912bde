"""A trouble is one line, whatever ids and numbers its words carry."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from bridge.trouble import Trouble


def lines(trouble: Trouble, *texts: str) -> list[str]:
    with capture_logs() as found:
        for text in texts:
            trouble.begins(text)
    return [line["event"] for line in found]


def test_the_same_with_another_id_is_not_said_again() -> None:
    said = lines(Trouble(structlog.get_logger()), "GET /v1/runs/run-1 is away", "GET /v1/runs/run-2 is away")
    assert said == ["GET /v1/runs/run-1 is away"]


def test_another_kind_is_said_and_the_first_is_not_said_again_after_it() -> None:
    assert lines(Trouble(structlog.get_logger()), "refused", "slow", "refused", "slow") == ["refused", "slow"]


def test_once_over_it_is_said_anew() -> None:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        trouble.begins("refused", waiting_for="Letta")
        trouble.begins("refused")
        trouble.ends("well again")
        trouble.ends("well again")
        trouble.begins("refused", serious=True)
    assert [(line["event"], line["log_level"]) for line in found] == [
        ("refused", "warning"),
        ("well again", "info"),
        ("refused", "error"),
    ]
    assert found[0]["waiting_for"] == "Letta"
    assert found[1]["failures"] == 2


def test_what_goes_on_stays_said() -> None:
    trouble = Trouble(structlog.get_logger())
    with capture_logs() as found:
        trouble.begins("run postponed", reason="run-1 is broken")
        trouble.begins("refused")
        trouble.ends("well again", but=["run-1 is broken"])
        trouble.begins("run postponed", reason="run-1 is broken")
        trouble.begins("refused")
    assert [line["event"] for line in found] == ["run postponed", "refused", "well again", "refused"]
