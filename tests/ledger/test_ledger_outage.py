"""A whole bridge whose disk runs full, at one write after the other: started again with room, it goes on exactly."""

from pathlib import Path

import pytest
from bridge_world import START, Bridge, World

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.errors import LedgerError
from bridge.ledger.sqlite import SqliteLedger

RECORDINGS = ("tool_ok", "llm_500", "multi_step")


async def said_when_full(world: World, pages: int) -> str:
    """What one process with room for so many pages more ends with; nothing where that was enough."""
    async with world.bridge() as bridge:
        assert isinstance(bridge.ledger, SqliteLedger)
        connection = bridge.ledger._file.connection
        (used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {used + pages}")
        try:
            await bridge.drain()
        except LedgerError as error:
            return str(error)
        return ""


@pytest.mark.fault("ledger", "a full disk under the running bridge")
async def test_a_disk_that_runs_full_at_any_write_loses_and_doubles_nothing(tmp_path: Path) -> None:
    pages, said = 0, "not yet"
    while said:
        folder = tmp_path / str(pages)
        folder.mkdir()
        world = World(folder)
        for name in RECORDINGS * 4:
            recording.load(name).play(world.store, START)
        said = await said_when_full(world, pages)
        assert not said or "the disk is full: free some space" in said
        async with world.bridge() as bridge:
            await bridge.drain()
            await assert_all_delivered(world, bridge)
        pages += 2
    assert pages > 6  # it ran full at several places


async def assert_all_delivered(world: World, bridge: Bridge) -> None:
    steps = sorted(row.id for row in world.store.rows(Table.STEPS))
    assert sorted(set(world.delivered("agent_step", "letta.step.id"))) == steps
    assert await bridge.total("letta.steps") == len(steps)
    sent = {span.SerializeToString() for span in world.sink.accepted}
    assert len(sent) == len({span.span_id for span in world.sink.accepted})  # what came twice came alike
