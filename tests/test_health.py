"""When the bridge counts as alive and as ready."""

import pytest

from bridge.health import OK, Health

NOW = 1_700_000_000.0
PATIENCE = 120.0


@pytest.fixture
def health() -> Health:
    """A bridge that has just talked to both sides."""
    health = Health(interval=5, turned_at=NOW)
    health.letta.answered(NOW)
    health.backend.answered(NOW)
    return health


def test_a_bridge_that_talks_to_both_sides_is_alive_and_ready(health: Health) -> None:
    assert health.alive(NOW)
    assert health.ready(NOW)
    assert health.parts(NOW) == {"loop": OK, "letta": OK, "backend": OK}


def test_a_new_bridge_is_alive_but_not_ready_before_letta_answered() -> None:
    health = Health(interval=5, turned_at=NOW)
    assert health.alive(NOW)
    assert not health.ready(NOW)
    assert health.parts(NOW) == {"loop": OK, "letta": "has not answered yet", "backend": OK}


def test_a_bridge_with_nothing_to_send_is_ready() -> None:
    health = Health(interval=5, turned_at=NOW)
    health.letta.answered(NOW)
    assert health.ready(NOW)


def test_a_backend_that_never_answered_well_is_not_ready() -> None:
    health = Health(interval=5, turned_at=NOW)
    health.letta.answered(NOW)
    health.backend.failed("connection refused")
    assert not health.ready(NOW)


@pytest.mark.parametrize("side", ["letta", "backend"])
def test_one_failure_is_shown_at_once_and_counts_after_a_while(health: Health, side: str) -> None:
    getattr(health, side).failed("503")
    health.turned(NOW + PATIENCE)
    assert health.parts(NOW)[side] == "503"
    assert health.ready(NOW + PATIENCE)
    assert not health.ready(NOW + PATIENCE + 1)
    assert health.alive(NOW + PATIENCE + 1)


@pytest.mark.parametrize("side", ["letta", "backend"])
def test_the_next_good_answer_ends_the_trouble(health: Health, side: str) -> None:
    getattr(health, side).failed("503")
    later = NOW + 2 * PATIENCE
    health.turned(later)
    getattr(health, side).answered(later)
    assert health.ready(later)
    assert health.parts(later)[side] == OK


def test_silence_alone_is_no_trouble(health: Health) -> None:
    later = NOW + 100 * PATIENCE
    health.turned(later)
    assert health.ready(later)


def test_a_loop_that_stands_is_neither_alive_nor_ready(health: Health) -> None:
    assert health.alive(NOW + PATIENCE)
    later = NOW + PATIENCE + 1
    assert not health.alive(later)
    assert not health.ready(later)
    assert health.parts(later)["loop"] == "has not turned for 121 s"


def test_a_long_interval_makes_for_more_patience() -> None:
    health = Health(interval=60, turned_at=NOW)
    assert health.alive(NOW + 600)
    assert not health.alive(NOW + 601)
