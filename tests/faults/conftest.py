"""A world to break, and the log lines that come of it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from bridge_world import World
from faults.letta import LettaSide
from faults.lines import Lines

from bridge import log


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def letta(world: World) -> LettaSide:
    """The way to Letta, on which faults can be put."""
    return LettaSide(world)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What a person would read on stderr, libraries included."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(form="json", stream=stream)
    yield Lines(stream)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
