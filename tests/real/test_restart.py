"""Stopped and started at random moments, by SIGTERM or by SIGKILL: the end state is the same.

That it is the same is for test_delivery to say, which looks at these bridges as at the others.
"""

from __future__ import annotations

import signal

import pytest

from real.world import Lane, World

pytestmark = pytest.mark.real

ENOUGH = 5  # stops, so that some of them hit something


@pytest.fixture(scope="session")
def terminated(world: World) -> Lane:
    """The bridge that got SIGTERM all the while."""
    return world.lanes["ddapm-http"]


@pytest.fixture(scope="session")
def killed(world: World) -> Lane:
    """The bridge that got SIGKILL all the while."""
    return world.lanes["rotel"]


def test_sigterm_ends_well_every_time(terminated: Lane) -> None:
    assert len(terminated.service.stopped_with) > ENOUGH
    assert set(terminated.service.stopped_with) == {0}


def test_sigkill_was_a_crash_every_time_but_the_last(killed: Lane) -> None:
    *crashes, last = killed.service.stopped_with
    assert len(crashes) > ENOUGH
    assert set(crashes) == {-signal.SIGKILL}
    assert last == 0


def test_after_sigkill_what_is_sent_again_is_the_same(killed: Lane) -> None:
    assert killed.changed == []
