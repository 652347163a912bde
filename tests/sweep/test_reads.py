"""Reads that are dropped at once, and what is no such drop."""

import asyncio

import pytest

from bridge.sweep.reads import Reads, Stopped


async def never() -> None:
    await asyncio.Event().wait()


async def under_way(reads: Reads) -> asyncio.Task[None]:
    task = asyncio.create_task(reads(never()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_a_read_gives_what_it_read() -> None:
    async def read() -> int:
        return 7

    assert await Reads()(read()) == 7


async def test_stop_drops_what_is_under_way_and_lets_nothing_begin() -> None:
    reads = Reads()
    task = await under_way(reads)
    reads.stop()
    with pytest.raises(Stopped):
        await task
    with pytest.raises(Stopped):
        await reads(never())


async def test_whoever_is_cancelled_from_outside_is_cancelled_even_while_it_stops() -> None:
    reads = Reads()
    task = await under_way(reads)
    reads.stop()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_read_comes_out() -> None:
    async def read() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Reads()(read())
