"""A world for the status page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from status.status_world import StatusWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[StatusWorld]:
    """A quiet one."""
    world = await StatusWorld.open(tmp_path)
    yield world
    await world.ledger.close()
