"""What is wrong, and in which words."""

from typing import Any

import pytest

from bridge.status.verdict import Facts, headline, problems

WELL = Facts(
    standstill=None, letta=None, backend=None, started=True, lag=3, interval=5, retry_in=None, postponed=0,
    dead_letters=0, missing={},
)  # fmt: skip


def facts(**changes: Any) -> Facts:
    known = {name: getattr(WELL, name) for name in Facts.__slots__}
    return Facts(**known | changes)


@pytest.mark.parametrize(
    ("changes", "tone", "text"),
    [
        ({}, "good", "up to date"),
        ({"dead_letters": 3, "postponed": 2}, "good", "up to date"),
        ({"lag": 12}, "bad", "behind 12 s"),
        ({"letta": "503"}, "warn", "Letta in trouble"),
        ({"letta": "503", "lag": 200}, "bad", "behind 3 min, Letta in trouble"),
        ({"letta": "503", "backend": "refused", "lag": 200}, "bad", "behind 3 min, Letta and backend in trouble"),
        ({"started": False, "letta": "has not answered yet", "lag": 0}, "warn", "starting"),
        ({"standstill": 300, "lag": 300}, "bad", "stands still for 5 min"),
        ({"missing": {"runs": "disk"}}, "bad", "not all can be shown"),
    ],
)
def test_the_headline_says_how_it_is(changes: dict[str, Any], tone: str, text: str) -> None:
    found = headline(facts(**changes))
    assert (found.tone, found.text) == (tone, text)


@pytest.mark.parametrize(("interval", "longest"), [(0.2, 5.2), (5, 10), (60, 120)])
def test_between_two_sweeps_nobody_is_behind(interval: float, longest: float) -> None:
    assert not facts(interval=interval, lag=longest).behind
    assert facts(interval=interval, lag=longest + 0.1).behind


def test_nothing_is_wrong() -> None:
    assert problems(WELL) == []


def test_each_problem_has_its_reason_and_what_to_do() -> None:
    found = problems(
        facts(standstill=300, letta="503", backend="refused", lag=300, retry_in=21.5, postponed=1, dead_letters=2,
              missing={"runs": "disk", "failures": "disk"})
    )  # fmt: skip
    assert [problem.what for problem in found] == [
        "The bridge stands still",
        "Not shown: runs, failures",
        "Letta cannot be read",
        "The backend does not take everything",
        "1 run cannot be read for now",
        "2 dead letters",
    ]
    assert all(problem.why and problem.todo for problem in found)
    assert found[2].why == "503"
    assert "Tried again in 21 s." in found[2].todo
    assert "bridge dead-letters list" in found[-1].todo


def test_a_lag_by_itself_is_a_matter_of_the_budget() -> None:
    (found,) = problems(facts(lag=200))
    assert found.what == "Behind by 3 min"
    assert "BRIDGE_LETTA_REQUESTS_PER_SECOND" in found.todo


def test_a_bridge_that_has_just_begun_accuses_nobody() -> None:
    assert problems(facts(started=False, letta="has not answered yet", lag=20)) == []
