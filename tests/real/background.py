"""A server of asyncio's in a thread with a loop of its own, for tests that wait in theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def in_background(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What the manager yields, for as long as the block runs; its own error where it cannot start."""
    entered: list[T] = []
    failed: list[BaseException] = []
    ready, done = threading.Event(), threading.Event()

    async def run() -> None:
        try:
            async with manager as server:
                entered.append(server)
                ready.set()
                await asyncio.to_thread(done.wait)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that waits
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(20), "it did not start"
        if failed:
            raise failed[0]
        yield entered[0]
    finally:
        done.set()
        thread.join(20)
