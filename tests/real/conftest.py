"""The lab, the receivers and the one pass of everything, once for all the tests that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from real import lab as labs
from real.lab import Lab
from real.world import World, play, receivers

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test to need it waits for the whole pass; without a lab these are skipped, with one line a file."""
    wait_or_skip = (
        pytest.mark.timeout(1800)
        if labs.available()
        else pytest.mark.skip("needs a real Letta server: set LETTA_LAB to the lab's folder")
    )
    for item in items:
        if item.path.parent == HERE and {"lab", "world"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(wait_or_skip)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A real Letta server."""
    if labs.is_running():
        yield labs.running()
        return
    lab = labs.bring_up()
    try:
        yield lab
    finally:
        labs.take_down()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> World:
    """The end of the one pass; its logs stay in pytest's temporary folder."""
    folder = tmp_path_factory.mktemp("real")
    labs.install_receivers()
    with ExitStack() as stack:
        ready = receivers(labs.scratch(), folder)
        for receiver in ready.values():
            receiver.start()
            stack.callback(receiver.stop)
        server: Lab = request.getfixturevalue("lab")  # starts while the receivers do
        for receiver in ready.values():
            receiver.wait_ready()
        return play(server, ready, folder)
